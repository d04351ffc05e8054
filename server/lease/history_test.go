package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

func TestHistory_EpochsGrowWhateverClocksSay(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_000_000)
	for name, c := range map[string]struct {
		seen store.Lease
		told int64
		want int64
	}{
		"the first is the time":                        {store.Lease{}, 0, 1_000_000},
		"the clock went on":                            {store.Lease{Epoch: 900_000, Age: 5000}, 0, 1_000_000},
		"the clock was set back into the term before":  {store.Lease{Epoch: 990_000, Age: 60_000}, 0, 1_050_001},
		"the clock was set back before the one before": {store.Lease{Epoch: 2_000_000, Age: 60_000}, 0, 2_060_001},
		"somebody has obeyed a higher one":             {store.Lease{Epoch: 990_000}, 3_000_000, 3_000_001},
		"somebody has obeyed a higher one long ago":    {store.Lease{Epoch: 4_000_000}, 3_000_000, 4_000_001},
	} {
		var h History
		if c.told > 0 {
			h.Ended(store.Lease{Epoch: 5}, fmt.Errorf("wrapped: %w", &Overtaken{Epoch: c.told, By: "node n1"}))
		}
		if got := h.Floor(c.seen, now); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestHistory_ATermThatStepsOverAnotherLooksBackAsFar(t *testing.T) {
	t.Parallel()
	found := model.Moment{Epoch: 100, Age: 7}
	low := store.Lease{Owner: "a", Epoch: 200, Before: found}
	next := store.Lease{Owner: "a", Epoch: 900, Before: model.Moment{Epoch: 200, Age: 50}}
	var h History
	if got := h.Took(next); got != next {
		t.Errorf("the first term became %+v", got)
	}
	h.Ended(low, &Overtaken{Epoch: 899})
	if got := h.Took(next); got.Before != found || got.Below != 200 {
		t.Errorf("%+v, want it to look back to %+v", got, found)
	}
	other := store.Lease{Owner: "a", Epoch: 900, Before: model.Moment{Epoch: 300}} // somebody led in between
	if got := h.Took(other); got != other {
		t.Errorf("after another's term it became %+v", got)
	}
	h.Ended(low, ErrLost)
	if got := h.Took(next); got != next {
		t.Errorf("after a term that ended otherwise it became %+v", got)
	}
}

func TestOvertakes_OnceAMinuteAndNotByTheImpossible(t *testing.T) {
	t.Parallel()
	first, raised := store.Lease{Epoch: 100}, store.Lease{Epoch: 100, Below: 50}
	for _, c := range []struct {
		epoch int64
		held  store.Lease
		led   time.Duration
		want  bool
	}{
		{101, first, 0, true}, {100, first, time.Hour, false}, {99, first, time.Hour, false}, {-1, first, time.Hour, false},
		{101, raised, 59 * time.Second, false}, {101, raised, time.Minute, true},
		{1 << 52, first, 0, true}, {1<<52 + 1, first, time.Hour, false}, {1<<63 - 1, first, time.Hour, false},
	} {
		if got := Overtakes(c.epoch, c.held, c.led); got != c.want {
			t.Errorf("epoch %d, held %+v for %s: %v", c.epoch, c.held, c.led, got)
		}
	}
}

// A leader that is told of a higher epoch leads again at once, above it, although
// another server waits for the lease.
func TestLease_AnOvertakenLeaderStepsOverWhatItWasToldOf(t *testing.T) {
	st, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	future := time.Now().Add(time.Hour).UnixMilli()
	var terms [2]atomic.Pointer[store.Lease]
	var n atomic.Int32
	waits := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	l := New(times("a"), st, slog.New(slog.DiscardHandler))
	go func() {
		done <- l.Run(ctx, func(ctx context.Context, held store.Lease) error {
			at := n.Add(1) - 1
			terms[min(at, 1)].Store(&held)
			if at == 0 {
				select {
				case <-waits:
				case <-ctx.Done():
				}
				return errors.Join(errors.New("something else besides"), &Overtaken{Epoch: future, By: "node n1"})
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	await(t, "it leads", func() bool { return terms[0].Load() != nil })
	b := run(t, st, "b")
	await(t, "b waits", func() bool { return b.Leader() != nil })
	close(waits)
	await(t, "it leads again", func() bool { return terms[1].Load() != nil })
	first, second := terms[0].Load(), terms[1].Load()
	if second.Epoch != future+1 || second.Below != first.Epoch || second.Before != first.Before {
		t.Errorf("first %+v, then %+v, told of %d", first, second, future)
	}
	if led, _ := b.led(); len(led) > 0 {
		t.Errorf("another led in between: %+v", led)
	}
}
