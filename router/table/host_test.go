package table

import (
	"strings"
	"testing"
)

func TestCanon_OneFormPerHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"shop.example.com":      "shop.example.com",
		"SHOP.Example.com":      "shop.example.com",
		"shop.example.com:8080": "shop.example.com",
		"shop.example.com.":     "shop.example.com",
		"shop.example.com.:80":  "shop.example.com",
		"shop.example.com:":     "shop.example.com",
		"a_b.example.com":       "a_b.example.com",
		"127.0.0.1:80":          "127.0.0.1",
		"[::1]:8080":            "[::1]",
		"[FE80::1]":             "[fe80::1]",
	} {
		if got, ok := Canon(in); !ok || got != want {
			t.Errorf("Canon(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
}

func TestCanon_RefusesWhatIsNoHost(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", ".", ":80", "a..b", ".a", "a b", "a/b", "a:b", "a:80:80", "::1", "[::1", "::1]", "[]", "[::1]x", "a:999999",
		"ä.example", "a\x00b", "a,b", "user@host", strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 130) + "com", "a..",
	} {
		if got, ok := Canon(in); ok {
			t.Errorf("Canon(%q) = %q, want refusal", in, got)
		}
	}
}

func TestCanon_DoesNotAllocateForAPlainHost(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Canon("shop.example.com:8080") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzCanon(f *testing.F) {
	for _, s := range []string{"shop.example.com", "SHOP.:80", "[::1]:8080", "a..b", "::1", ":", "[", "]", "a.:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := Canon(in)
		if !ok {
			return
		}
		if again, ok := Canon(got); !ok || again != got {
			t.Errorf("Canon(%q) = %q, whose canonical form is %q, %v", in, got, again, ok)
		}
		if got == "" || got != strings.ToLower(got) || strings.ContainsAny(got, " /\\@\x00") {
			t.Errorf("Canon(%q) = %q", in, got)
		}
	})
}
