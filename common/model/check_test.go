package model

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func wantCode(t testing.TB, what string, err error, code Code) {
	t.Helper()
	if code == "" && err != nil || code != "" && !IsCode(err, code) {
		t.Errorf("%s: got %v, want code %q", what, err, code)
	}
}

func TestCheckAppName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"shop": true, "a": true, "0": true, "a-b": true, "a--b": true, strings.Repeat("a", MaxNameLength): true,
		"": false, "-a": false, "a-": false, "A": false, "a_b": false, "a.b": false, "ä": false, "xn--a": false, "dinp": false, "dash": false, "registry": false,
		"www-dinp": false, strings.Repeat("a", MaxNameLength+1): false, "a\n": false, "a b": false, "../x": false, "a/b": false, "a\x00": false,
	} {
		code := CodeBadAppName
		if ok {
			code = ""
		}
		wantCode(t, fmt.Sprintf("%q", name), CheckAppName(name), code)
	}
}

func TestCheckAppName_SuggestsOneThatIsTaken(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]string{"My_Shop": `use a name such as "my-shop"`, "-x-": `use a name such as "x"`, "Ü": "use 1 to 50", "xn--x": "use 1 to 50", "Dash": "use 1 to 50"} {
		var e *Error
		if err := CheckAppName(name); !errors.As(err, &e) || !strings.HasPrefix(e.Next, next) {
			t.Errorf("%q: next is %q, want %q", name, e.Next, next)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if s := suggestName(rapid.String().Draw(t, "name")); s != "" && CheckAppName(s) != nil {
			t.Fatalf("suggested %q, which is refused", s)
		}
	})
}

func TestCheckDomain(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{
		"www.shop.com": "www.shop.com", " WWW.Shop.COM. ": "www.shop.com", "xn--bcher-kva.example": "xn--bcher-kva.example", "a.b": "a.b", "apps.localhost.com": "apps.localhost.com",
		"": "", "shop": "", ".": "", "a..b": "", ".a.b": "", "http://a.b": "", "a.b/c": "", "a.b:80": "", "1.2.3.4": "", "::1": "", "a_b.c": "", "*.a.b": "", "-a.b": "", "a b.c": "",
		"apps.localhost": "", "shop.apps.localhost": "", "SHOP.Apps.Localhost.": "", "bücher.example": "", strings.Repeat("a", 64) + ".b": "", strings.Repeat("a.", 127) + "bb": "",
		"a.b\x00": "", "a.b\n.c": "", "a.b..": "",
	} {
		got, err := CheckDomain(in, "apps.localhost")
		if got != out || (err == nil) != (out != "") || err != nil && !IsCode(err, CodeBadDomain) {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, out)
		}
	}
}

func TestCheckRoute_TakesStarsAndPaths(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{
		"www.shop.com": "www.shop.com", "*.Shop.COM": "*.shop.com", " Shop.com/API ": "shop.com/API", "shop.com./a/b/": "shop.com/a/b", "*.shop.com/x": "*.shop.com/x", "shop.com/": "shop.com",
		"": "", "*": "", "*.": "", "*.com": "", "**.a.b": "", "a.*.b": "", "*a.b.c": "", "/x": "", "a.b//x": "", "a.b/../x": "", "a.b/x y": "", "a.b/x?q": "", "a.b/%41": "", "http://a.b": "", "a.b:80/x": "",
		"*.localhost": "", "*.apps.localhost": "", "x.apps.localhost/a": "", "a.b/" + strings.Repeat("x", 201): "", strings.Repeat("a.", 100) + "b/" + strings.Repeat("x", 60): "",
	} {
		got, err := CheckRoute(in, "apps.localhost")
		if got != out || (err == nil) != (out != "") || err != nil && !IsCode(err, CodeBadDomain) {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, out)
		}
	}
	if _, err := CheckRoute("*.example.com", "apps.example.com"); !IsCode(err, CodeBadDomain) {
		t.Errorf("a star over the platform's own domain: %v", err)
	}
}

func TestKin_AreDomainsThatMayAnswerForTheSameHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"shop.com", "shop.com/api", true}, {"shop.com/a", "shop.com/b", true}, {"*.shop.com", "www.shop.com/x", true}, {"*.shop.com", "*.shop.com/x", true},
		{"*.shop.com", "shop.com", false}, {"*.shop.com", "a.b.shop.com", false}, {"shop.com", "myshop.com", false}, {"a.shop.com", "b.shop.com", false},
	} {
		if Kin(c.a, c.b) != c.want || Kin(c.b, c.a) != c.want {
			t.Errorf("%s and %s: %v and %v, want %v", c.a, c.b, Kin(c.a, c.b), Kin(c.b, c.a), c.want)
		}
	}
}

