package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// inParts is a publisher of which each round writes one part of about one key.
func inParts(table Table, epoch int64) *Publisher {
	cfg := DefaultConfig()
	cfg.Part, cfg.Watch = 1, time.Nanosecond
	return New(cfg, table, epoch, time.Now, slog.New(slog.DiscardHandler), func() {})
}

func backends(n int, value string) (out []route.Change) {
	for i := range n {
		out = append(out, set(fmt.Sprintf("/rs/a%d.test", i), value))
	}
	return out
}

// batches are what the stream holds, the oldest first.
func batches(t *testing.T, rdb *redis.Client) (out []route.Batch) {
	t.Helper()
	for _, m := range rdb.XRange(t.Context(), route.ChangesKey, "-", "+").Val() {
		b, err := route.DecodeBatch(m.Values["batch"].(string))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func all(t *testing.T, p *Publisher) {
	t.Helper()
	for n := 0; p.Round(t.Context()) == 0; n++ {
		if n > 1000 {
			t.Fatal("it never ends")
		}
	}
}

func TestPublisher_OnlyTheLastPartSaysThatTheTableIsWhole(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := inParts(NewRedisTable(rdb), 3)
		p.Set(append(backends(4, "1"), set("/cname/www.a", "a0.test")))
		p.Complete()
		for n := range 5 {
			p.Round(t.Context())
			want := route.Head{Version: route.Version{Epoch: 3, Seq: int64(n + 1)}, Base: route.Nothing}
			if n == 4 {
				want.Base = route.Version{}
			}
			if h := p.head(t, rdb); h != want {
				t.Errorf("part %d: %+v, want %+v", n+1, h, want)
			}
		}
		for n, b := range batches(t, rdb) {
			if len(b.Changes) != 1 || b.Partial != (n < 4) || b.Anew != (n == 0) || (n == 4) != (b.Changes[0].Key == "/cname/www.a") {
				t.Errorf("part %d: %+v", n+1, b)
			}
		}
		// Changes of a table that is whole leave it whole, in parts as well.
		p.Set(backends(3, "2"))
		p.Round(t.Context())
		if h := p.head(t, rdb); h.Base != (route.Version{}) || h.Seq != 6 {
			t.Errorf("then %+v", h)
		}
	})
}

// flaky fails some writes, made or not.
type flaky struct {
	*RedisTable
	fail func() (unwritten, unanswered bool)
}

var errFlaky = errors.New("no answer")

func (f *flaky) Write(ctx context.Context, b route.Batch, after *route.Version) error {
	unwritten, unanswered := f.fail()
	if unwritten {
		return errFlaky
	}
	if err := f.RedisTable.Write(ctx, b, after); err != nil || !unanswered {
		return err
	}
	return errFlaky
}

func TestPublisher_PartsThatWentThroughAreNotWrittenAgainWhenOneFails(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		n := 0
		f := &flaky{RedisTable: NewRedisTable(rdb), fail: func() (bool, bool) { n++; return n == 3, n == 6 }}
		p := inParts(f, 1)
		p.Set(backends(9, "1"))
		p.Complete()
		for range 20 {
			p.Round(t.Context())
		}
		times := map[string]int{}
		for _, b := range batches(t, rdb) {
			for _, c := range b.Changes {
				times[c.Key]++
			}
		}
		again := 0
		for _, n := range times {
			again += n - 1
		}
		if len(times) != 9 || again > 1 { // that of which nobody knew
			t.Errorf("written: %v", times)
		}
		if h := p.head(t, rdb); h.Base != (route.Version{}) || p.Served() == 0 {
			t.Errorf("%+v, revision %d", h, p.Served())
		}
	})
}

