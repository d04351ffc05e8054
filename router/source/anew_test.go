package source

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// begun is a leader that has lost most of its table in Redis and writes it anew, part
// by part.
func begun(l *leader) (part func(c ...route.Change)) {
	l.base = route.Nothing
	return func(c ...route.Change) {
		l.t.Helper()
		l.at.Seq++
		l.write(route.Batch{Version: l.at, Changes: c, Partial: true, Anew: true}, true)
	}
}

// A router that has missed a part waits with what it has for the last one, and does not
// read all that is there for each.
func TestSource_ATableBegunAnewIsNotReadBeforeItIsWhole(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")), set("/rs/b.x", backend("b", "10.0.0.2:1")))
		var reads atomic.Int32
		w := watchWith(t, fastConfig(l.c.Options().Addr, ""), func(s *Source) {
			s.read = func(ctx context.Context, c *redis.Client) (listing, error) {
				reads.Add(1)
				return readListing(ctx, c)
			}
		})
		w.serves(l)
		l.c.FlushAll(t.Context())
		l.at.Seq++ // which nobody has seen
		before := reads.Load()
		was := l.at
		part := begun(l)
		for n := range 3 {
			refusals := w.Status().Refusals[string(forgetful)]
			part(set("/rs/a.x", backend("a", fmt.Sprintf("10.0.0.1:%d", 2+n))))
			w.eventually("forgetful", func() bool { return w.Status().Refusals[string(forgetful)] > refusals })
		}
		if v := w.table().Version(); !v.Less(was) || w.table().Host("b.x") == nil {
			t.Errorf("%s is served before the table is whole", v)
		}
		l.entries["/rs/a.x"] = backend("a", "10.0.0.1:9")
		if n := reads.Load() - before; n > 1 { // at most one, of the moment when there was nothing
			t.Errorf("all was read %d times", n)
		}
		l.republish()
		w.serves(l)
	})
}

// Who has followed every part lacks nothing, whatever a sweep finds in Redis.
func TestSource_ASweepOfATableBegunAnewIsNotBelieved(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")), set("/rs/b.x", backend("b", "10.0.0.2:1")))
		cfg := fastConfig(l.c.Options().Addr, "")
		cfg.Relist = time.Millisecond
		var reads atomic.Int32
		w := watchWith(t, cfg, func(s *Source) {
			s.read = func(ctx context.Context, c *redis.Client) (listing, error) {
				l, err := readListing(ctx, c)
				reads.Add(1)
				return l, err
			}
		})
		w.serves(l)
		part := begun(l)
		part() // contiguous
		l.c.Del(t.Context(), "/rs/b.x")
		for n := range 5 {
			part(set("/rs/a.x", backend("a", fmt.Sprintf("10.0.0.1:%d", 2+n))))
			w.eventually("followed", func() bool { return w.table().Version() == l.at })
			seen := reads.Load()
			w.eventually("swept", func() bool { return reads.Load() > seen+1 })
		}
		if w.table().Host("b.x") == nil {
			t.Error("a route went that the leader has yet to write")
		}
		l.entries["/rs/a.x"] = backend("a", "10.0.0.1:9")
		l.republish()
		w.serves(l)
	})
}
