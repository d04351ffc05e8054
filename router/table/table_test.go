package table

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/route"
)

func backend(app string, addrs ...string) string {
	b := route.Backend{App: app}
	for i, a := range addrs {
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: a, Instance: fmt.Sprintf("%s-%d", app, i), Release: 1, Weight: 100})
	}
	return route.EncodeBackend(b)
}

func set(key, value string) route.Change { return route.Change{Key: key, Value: &value} }
func del(key string) route.Change        { return route.Change{Key: key} }

func mustBuild(t testing.TB, entries map[string]string) *Table {
	t.Helper()
	tb, bad := Build(route.Version{Epoch: 1, Seq: 1}, entries, Empty())
	if len(bad) > 0 {
		t.Fatalf("bad entries: %v", bad)
	}
	return tb
}

func TestLookup_HostThenDomain(t *testing.T) {
	t.Parallel()
	tb := mustBuild(t, map[string]string{
		"/rs/shop.local":    backend("shop", "10.0.0.1:80"),
		"/rs/blog.local":    backend("blog", "10.0.0.2:80"),
		"/cname/www.shop.x": "shop.local",
		"/cname/blog.local": "shop.local", // an app's own host wins
		"/cname/lost.x":     "gone.local",
	})
	for host, want := range map[string]string{"shop.local": "shop", "www.shop.x": "shop", "blog.local": "blog", "lost.x": "", "no.x": ""} {
		got := ""
		if b := tb.Lookup(host, "/"); b != nil {
			got = b.App
		}
		if got != want {
			t.Errorf("Lookup(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestBuild_BadValueKeepsTheLastGoodOne(t *testing.T) {
	t.Parallel()
	prev := mustBuild(t, map[string]string{"/rs/shop.local": backend("shop", "10.0.0.1:80"), "/cname/www.x": "shop.local"})
	tb, bad := Build(route.Version{Epoch: 1, Seq: 2}, map[string]string{
		"/rs/shop.local": "{not json", "/cname/www.x": "not a host", "/rs/blog.local": backend("blog"), "/rs/UPPER": backend("up"),
		"/rs/new.local": `{"app":"new","endpoints":[{"addr":"nowhere"}]}`,
	}, prev)
	if len(bad) != 4 {
		t.Errorf("bad = %v, want 4", bad)
	}
	if b := tb.Lookup("www.x", "/"); b == nil || b.App != "shop" {
		t.Errorf("the domain's last good route is gone")
	}
	if tb.Lookup("blog.local", "/") == nil || tb.Lookup("new.local", "/") != nil {
		t.Errorf("good entries beside bad ones must be taken, bad new ones not")
	}
}

func TestApply_ReportsBadChangesAndKeepsTheirKeys(t *testing.T) {
	t.Parallel()
	prev := mustBuild(t, map[string]string{"/rs/shop.local": backend("shop", "10.0.0.1:80")})
	tb, bad := prev.Apply(route.Batch{Changes: []route.Change{
		set("/rs/shop.local", "{"), set("/elsewhere", "x"), del("/elsewhere"), del("/rs/never.local"), set("/cname/www.x", "shop.local"),
	}})
	if len(bad) != 2 || tb.Lookup("www.x", "/") == nil {
		t.Errorf("bad = %v; www.x = %v", bad, tb.Lookup("www.x", "/"))
	}
}

// hosts of the generated tables: few, so that changes meet.
var genKey = rapid.Custom(func(t *rapid.T) string {
	key := rapid.SampledFrom([]string{"/rs/", "/cname/", "/cname/*."}).Draw(t, "prefix") + fmt.Sprintf("h%d.local", rapid.IntRange(0, 12).Draw(t, "host"))
	if strings.HasPrefix(key, "/cname/") {
		key += rapid.SampledFrom([]string{"", "", "/a", "/a/b", "/b"}).Draw(t, "path")
	}
	return key
})

func genValue(t *rapid.T, key string) string {
	if strings.HasPrefix(key, "/cname/") {
		return fmt.Sprintf("h%d.local", rapid.IntRange(0, 12).Draw(t, "target"))
	}
	var addrs []string
	for range rapid.IntRange(0, 3).Draw(t, "endpoints") {
		addrs = append(addrs, fmt.Sprintf("10.0.0.%d:80", rapid.IntRange(1, 9).Draw(t, "addr")))
	}
	return backend("app", addrs...)
}

func genEntries(t *rapid.T) map[string]string {
	out := map[string]string{}
	for range rapid.IntRange(0, 20).Draw(t, "entries") {
		k := genKey.Draw(t, "key")
		out[k] = genValue(t, k)
	}
	return out
}

func genBatch(t *rapid.T, v route.Version) route.Batch {
	b := route.Batch{Version: v}
	for range rapid.IntRange(0, 8).Draw(t, "changes") {
		k := genKey.Draw(t, "key")
		if rapid.Bool().Draw(t, "delete") {
			b.Changes = append(b.Changes, del(k))
		} else {
			b.Changes = append(b.Changes, set(k, genValue(t, k)))
		}
	}
	return b
}

func TestApply_EqualsBuildingAnew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		entries := genEntries(t)
		tb, _ := Build(route.Version{Epoch: 1, Seq: 1}, entries, Empty())
		before := EncodeSnapshot(tb)
		batch := genBatch(t, route.Version{Epoch: 1, Seq: 2})
		next, bad := tb.Apply(batch)
		for _, c := range batch.Changes {
			if delete(entries, c.Key); c.Value != nil {
				entries[c.Key] = *c.Value
			}
		}
		want, _ := Build(batch.Version, entries, Empty())
		if len(bad) > 0 || !Equal(next, want) || next.serving != want.serving {
			t.Fatalf("bad %v, serving %d want %d:\n%s", bad, next.serving, want.serving, cmp.Diff(string(EncodeSnapshot(want)), string(EncodeSnapshot(next))))
		}
		if !bytes.Equal(EncodeSnapshot(next), EncodeSnapshot(want)) {
			t.Fatal("equal tables have different bytes")
		}
		if !bytes.Equal(before, EncodeSnapshot(tb)) {
			t.Fatal("Apply changed the table it was called on")
		}
	})
}

