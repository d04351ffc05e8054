package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/sql/store"
)

// slowWorld is a rig both of whose reads at the beginning of a term take long.
type slowWorld struct {
	*rig
	worlds int
	fails  error     // the first
	away   time.Time // until when the routes in force are not read
	done   func()
}

func (s *slowWorld) World(ctx context.Context) (store.World, error) {
	if s.worlds++; s.worlds > 1 {
		return s.rig.World(ctx)
	}
	<-time.After(3 * time.Second)
	if s.fails != nil {
		return store.World{}, s.fails
	}
	return s.rig.World(ctx)
}

func (s *slowWorld) Current(ctx context.Context) (map[string]string, route.Head, error) {
	<-time.After(3 * time.Second)
	if time.Now().Before(s.away) {
		return nil, route.Head{}, errors.New("away")
	}
	return s.rig.Current(ctx)
}

func (s *slowWorld) Set(c []route.Change) uint64 { // what a leader does once it has read all
	s.done()
	return s.rig.Set(c)
}

// takeUp runs a loop over a cluster that was there before until it sets a route, and
// returns after how long it did.
func takeUp(t *testing.T, fails error, away time.Duration) (took time.Duration, worlds int) {
	t.Helper()
	r := newRig(t)
	r.deploy("shop", 0)
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	s := &slowWorld{rig: r, fails: fails, away: began.Add(away)}
	s.done = func() { took = time.Since(began); cancel() }
	l := NewLoop(r.core.cfg, r.core.lease, Deps{Store: s, Routes: s, Traffic: r, NewID: func() string { return "i" }, Log: slog.New(slog.DiscardHandler)}, make(chan dispatch.Event))
	if err := l.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return took, s.worlds
}

func TestLoop_ReadsItsRowsWhileItReadsTheRoutesInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if took, worlds := takeUp(t, nil, 0); took != 3*time.Second || worlds != 1 {
			t.Errorf("it took %s with %d reads of all rows, want 3s with one", took, worlds)
		}
	})
}

func TestLoop_ReadsItsRowsAgainWhenThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if took, worlds := takeUp(t, errors.New("away"), 0); took != 4*time.Second || worlds != 2 {
			t.Errorf("it took %s with %d reads of all rows, want 4s with two", took, worlds)
		}
	})
}

// While that fails the loop works all the same, but for the routes.
func TestLoop_ReadsTheRoutesInForceUntilItHasThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if took, _ := takeUp(t, nil, 4*time.Minute); took < 4*time.Minute || took > 4*time.Minute+7*time.Second {
			t.Errorf("it set the first route after %s, want it soon after the 4m for which they were not to be read", took)
		}
	})
}

func TestLoop_GathersTheLongerTheLongerItsRoundsTake(t *testing.T) {
	for _, tt := range []struct{ took, want time.Duration }{
		{0, 20 * time.Millisecond},
		{30 * time.Millisecond, 20 * time.Millisecond},
		{400 * time.Millisecond, 200 * time.Millisecond},
		{time.Minute, longestGathering},
	} {
		if got := gatherFor(20*time.Millisecond, tt.took); got != tt.want {
			t.Errorf("after a round of %s: %s, want %s", tt.took, got, tt.want)
		}
	}
	if got := gatherFor(5*time.Second, time.Minute); got != 5*time.Second {
		t.Errorf("a debounce of 5 s became %s", got)
	}
}
