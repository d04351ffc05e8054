package source

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

func backend(app, addr string) string {
	return route.EncodeBackend(route.Backend{App: app, Endpoints: []route.Endpoint{{Addr: addr, Instance: app + "-" + addr, Weight: 100}}})
}

func set(key, value string) route.Change { return route.Change{Key: key, Value: &value} }
func del(key string) route.Change        { return route.Change{Key: key} }
func ver(epoch, seq int64) route.Version { return route.Version{Epoch: epoch, Seq: seq} }
func head(epoch, seq int64) route.Head   { return route.Head{Version: ver(epoch, seq)} }
func noneMeant() []route.Batch           { return nil }
func batch(v route.Version, c ...route.Change) route.Batch {
	return route.Batch{Version: v, Changes: c}
}

// apps returns the entries of n apps, a0.x and so on.
func apps(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("/rs/a%d.x", i)] = backend("a", fmt.Sprintf("10.0.0.1:%d", 1000+i))
	}
	return out
}

func keeperWith(t *testing.T, v route.Version, entries map[string]string) *Keeper {
	t.Helper()
	k := NewKeeper()
	if out := k.List(route.Head{Version: v}, entries, noneMeant); out.verdict != accepted {
		t.Fatalf("first list: %v", out)
	}
	return k
}

func TestKeeper_FlushedRedisIsNotNoRoutes(t *testing.T) {
	t.Parallel()
	k := keeperWith(t, ver(1, 5), apps(3))
	if out := k.List(route.Head{}, nil, noneMeant); out.verdict != versionNo {
		t.Errorf("verdict %q, want %q", out.verdict, versionNo)
	}
	if hosts, _ := k.served.Len(); hosts != 3 {
		t.Errorf("%d hosts served, want 3", hosts)
	}
}

func TestKeeper_OlderIsRefusedWhateverItHolds(t *testing.T) {
	t.Parallel()
	k := keeperWith(t, ver(2, 5), apps(3))
	for _, v := range []route.Version{ver(2, 4), ver(1, 99)} {
		if out := k.List(route.Head{Version: v}, apps(4), noneMeant); out.verdict != refused {
			t.Errorf("list %v: %q", v, out.verdict)
		}
		if out := k.Batch(batch(v, del("/rs/a0.x"))); out.verdict != repeated {
			t.Errorf("batch %v: %q", v, out.verdict)
		}
	}
	if k.served.Version() != ver(2, 5) || k.served.Lookup("a0.x", "/") == nil {
		t.Error("the table changed")
	}
}

// Redis has failed over to a replica that lacked writes while nobody led, and the
// next leader has begun to write: its version is the highest, its table is not.
func TestKeeper_ABeginningOnOlderRoutesIsNotServedBeforeTheTableIsWhole(t *testing.T) {
	t.Parallel()
	k := keeperWith(t, ver(1, 9), apps(3))
	began := route.Head{Version: ver(2, 3), Base: ver(1, 8)}
	for range 2 {
		if out := k.List(began, apps(2), noneMeant); out.verdict != forgetful || k.served.Version() != ver(1, 9) || k.served.Lookup("a2.x", "/") == nil {
			t.Fatalf("%q, serves %v", out.verdict, k.served.Version())
		}
		began.Seq++
		if out := k.Batch(batch(began.Version)); !out.Gap() {
			t.Errorf("its next batch: %q", out.verdict)
		}
	}
	if out := k.List(head(2, 5), apps(2), noneMeant); out.verdict != accepted || k.served.Lookup("a2.x", "/") != nil {
		t.Errorf("the whole of it: %q", out.verdict)
	}
}

func TestKeeper_ABeginningOnWhatIsServedIsFollowed(t *testing.T) {
	t.Parallel()
	for _, at := range []route.Version{ver(1, 8), ver(1, 7), ver(2, 1), {}} {
		k := NewKeeper()
		if at != (route.Version{}) {
			k = keeperWith(t, at, apps(3))
		}
		if out := k.List(route.Head{Version: ver(2, 3), Base: ver(1, 8)}, apps(2), noneMeant); out.verdict != accepted {
			t.Errorf("from %v: %q", at, out.verdict)
		}
		if out := k.Batch(batch(ver(2, 4))); out.verdict != accepted {
			t.Errorf("from %v, then a batch: %q", at, out.verdict)
		}
	}
}

