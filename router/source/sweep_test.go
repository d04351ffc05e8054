package source

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/test/testenv"
)

// slowly makes every listing but the first wait for free.
func slowly(sweeping chan<- struct{}, free <-chan struct{}) func(*Source) {
	return func(s *Source) {
		var lists atomic.Int32
		s.read = func(ctx context.Context, c *redis.Client) (listing, error) {
			l, err := readListing(ctx, c)
			if lists.Add(1) > 1 {
				select {
				case sweeping <- struct{}{}:
				default:
				}
				select {
				case <-free:
				case <-ctx.Done():
				}
			}
			return l, err
		}
	}
}

// A list of 100,000 routes takes a second or more; no change may wait for it.
func TestSource_ChangesAreFollowedWhileAllIsSwept(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:80")), set("/rs/b.x", backend("b", "10.0.0.2:80")))
		cfg := fastConfig(l.c.Options().Addr, "")
		cfg.Relist = time.Millisecond
		sweeping, free := make(chan struct{}, 1), make(chan struct{})
		w := watchWith(t, cfg, slowly(sweeping, free))
		w.serves(l)
		<-sweeping
		for i := range 20 {
			l.publish(false, set("/rs/a.x", backend("a", fmt.Sprintf("10.0.1.%d:80", i))))
			w.serves(l)
		}
		// What was lost from Redis without a version is found by the sweeps, and
		// believed once a later write has not healed it.
		l.c.Set(t.Context(), "/rs/b.x", backend("b", "10.0.0.9:80"), 0)
		l.entries["/rs/b.x"] = backend("b", "10.0.0.9:80")
		close(free)
		w.eventually("doubted", func() bool { return w.Status().Refusals[string(doubted)] > 0 })
		l.publish(false, set("/rs/a.x", backend("a", "10.0.2.1:80")))
		w.serves(l)
	})
}

func TestSource_StopsWhileItSweeps(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:80")))
	cfg := fastConfig(l.c.Options().Addr, "")
	cfg.Relist = time.Millisecond
	sweeping := make(chan struct{}, 1)
	w := watchWith(t, cfg, slowly(sweeping, nil))
	<-sweeping
	w.stop() // and no goroutine is left: TestMain looks
}

func TestSweep_GivesUpWhenTheLeaderWritesTooMuchMeanwhile(t *testing.T) {
	t.Parallel()
	s := New(Config{}, testLogger(t), nil)
	stopped := false
	s.sweep = &sweep{stop: func() { stopped = true }}
	for i := range maxSince + 1 {
		s.note(batch(ver(1, int64(i+1))))
	}
	if s.sweep != nil || !stopped {
		t.Errorf("%d batches are kept", maxSince+1)
	}
}