// says is a router's line.
func says(t *testing.T, rdb *redis.Client, v route.Version) {
	t.Helper()
	if err := rdb.HSet(t.Context(), route.RoutersKey, "r1", route.EncodeRouterLine(route.RouterLine{ID: "r1", Serves: v, At: time.Now()})).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestPublisher_ARevisionIsServedWithTheLastOfItsParts(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := inParts(NewRedisTable(rdb), 1)
		p.Complete()
		all(t, p)
		first := p.Set(backends(1, "1"))
		second := p.Set([]route.Change{set("/rs/b.test", "1"), set("/rs/c.test", "1")})
		at := p.written
		for n, want := range []uint64{first, first, second} {
			at.Seq++
			says(t, rdb, at)
			for range 2 {
				if p.seq < at.Seq {
					p.Round(t.Context())
				}
			}
			if err := p.watch(t.Context()); err != nil || p.Served() != want {
				t.Errorf("part %d: revision %d is served, want %d, %v", n+1, p.Served(), want, err)
			}
		}
	})
}

// Redis fails over to a replica that lacks a write which no router has taken. What it
// lacks is written anew in parts with later versions than that write had: who serves the
// first of them serves nothing of it yet.
func TestPublisher_APartOfWhatRedisHasLostIsNotTakenForAllOfIt(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := inParts(NewRedisTable(rdb), 1)
		p.Set(backends(6, "1"))
		p.Complete()
		all(t, p)
		before := p.written
		says(t, rdb, before)
		p.Round(t.Context())
		rev := p.Set([]route.Change{set("/rs/a5.test", "2")})
		p.Round(t.Context())
		p.Set([]route.Change{set("/rs/a4.test", "2")})
		p.Round(t.Context())
		if p.Served() >= rev {
			t.Fatal("served before the router said so")
		}
		for n := range 6 { // the replica has less of it
			rdb.Set(t.Context(), fmt.Sprintf("/rs/a%d.test", n), "0", 0)
		}
		rdb.HSet(t.Context(), route.VersionKey, "seq", before.Seq-1)
		for p.head(t, rdb).Less(p.written) {
			p.Round(t.Context())
		}
		if h := p.head(t, rdb); h.Base != route.Nothing || !before.Less(h.Version) {
			t.Fatalf("%+v", h)
		}
		says(t, rdb, p.written)
		p.Round(t.Context())
		if p.Served() >= rev {
			t.Error("served with a part")
		}
		all(t, p)
		says(t, rdb, p.written)
		if p.Round(t.Context()); p.Served() < rev {
			t.Error("not served with all parts")
		}
		wants(t, rdb, map[string]string{"/rs/a0.test": "1", "/rs/a1.test": "1", "/rs/a2.test": "1", "/rs/a3.test": "1", "/rs/a4.test": "2", "/rs/a5.test": "2"})
	})
}

// However long it takes until a lost table is written anew: a router that waits for it
// does not hang, and has its time to take it then.
func TestPublisher_WaitsForARouterThatWaitsForATableBegunAnew(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		now, failing := time.Now(), false
		p := inParts(&flaky{RedisTable: NewRedisTable(rdb), fail: func() (bool, bool) { return failing, false }}, 1)
		p.now = func() time.Time { now = now.Add(time.Microsecond); return now }
		line := func(v route.Version) {
			rdb.HSet(t.Context(), route.RoutersKey, "r1", route.EncodeRouterLine(route.RouterLine{ID: "r1", Serves: v, At: now}))
		}
		p.Set(backends(6, "1"))
		p.Complete()
		all(t, p)
		before := p.written
		line(before)
		p.Round(t.Context())
		rev := p.Set([]route.Change{set("/rs/a5.test", "2")})
		p.Round(t.Context())
		rdb.FlushAll(t.Context())
		now = now.Add(p.cfg.Patience)
		line(before)
		for p.head(t, rdb) == (route.Head{}) {
			p.Round(t.Context())
		}
		for range 5 {
			now, failing = now.Add(2*time.Second), true
			line(before)
			p.Round(t.Context())
			if err := p.watch(t.Context()); err != nil || p.Served() >= rev {
				t.Fatalf("a router that waits for the whole table is not waited for: %v", err)
			}
		}
		failing = false
		for !p.whole {
			p.Round(t.Context())
		}
		line(before)
		if p.Round(t.Context()); p.Served() >= rev {
			t.Error("the router had no time to take the whole table")
		}
		line(p.written)
		if p.Round(t.Context()); p.Served() < rev {
			t.Error("not served when the router said so")
		}
	})
}

