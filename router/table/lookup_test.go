package table

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

func TestLookup_TheMostSpecificWins(t *testing.T) {
	t.Parallel()
	tb := mustBuild(t, map[string]string{
		"/rs/shop.local": backend("shop"), "/rs/blog.local": backend("blog"), "/rs/api.local": backend("api"), "/rs/v2.local": backend("v2"),
		"/cname/x.com":              "shop.local",
		"/cname/*.x.com":            "blog.local",
		"/cname/x.com/api":          "api.local",
		"/cname/x.com/api/v2":       "v2.local",
		"/cname/*.x.com/api":        "api.local",
		"/cname/www.x.com":          "shop.local",
		"/cname/only.x.com/path":    "v2.local",
		"/cname/shop.local/blog":    "blog.local",
		"/cname/lost.x.com":         "gone.local",
		"/cname/x.com/api/v2/beta":  "gone.local",
		"/cname/*.deep.x.com/depth": "v2.local",
	})
	for _, c := range []struct{ host, path, want string }{
		{"x.com", "/", "shop"},
		{"x.com", "", "shop"},
		{"x.com", "/api", "api"},
		{"x.com", "/api/", "api"},
		{"x.com", "/api/v1", "api"},
		{"x.com", "/apis", "shop"},
		{"x.com", "/API", "shop"},
		{"x.com", "/api/v2", "v2"},
		{"x.com", "/api/v2/x", "v2"},
		{"x.com", "/api/v20", "api"},
		{"x.com", "/api/v2/beta", "shop"}, // its app is gone: as if it were not bound
		{"a.x.com", "/", "blog"},
		{"a.x.com", "/api/x", "api"},
		{"a.b.x.com", "/", ""}, // a star is one label, as in certificates
		{"www.x.com", "/", "shop"},
		{"www.x.com", "/api", "shop"}, // the host's own entry is nearer than a wildcard's path
		{"only.x.com", "/path/x", "v2"},
		{"only.x.com", "/", "blog"},
		{"shop.local", "/blog/1", "blog"},
		{"shop.local", "/", "shop"},
		{"lost.x.com", "/", ""}, // bound to an app that is gone, not to the wildcard's
		{"y.deep.x.com", "/depth", "v2"},
		{"y.deep.x.com", "/", ""},
		{"com", "/", ""},
		{"", "/", ""},
	} {
		got := ""
		if b := tb.Lookup(c.host, c.path); b != nil {
			got = b.App
		}
		if got != c.want {
			t.Errorf("Lookup(%q, %q) = %q, want %q", c.host, c.path, got, c.want)
		}
	}
}

func TestApply_DomainsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for _, d := range []string{"*", "*.", "*x.com", "a.*.com", "x.com/", "x.com//a", "x.com/a/", "x.com/a/../b", "x.com/a b", "x.com/%61", "X.com/a", "*.*.x.com", "/a"} {
		if tb, bad := Empty().Apply(route.Batch{Changes: []route.Change{set("/cname/"+d, "shop.local")}}); len(bad) != 1 || len(tb.Domains()) != 0 {
			t.Errorf("%q was taken", d)
		}
	}
}

func TestLookup_AllocatesNothing(t *testing.T) {
	tb := mustBuild(t, map[string]string{"/rs/shop.local": backend("shop"), "/cname/*.x.com": "shop.local", "/cname/*.x.com/api": "shop.local"})
	for _, host := range []string{"shop.local", "www.x.com", "no.such.host"} {
		if n := testing.AllocsPerRun(100, func() { tb.Lookup(host, "/api/x") }); n != 0 {
			t.Errorf("%s: %v allocations", host, n)
		}
	}
}