func TestChanged_NamesEveryBackendThatDiffers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from, _ := Build(route.Version{}, genEntries(t), Empty())
		to, _ := from.Apply(genBatch(t, route.Version{Seq: 1}))
		if rapid.Bool().Draw(t, "relisted") {
			entries := map[string]string{}
			for _, b := range to.Backends() {
				entries["/rs/"+b.Host] = route.EncodeBackend(b.Route())
			}
			to, _ = Build(route.Version{}, entries, from)
		}
		changed := map[string]bool{}
		for _, b := range Changed(from, to) {
			changed[b.Host] = true
		}
		for _, b := range from.Backends() {
			now := to.Host(b.Host)
			if differs := now == nil || !now.equal(b); differs != changed[b.Host] {
				t.Fatalf("%s differs %v, reported %v", b.Host, differs, changed[b.Host])
			}
		}
	})
}

func TestHold_NothingServedIsLostAndNothingNewIsMissed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from, _ := Build(route.Version{Seq: 1}, genEntries(t), Empty())
		to, _ := Build(route.Version{Seq: 2}, genEntries(t), from)
		held := Hold(from, to)
		if held.Version() != from.Version() {
			t.Fatal("a held table acknowledges what it did not do")
		}
		claimed := claims(to)
		for _, b := range from.Backends() {
			if b.serves() && (held.Host(b.Host) == nil) {
				t.Fatalf("%s was served and is gone", b.Host)
			}
		}
		for _, b := range to.Backends() {
			if b.serves() && !held.Host(b.Host).equal(b) {
				t.Fatalf("%s is not what the new table says", b.Host)
			}
		}
		for _, b := range held.Backends() {
			now := to.Host(b.Host)
			for _, e := range b.Endpoints() {
				if (now == nil || !now.serves()) && claimed[e.Addr] {
					t.Fatalf("%s holds %s, which belongs to another app now", b.Host, e.Addr)
				}
			}
		}
		if want, _ := Build(route.Version{}, entriesOf(held), Empty()); want.serving != held.serving || !Equal(want, held) {
			t.Fatalf("serving %d, want %d", held.serving, want.serving)
		}
	})
}

func entriesOf(tb *Table) map[string]string {
	out := map[string]string{}
	for _, b := range tb.Backends() {
		out["/rs/"+b.Host] = route.EncodeBackend(b.Route())
	}
	for d, h := range tb.Domains() {
		out["/cname/"+d] = h
	}
	return out
}

func TestWithdrawn_CountsWhatStopsServing(t *testing.T) {
	t.Parallel()
	from := mustBuild(t, map[string]string{
		"/rs/a.x": backend("a", "10.0.0.1:1"), "/rs/b.x": backend("b", "10.0.0.1:2"), "/rs/c.x": backend("c"),
		"/rs/d.x": `{"app":"d","maintenance":true,"endpoints":[]}`, "/cname/e.x": "a.x",
	})
	to, _ := from.Apply(route.Batch{Changes: []route.Change{
		set("/rs/a.x", backend("a")), set("/rs/b.x", `{"app":"b","maintenance":true,"endpoints":[]}`), del("/rs/c.x"), del("/cname/e.x"),
	}})
	if gone, of := Withdrawn(from, to); gone != 2 || of != 4 {
		t.Errorf("Withdrawn = %d of %d, want 2 of 4: a.x lost its endpoints, e.x went", gone, of)
	}
}

func BenchmarkApply_OneRouteOfMany(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		entries := map[string]string{}
		for i := range n {
			entries[fmt.Sprintf("/rs/h%d.local", i)] = backend("app", "10.0.0.1:80")
		}
		tb := mustBuild(b, entries)
		batch := route.Batch{Changes: []route.Change{set("/rs/h7.local", backend("app", "10.0.0.2:80"))}}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				tb.Apply(batch)
			}
		})
	}
}
