package source

import (
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
	"github.com/dinp/dinp/test/testenv"
)

func TestSource_ListsThenFollows(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")), set("/cname/www.a", "a.x"))
		w := watch(t, fastConfig(l.c.Options().Addr, ""))
		w.serves(l)
		l.publish(false, set("/rs/b.x", backend("b", "10.0.0.1:2")))
		w.serves(l)
		l.publish(false, del("/rs/a.x"), del("/cname/www.a")) // an unbound domain goes, too
		w.serves(l)
		if n := w.Status().Lists; n != 1 {
			t.Errorf("%d listings, want 1: changes must be followed", n)
		}
	})
}

func TestSource_WaitsForTheFirstPublish(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		w := watch(t, fastConfig(l.c.Options().Addr, ""))
		w.eventually("no version", func() bool { return w.Status().Refusals[string(versionNo)] > 0 })
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		w.serves(l)
	})
}

func TestSource_FlushKeepsTheLastTableAndRepublishHeals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")), set("/cname/www.a", "a.x"))
		w := watch(t, fastConfig(l.c.Options().Addr, ""))
		w.serves(l)
		if err := l.c.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		w.eventually("flush noticed", func() bool { return w.Status().Refusals[string(versionNo)] > 0 })
		w.serves(l)
		l.republish()
		w.serves(l)
	})
}

func TestSource_RedisReplacedByAnEmptyOne(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		r := newRelay(t, l.c.Options().Addr)
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		w := watch(t, fastConfig(r.addr(), ""))
		w.serves(l)
		r.point("")
		w.eventually("lost", func() bool { return !w.Status().Connected })
		w.serves(l)
		m := l.on(newRedis())
		r.point(m.c.Options().Addr)
		w.eventually("empty one noticed", func() bool { return w.Status().Refusals[string(versionNo)] > 0 })
		w.serves(l)
		m.publish(false, set("/rs/b.x", backend("b", "10.0.0.1:2")))
		m.republish()
		w.serves(m)
	})
}

func TestSource_StaleReplicaIsNotServed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		stale := l.on(newRedis())
		stale.republish()
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:2")))
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:3")))
		r := newRelay(t, l.c.Options().Addr)
		w := watch(t, fastConfig(r.addr(), ""))
		w.serves(l)
		r.point(stale.c.Options().Addr)
		w.eventually("refused", func() bool { return w.Status().Refusals[string(refused)] > 0 })
		w.serves(l)
		now := l.on(stale.c.Options().Addr)
		now.publish(false, set("/rs/b.x", backend("b", "10.0.0.1:9"))) // contiguous with what is served
		w.serves(now)
	})
}

// The next leader finds a replica that lacks the last writes, and begins to write.
func TestSource_BeginningOfATermOnAStaleReplicaIsNotServedBeforeTheTableIsWhole(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		stale := l.on(newRedis())
		stale.republish()
		for i := range 5 {
			l.publish(false, set("/rs/b.x", backend("b", fmt.Sprintf("10.0.0.2:%d", 1+i))))
		}
		r := newRelay(t, l.c.Options().Addr)
		w := watch(t, fastConfig(r.addr(), snapshotPath(t)))
		w.serves(l)
		next := stale.on(stale.c.Options().Addr)
		next.base, next.at = stale.at, ver(stale.at.Epoch+1, 0)
		partial := func(c ...route.Change) {
			next.at.Seq++
			next.write(route.Batch{Version: next.at, Changes: c, Partial: true}, true)
		}
		partial()
		r.point(stale.c.Options().Addr)
		w.eventually("forgetful", func() bool { return w.Status().Refusals[string(forgetful)] > 0 })
		partial(set("/rs/c.x", backend("c", "10.0.0.3:1")))
		lists := w.Status().Refusals[string(forgetful)]
		w.eventually("forgetful again", func() bool { return w.Status().Refusals[string(forgetful)] > lists })
		w.serves(l)
		next.entries = maps.Clone(l.entries)
		next.entries["/rs/c.x"] = backend("c", "10.0.0.3:1")
		next.republish()
		w.serves(next)
	})
}

func TestSource_NewLeaderWithLowerSeqIsFollowed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		for range 3 {
			l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		}
		w := watch(t, fastConfig(l.c.Options().Addr, ""))
		w.serves(l)
		l.at = ver(l.at.Epoch+1, 0)
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:2")))
		w.serves(l)
	})
}