func TestPack_RoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var list []route.Endpoint
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			list = append(list, route.Endpoint{
				Addr: rapid.SampledFrom([]string{
					"10.0.0.1:80", "255.255.255.255:65535", "[::1]:80", "[fe80::1%eth0]:8080", "[::ffff:10.0.0.1]:80", "010.0.0.1:80", "10.0.0.1:080",
				}).Draw(t, "addr"),
				Instance: rapid.OneOf(
					rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
					rapid.StringMatching(`[0-9A-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), rapid.String(),
				).Draw(t, "instance"),
				Release: rapid.IntRange(-3, 1<<40).Draw(t, "release"), Weight: rapid.IntRange(0, 10_000).Draw(t, "weight"),
			})
		}
		got := pack(list).unpack()
		if got == nil || fmt.Sprint(got) != fmt.Sprint(append([]route.Endpoint{}, list...)) {
			t.Fatalf("got %+v, want %+v", got, list)
		}
	})
}

// What a router must hold in 100 MB.
const (
	manyHosts     = 100_000
	perHost       = 10
	bytesPerRoute = 100 << 20 / manyHosts
)

// many returns the entries of n hosts as a leader would write them.
func many(n int) map[string]string {
	out := make(map[string]string, n)
	for i := range n {
		b := route.Backend{App: fmt.Sprintf("app-%d", i)}
		for j := range perHost {
			b.Endpoints = append(b.Endpoints, route.Endpoint{
				Addr: fmt.Sprintf("10.%d.%d.%d:%d", i>>16, i>>8&255, i&255, 30_000+j), Release: 1 + i%50, Weight: 100,
				Instance: fmt.Sprintf("%08x-0000-4000-8000-%012x", i, j),
			})
		}
		out[fmt.Sprintf("/rs/app-%d.apps.example.com", i)] = route.EncodeBackend(b)
	}
	return out
}

// heapOf returns a table of n hosts and what it holds, the keys included.
func heapOf(t testing.TB, n int) (bytes uint64, tb *Table) {
	before := heap()
	tb = mustBuild(t, many(n))
	return heap() - before, tb
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one finalised
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestTable_TenThousandHostsTakeATenthOfTheirBound(t *testing.T) {
	const n = manyHosts / 10
	used, tb := heapOf(t, n)
	t.Logf("%d hosts with %d endpoints each: %d KiB, %d bytes a host", n, perHost, used>>10, used/n)
	if used > n*bytesPerRoute {
		t.Errorf("%d bytes a host, want at most %d", used/n, bytesPerRoute)
	}
	if got := tb.Lookup("app-77.apps.example.com", "/"); got == nil || len(got.Endpoints()) != perHost {
		t.Error("the table does not hold what it was given")
	}
	runtime.KeepAlive(tb)
}

func BenchmarkTable_HeapOf100000Hosts(b *testing.B) {
	for b.Loop() {
		used, tb := heapOf(b, manyHosts)
		b.ReportMetric(float64(used)/(1<<20), "MiB")
		runtime.KeepAlive(tb)
	}
}

func BenchmarkLookup(b *testing.B) {
	entries := many(10_000)
	entries["/cname/*.x.com"] = "app-1.apps.example.com"
	entries["/cname/shop.com/api"] = "app-1.apps.example.com"
	tb := mustBuild(b, entries)
	for _, host := range []string{"app-77.apps.example.com", "www.x.com", "shop.com", "no.such.host"} {
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tb.Lookup(host, "/api/x")
			}
		})
	}
}

// FuzzLookup: whatever a client sends and whatever a domain is called, looking
// up does not fail, and a domain that was taken is found by its own name.
func FuzzLookup(f *testing.F) {
	for _, s := range [][3]string{{"x.com", "x.com", "/"}, {"*.x.com/api", "a.x.com", "/api/1"}, {"x.com/a", "x.com", "/ab"}, {"*.", ".", ""}, {"x.com/%2f", "x.com:80", "//"}} {
		f.Add(s[0], s[1], s[2])
	}
	shop := mustBuild(f, map[string]string{"/rs/shop.local": backend("shop")})
	f.Fuzz(func(t *testing.T, domain, host, path string) {
		tb, bad := shop.Apply(route.Batch{Changes: []route.Change{set("/cname/"+domain, "shop.local")}})
		if canon, ok := Canon(host); ok {
			tb.Lookup(canon, path)
		}
		if len(bad) > 0 {
			return
		}
		name, prefix, wild, err := model.SplitDomain(domain)
		if err != nil {
			t.Fatalf("%q was taken: %v", domain, err)
		}
		if wild {
			name = "a" + name
		}
		if b := tb.Lookup(name, prefix+"/x"); b == nil || b.App != "shop" {
			t.Errorf("%q does not serve %q %q", domain, name, prefix+"/x")
		}
		if prefix != "" && tb.Lookup(name, strings.TrimSuffix(prefix, prefix[len(prefix)-1:])) != nil && name != "shop.local" {
			t.Errorf("%q serves less than its path", domain)
		}
		if back, err := DecodeSnapshot(EncodeSnapshot(tb)); err != nil || !Equal(back, tb) {
			t.Errorf("%q does not survive the snapshot: %v", domain, err)
		}
	})
}
