package rules

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
)

func TestRules_NilAllowsEverything(t *testing.T) {
	t.Parallel()
	r := Compile("shop", &model.Routing{})
	if r != nil {
		t.Fatal("settings that say nothing made rules")
	}
	to, _ := r.Redirect(Facts{Path: "/"})
	_, sticky := r.SessionCookie()
	header, cookie := r.KeyOf()
	if !r.Admits(netip.Addr{}) || to != "" || r.ToHTTPS(Facts{}, "") != "" || r.AsksLogin() || sticky || header+cookie != "" || r.Page(model.CodeNoReady) != "" {
		t.Error("nil rules do something")
	}
}

func TestAdmits_MappedAddressesAreThemselves(t *testing.T) {
	t.Parallel()
	r := Compile("shop", &model.Routing{AllowFrom: []string{"10.1.0.0/16", "192.0.2.7", "2001:db8::/32"}})
	for a, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "192.0.2.7": true, "192.0.2.8": false, "2001:db8::1%eth0": true, "::1": false,
	} {
		if got := r.Admits(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	if r.Admits(netip.Addr{}) {
		t.Error("an unknown address was admitted")
	}
}

// FuzzRedirect: whatever settings pass the check and whatever is asked, a path
// as the target never becomes another host, and no header is split.
func FuzzRedirect(f *testing.F) {
	f.Add("/x/*", "/*", "/x//evil.com")
	f.Add("/*", "/new/*", "/a?b")
	f.Add("www.x.com/*", "https://x.com/*", "/")
	f.Fuzz(func(t *testing.T, from, to, path string) {
		s := &model.Routing{Redirects: []model.Redirect{{From: from, To: to}}}
		if s.Check() != nil || strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			return
		}
		got, _ := Compile("shop", s).Redirect(Facts{Host: "www.x.com", Path: path})
		if strings.HasPrefix(to, "/") && strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\r\n \x00") {
			t.Errorf("%q %q %q → %q", from, to, path, got)
		}
	})
}