func TestSource_GapAndGarbageInTheStreamAreHealedByAListing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		w := watch(t, fastConfig(l.c.Options().Addr, ""))
		w.serves(l)
		v := backend("b", "10.0.0.1:2")
		l.entries["/rs/b.x"] = v
		l.at.Seq++
		l.write(batch(l.at, set("/rs/b.x", v)), false) // its stream entry is lost
		l.publish(false, set("/rs/c.x", backend("c", "10.0.0.1:3")))
		w.serves(l)
		l.c.XAdd(t.Context(), &redis.XAddArgs{Stream: route.ChangesKey, Values: []any{"batch", "{garbage"}})
		l.c.XAdd(t.Context(), &redis.XAddArgs{Stream: route.ChangesKey, Values: []any{"other", "field"}})
		l.publish(false, set("/rs/d.x", backend("d", "10.0.0.1:4")))
		w.serves(l)
	})
}

func TestSource_LostMessageIsNoticedOnAQuietStream(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		w := watch(t, fastConfig(l.c.Options().Addr, ""))
		w.serves(l)
		l.at.Seq++
		delete(l.entries, "/rs/a.x")
		l.write(batch(l.at, del("/rs/a.x")), false)
		w.serves(l)
	})
}

func TestSource_MassWithdrawalIsHeldUntilMeant(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		var all, none []route.Change
		for k, v := range apps(8) {
			all, none = append(all, set(k, v)), append(none, del(k))
		}
		l.publish(false, all...)
		path := snapshotPath(t)
		w := watch(t, fastConfig(l.c.Options().Addr, path))
		w.serves(l)
		before := l.at
		l.publish(false, none...)
		w.eventually("held", func() bool { return w.Status().Held })
		if hosts, _ := w.table().Len(); hosts != 8 || w.Status().Serves != before {
			t.Errorf("%d hosts at %v, want 8 at %v", hosts, w.Status().Serves, before)
		}
		w.stop() // nor does a restart lose them
		w = watch(t, fastConfig(l.c.Options().Addr, path))
		w.eventually("held again", func() bool { return w.Status().Held })
		l.publish(true, none...)
		w.serves(l)
	})
}

func TestSource_MeantWithdrawalMissedWhileAwayIsFoundInTheStream(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		r := newRelay(t, l.c.Options().Addr)
		var all, none []route.Change
		for k, v := range apps(8) {
			all, none = append(all, set(k, v)), append(none, del(k))
		}
		l.publish(false, all...)
		w := watch(t, fastConfig(r.addr(), ""))
		w.serves(l)
		r.point("")
		l.publish(true, none...)
		l.publish(false)
		r.point(l.c.Options().Addr)
		w.serves(l)
	})
}

func TestSource_StartsFromDiskWithoutRedis(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	path := snapshotPath(t)
	l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")), set("/cname/www.a", "a.x"))
	w := watch(t, fastConfig(l.c.Options().Addr, path))
	w.serves(l)
	w.stop()
	r := newRelay(t, "")
	w = watch(t, fastConfig(r.addr(), path))
	if !table.Equal(w.table(), mustTable(l)) { // at once: watch has called Load, no Redis was met
		t.Fatal("the table on disk is not served at start")
	}
	l.publish(false, set("/rs/b.x", backend("b", "10.0.0.1:2")))
	r.point(l.c.Options().Addr)
	w.serves(l)
}

func mustTable(l *leader) *table.Table {
	tb, _ := table.Build(l.at, l.entries, table.Empty())
	return tb
}

func TestSource_BrokenSnapshotDoesNotStopTheStart(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/routes"
	if err := os.WriteFile(path, []byte("dinp-routes-1 half"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLeader(t, testenv.Redis(t))
	l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
	w := watch(t, fastConfig(l.c.Options().Addr, path))
	w.serves(l)
	w.stop()
	if tb, err := loadSnapshot(path); err != nil || !table.Equal(tb, mustTable(l)) {
		t.Errorf("the broken file was not replaced: %v", err)
	}
}

func TestSource_BadValueKeepsTheLastGoodRoute(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		w := watch(t, fastConfig(l.c.Options().Addr, ""))
		w.serves(l)
		l.publish(false, set("/rs/a.x", "{"), set("/rs/b.x", backend("b", "10.0.0.1:2")))
		w.eventually("the rest", func() bool { return w.table().Lookup("b.x", "/") != nil })
		if w.table().Lookup("a.x", "/") == nil {
			t.Error("a bad value removed a route")
		}
		w.eventually("the count", func() bool { return w.Status().BadValues > 0 }) // the table is shown first
	})
}