// Leaders changed twice before the first had told all of its table, of which the
// router has taken some: it need not wait until the second has told all of its own.
func TestKeeper_ABeginningOnTheBeginningThatIsServedIsFollowed(t *testing.T) {
	t.Parallel()
	second := route.Head{Version: ver(3, 2), Base: ver(1, 8), Found: ver(2, 3)}
	for at, want := range map[route.Version]verdict{ver(1, 8): accepted, ver(2, 1): accepted, ver(2, 3): accepted, ver(1, 9): forgetful, ver(2, 4): forgetful} {
		k := keeperWith(t, at, apps(3))
		if out := k.List(second, apps(3), noneMeant); out.verdict != want {
			t.Errorf("from %v: %q, want %q", at, out.verdict, want)
		}
	}
}

func TestKeeper_MissingSeqAndNewEpochAskForAList(t *testing.T) {
	t.Parallel()
	k := keeperWith(t, ver(1, 5), apps(3))
	for _, v := range []route.Version{ver(1, 7), ver(2, 1), ver(2, 6)} {
		if out := k.Batch(batch(v)); out.verdict != gap {
			t.Errorf("batch %v after 1.5: %q, want gap", v, out.verdict)
		}
	}
	if out := k.Batch(batch(ver(1, 6), del("/rs/a0.x"))); out.verdict != accepted || k.served.Lookup("a0.x", "/") != nil {
		t.Errorf("next batch: %q", out.verdict)
	}
}

func TestKeeper_MassWithdrawalIsHeldAndTheRestIsTaken(t *testing.T) {
	t.Parallel()
	k := keeperWith(t, ver(1, 1), apps(6))
	out := k.Batch(batch(ver(1, 2), del("/rs/a0.x"), del("/rs/a1.x"), del("/rs/a2.x"), del("/rs/a3.x"), set("/rs/new.x", backend("new", "10.0.0.2:1"))))
	if out.verdict != held || out.gone != 4 || out.of != 6 {
		t.Fatalf("outcome %+v, want 4 of 6 held", out)
	}
	if k.served.Lookup("a0.x", "/") == nil || k.served.Lookup("new.x", "/") == nil {
		t.Error("a withdrawn route must stay, a new one be taken")
	}
	if k.served.Version() != ver(1, 1) {
		t.Errorf("serves %v: acknowledges a withdrawal it did not do", k.served.Version())
	}
	// The stream goes on: no gap, and still held when looked at again.
	if out := k.Batch(batch(ver(1, 3), set("/rs/a4.x", backend("a", "10.0.0.9:1")))); out.verdict != held {
		t.Errorf("next batch: %q", out.verdict)
	}
	if got := k.served.Lookup("a4.x", "/").Endpoints()[0].Addr; got != "10.0.0.9:1" {
		t.Errorf("a4.x is at %s: changes must go on while others are held", got)
	}
	// They come back: nothing is suspicious any more.
	if out := k.Batch(batch(ver(1, 4), set("/rs/a0.x", backend("a", "10.0.0.3:1")), set("/rs/a1.x", backend("a", "10.0.0.3:2")))); out.verdict != accepted {
		t.Errorf("after two returned: %q", out.verdict)
	}
	if k.served.Version() != ver(1, 4) || k.served.Lookup("a2.x", "/") != nil {
		t.Error("an ordinary withdrawal was not done")
	}
}

func TestKeeper_MeantWithdrawalIsDone(t *testing.T) {
	t.Parallel()
	all := batch(ver(1, 2), del("/rs/a0.x"), del("/rs/a1.x"), del("/rs/a2.x"), del("/rs/a3.x"), del("/rs/a4.x"))
	all.Meant = true
	k := keeperWith(t, ver(1, 1), apps(6))
	if out := k.Batch(all); out.verdict != accepted || k.served.Lookup("a0.x", "/") != nil {
		t.Errorf("by batch: %q", out.verdict)
	}
	k = keeperWith(t, ver(1, 1), apps(6))
	left := map[string]string{"/rs/a5.x": apps(6)["/rs/a5.x"]}
	if out := k.List(head(1, 3), left, func() []route.Batch { return []route.Batch{all} }); out.verdict != accepted {
		t.Errorf("by list, having missed the batch: %q", out.verdict)
	}
}

