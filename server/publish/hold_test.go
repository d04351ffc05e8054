package publish

import (
	"log/slog"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// What waits when a safe mode begins was decided by a database that is not believed any more.
func TestPublisher_HeldWritesNothingThatWaits_NorWhatRedisHasLost(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := New(quick(), NewRedisTable(rdb), 1, time.Now, slog.New(slog.DiscardHandler), func() {})
		p.Set([]route.Change{set("/rs/a.test", "1"), set("/rs/b.test", "1")})
		p.Complete()
		all(t, p)
		p.Set([]route.Change{set("/rs/a.test", "2"), {Key: "/rs/b.test"}})
		p.Hold(true)
		all(t, p)
		wants(t, rdb, map[string]string{"/rs/a.test": "1", "/rs/b.test": "1"})
		rdb.FlushAll(t.Context())
		p.Mend()
		all(t, p)
		wants(t, rdb, map[string]string{})
		if p.Served() >= p.Revision() {
			t.Error("what waits counts as served")
		}
		p.Hold(false)
		all(t, p)
		wants(t, rdb, map[string]string{"/rs/a.test": "2"})
	})
}

// What is stale may be the last that leads to an instance nobody knows, which is stopped then.
func TestPublisher_ThatTheTableIsCompleteIsServedWhenWhatIsStaleHasGone(t *testing.T) {
	const alone = "nobody follows"
	for _, value := range []string{"1", "2", alone} { // as the leader before had it, and changed
		rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
		t.Cleanup(func() { rdb.Close() })
		old := inParts(NewRedisTable(rdb), 1)
		old.Set(append(backends(4, "1"), set("/rs/stale.test", "x")))
		old.Complete()
		all(t, old)
		p := inParts(NewRedisTable(rdb), 2)
		serves := p.head(t, rdb).Version
		follow := func() {
			if value == alone {
				return
			}
			line := route.RouterLine{ID: "r1", Serves: serves, At: time.Now()}
			rdb.HSet(t.Context(), route.RoutersKey, line.ID, route.EncodeRouterLine(line))
		}
		set := p.Set(backends(4, value))
		follow()
		p.Round(t.Context())
		p.Complete()
		rev := p.Revision()
		if rev <= set {
			t.Fatalf("complete at %d, set at %d", rev, set)
		}
		for n := 0; p.Served() < rev; n++ {
			if n > 20 {
				t.Fatal("it is never served")
			}
			before := p.head(t, rdb).Version
			follow()
			p.Round(t.Context())
			gone := rdb.Exists(t.Context(), "/rs/stale.test").Val() == 0
			if served := p.Served() >= rev; served && (!gone || value != alone && serves.Less(before)) {
				t.Fatalf("%s: served when the router has %s, and the table was at %s, without what is stale: %v", value, serves, before, gone)
			}
			serves = before // one round later
		}
	}
}