// The same while the leader has yet to say all of it.
func TestPublisher_WaitsForARouterThatWaitsForABeginningBegunAnew(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		now := time.Now()
		p := inParts(NewRedisTable(rdb), 2)
		p.now = func() time.Time { now = now.Add(time.Microsecond); return now }
		rdb.HSet(t.Context(), route.VersionKey, "epoch", 1, "seq", 1)
		p.Set(backends(3, "1"))
		for len(p.backlog.since) > 0 {
			p.Round(t.Context())
		}
		before := p.written
		for _, c := range backends(3, "0") {
			rdb.Set(t.Context(), c.Key, *c.Value, 0)
		}
		rev := p.Set(backends(1, "2"))
		p.synced = false // as after a write that failed
		for range 10 {
			rdb.HSet(t.Context(), route.RoutersKey, "r1", route.EncodeRouterLine(route.RouterLine{ID: "r1", Serves: before, At: now}))
			if p.Round(t.Context()); p.Served() >= rev {
				t.Fatal("a router that waits for the whole table is not waited for")
			}
			now = now.Add(2 * time.Second)
		}
		if h := p.head(t, rdb); h.Base != route.Nothing {
			t.Errorf("%+v", h)
		}
	})
}

// Redis is back at what is wanted by a failover, but routers have seen what was written
// in between.
func TestPublisher_WhatIsWantedAgainIsToldThoughRedisHasLostThatItWasNot(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := inParts(NewRedisTable(rdb), 1)
		p.Complete()
		for _, v := range []string{"1", "2"} {
			p.Set(backends(1, v))
			all(t, p)
		}
		rdb.Set(t.Context(), "/rs/a0.test", "1", 0)
		rdb.HSet(t.Context(), route.VersionKey, "seq", p.seq-1)
		p.Set(backends(1, "1"))
		all(t, p)
		last := batches(t, rdb)
		if c := last[len(last)-1].Changes; len(c) != 1 || *c[0].Value != "1" {
			t.Errorf("written: %+v", c)
		}
	})
}

func TestPublisher_ALeaderWritesAnewOnlyWhatDiffers(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		for epoch := int64(1); epoch < 3; epoch++ {
			p := inParts(NewRedisTable(rdb), epoch)
			p.Set(backends(3, "1"))
			p.Set([]route.Change{{Key: "/rs/never.test"}})
			p.Complete()
			all(t, p)
		}
		if all := batches(t, rdb); len(all) != 4 || len(all[3].Changes) != 0 || all[3].Partial {
			t.Errorf("written: %+v", all)
		}
	})
}

// A router that has it from before Redis lost the table would never be told otherwise.
func TestPublisher_WhatIsDeletedWhenRedisIsFlushedIsToldAllTheSame(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := inParts(NewRedisTable(rdb), 1)
		p.Set(backends(3, "1"))
		p.Complete()
		all(t, p)
		rdb.FlushAll(t.Context())
		p.Set([]route.Change{{Key: "/rs/a1.test"}})
		all(t, p)
		var deleted []string
		for _, b := range batches(t, rdb) {
			for _, c := range b.Changes {
				if c.Value == nil {
					deleted = append(deleted, c.Key)
				}
			}
		}
		if !slices.Equal(deleted, []string{"/rs/a1.test"}) {
			t.Errorf("deleted: %v", deleted)
		}
		wants(t, rdb, map[string]string{"/rs/a0.test": "1", "/rs/a2.test": "1"})
	})
}