func FuzzCheckRoute(f *testing.F) {
	for _, s := range []string{"www.shop.com", "*.a.b/x", "a.b/../c", "*.*.a", "a.b/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := CheckRoute(s, "apps.localhost")
		if err != nil {
			if d != "" || !IsCode(err, CodeBadDomain) {
				t.Fatalf("%q: refused with %q, %v", s, d, err)
			}
			return
		}
		again, err := CheckRoute(d, "apps.localhost")
		if _, _, _, split := SplitDomain(d); err != nil || again != d || split != nil || len(d) > MaxDomain {
			t.Fatalf("%q: accepted as %q, then %q, %v, %v", s, d, again, err, split)
		}
	})
}

func FuzzCheckDomain(f *testing.F) {
	for _, s := range []string{"www.shop.com", "A.B.", "1.2.3.4", "a.apps.localhost", "..", "a.b:1", "\xff.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, err := CheckDomain(s, "apps.localhost")
		if err != nil {
			if host != "" || !IsCode(err, CodeBadDomain) {
				t.Fatalf("%q: refused with %q, %v", s, host, err)
			}
			return
		}
		again, err := CheckDomain(host, "apps.localhost")
		if err != nil || again != host || len(host) > 253 || strings.ToLower(host) != host || !strings.Contains(host, ".") || strings.HasSuffix(host, "apps.localhost") && (host == "apps.localhost" || strings.HasSuffix(host, ".apps.localhost")) {
			t.Fatalf("%q: accepted as %q, then %q, %v", s, host, again, err)
		}
	})
}

func TestCheckEnv(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range MaxEnvVars + 1 {
		many[fmt.Sprintf("V%d", i)] = ""
	}
	for name, c := range map[string]struct {
		env map[string]string
		ok  bool
	}{
		"none": {nil, true}, "usual": {map[string]string{"A": "1", "_b2": "\n=ü"}, true}, "digit first": {map[string]string{"1A": ""}, false}, "empty name": {map[string]string{"": "x"}, false},
		"dash": {map[string]string{"A-B": ""}, false}, "NUL": {map[string]string{"A": "x\x00"}, false}, "newline in name": {map[string]string{"A\n": ""}, false},
		"ours": {map[string]string{"PORT": "1"}, false}, "our case": {map[string]string{"port": "1"}, true}, "long name": {map[string]string{strings.Repeat("A", 201): ""}, false},
		"too many": {many, false}, "too large": {map[string]string{"A": strings.Repeat("x", MaxEnvBytes)}, false}, "just fits": {map[string]string{"A": strings.Repeat("x", MaxEnvBytes-1)}, true},
	} {
		code := CodeBadEnv
		if c.ok {
			code = ""
		}
		wantCode(t, name, CheckEnv(c.env), code)
	}
}

func FuzzCheckEnv(f *testing.F) {
	f.Add("A", "x")
	f.Add("PORT", "")
	f.Add("A=B", "\x00")
	f.Fuzz(func(t *testing.T, k, v string) {
		err := CheckEnv(map[string]string{k: v})
		if err == nil && (k == "" || strings.ContainsAny(k, "=\x00\n ") || strings.ContainsRune(v, 0)) {
			t.Fatalf("%q=%q was accepted", k, v)
		}
		if err != nil && v != "" && len(v) > 8 && !strings.Contains(k, v) && strings.Contains(err.Error(), v) {
			t.Fatalf("the error repeats the value: %v", err)
		}
	})
}

func TestCheckHealthPath(t *testing.T) {
	t.Parallel()
	for p, ok := range map[string]bool{"": true, "/": true, "/healthz?x=1": true, "healthz": false, "/a b": false, "/a\nb": false, "/a#b": false, "/100%": false, "/100%25": true, "http://x/": false, "/" + strings.Repeat("a", 1024): false} {
		code := CodeBadSize
		if ok {
			code = ""
		}
		wantCode(t, fmt.Sprintf("%q", p), CheckHealthPath(p), code)
	}
}

func TestCheckHealthPath_NeverBreaksARequestLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := "/" + rapid.String().Draw(t, "path")
		if CheckHealthPath(p) == nil && strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q is accepted, and holds control characters", p)
		}
	})
}

func TestCheckInstances(t *testing.T) {
	t.Parallel()
	for n, ok := range map[int]bool{0: true, 1: true, MaxInstances: true, -1: false, MaxInstances + 1: false} {
		code := CodeBadSize
		if ok {
			code = ""
		}
		wantCode(t, fmt.Sprint(n), CheckInstances(n), code)
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "s"), rapid.IntRange(0, 30).Draw(t, "n")
		got := clip(s, n)
		if len(s) <= n && got != s || len(got) > max(n, len(s))+len("…") || len(s) > n && len(got) > n+len("…") || !utf8.ValidString(got) {
			t.Fatalf("%q clipped to %d is %q", s, n, got)
		}
	})
}