func TestKeeper_MeantCoversOnlyItsOwnBatch(t *testing.T) {
	t.Parallel()
	k := keeperWith(t, ver(1, 1), apps(9))
	k.Batch(batch(ver(1, 2), del("/rs/a0.x"), del("/rs/a1.x"), del("/rs/a2.x"), del("/rs/a3.x"), del("/rs/a4.x"), del("/rs/a5.x"), del("/rs/a6.x")))
	meant := batch(ver(1, 3), del("/rs/a7.x"))
	meant.Meant = true
	if out := k.Batch(meant); out.verdict != held || k.served.Lookup("a7.x", "/") != nil || k.served.Lookup("a0.x", "/") == nil {
		t.Errorf("%+v: a7.x must go and a0.x must stay", out)
	}
	if k.served.Version() != ver(1, 1) {
		t.Errorf("serves %v while routes are held", k.served.Version())
	}
}

func TestKeeper_SmallTablesMayLoseAnything(t *testing.T) {
	t.Parallel()
	k := keeperWith(t, ver(1, 1), apps(4))
	if out := k.List(head(1, 2), nil, noneMeant); out.verdict != accepted {
		t.Errorf("4 of 4 routes withdrawn: %q, want accepted", out.verdict)
	}
}

func TestKeeper_SameVersionOtherContentIsBelievedOnlyLater(t *testing.T) {
	t.Parallel()
	k := keeperWith(t, ver(1, 5), apps(3))
	if out := k.List(head(1, 5), apps(2), noneMeant); out.verdict != doubted || k.served.Lookup("a2.x", "/") == nil {
		t.Errorf("first time: %q", out.verdict)
	}
	if out := k.List(head(1, 5), apps(2), noneMeant); out.verdict != doubted {
		t.Errorf("without a later write: %q", out.verdict)
	}
	k.Batch(batch(ver(1, 6)))
	if out := k.List(head(1, 6), apps(2), noneMeant); out.verdict != accepted || k.served.Lookup("a2.x", "/") != nil {
		t.Errorf("after a later write: %q", out.verdict)
	}
	k.Batch(batch(ver(1, 7)))
	if out := k.List(head(1, 7), apps(2), noneMeant); out.verdict != unchanged {
		t.Errorf("agreeing: %q", out.verdict)
	}
}

// Whatever arrives in whatever order, what is served never goes back, and more
// than half of it never goes at once unless meant.
func TestKeeper_NeverGoesBackAndNeverLosesMostAtOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := NewKeeper()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			before := k.served
			v := ver(int64(rapid.IntRange(0, 2).Draw(t, "epoch")), int64(rapid.IntRange(0, 12).Draw(t, "seq")))
			if rapid.Bool().Draw(t, "list") {
				h := route.Head{Version: v}
				if rapid.Bool().Draw(t, "partial") {
					h.Base = ver(v.Epoch-1, int64(rapid.IntRange(0, 12).Draw(t, "base")))
				}
				k.List(h, apps(rapid.IntRange(0, 12).Draw(t, "apps")), noneMeant)
			} else {
				b := batch(v)
				for range rapid.IntRange(0, 8).Draw(t, "changes") {
					b.Changes = append(b.Changes, del(fmt.Sprintf("/rs/a%d.x", rapid.IntRange(0, 12).Draw(t, "app"))))
				}
				k.Batch(b)
			}
			if k.served.Version().Less(before.Version()) || k.wanted.Version().Less(k.served.Version()) {
				t.Fatalf("served %v → %v, wanted %v", before.Version(), k.served.Version(), k.wanted.Version())
			}
			if gone, of := table.Withdrawn(before, k.served); suspicious(gone, of) {
				t.Fatalf("%d of %d routes went at once", gone, of)
			}
		}
	})
}
