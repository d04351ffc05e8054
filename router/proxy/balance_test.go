package proxy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func poolOf(weights ...int) *pool {
	q := &pool{lane: newLane()}
	sum := 0
	for i, w := range weights {
		e := &endpoint{instance: fmt.Sprint(i)}
		sum += w
		q.open, q.sums = append(q.open, e), append(q.sums, sum)
	}
	return q
}

func TestPick_FollowsTheWeightsWhenIdle(t *testing.T) {
	t.Parallel()
	q := poolOf(10, 30, 60)
	r := rand.New(rand.NewPCG(1, 2))
	count := map[*endpoint]int{}
	const n = 100_000
	for range n {
		count[q.pick(0, nil, r.IntN)]++
	}
	for i, want := range []float64{0.1, 0.3, 0.6} {
		if got := float64(count[q.open[i]]) / n; math.Abs(got-want) > 0.01 {
			t.Errorf("endpoint %d got %.3f of the requests, want %.1f", i, got, want)
		}
	}
}

func TestPick_PrefersTheLessBusy(t *testing.T) {
	t.Parallel()
	q := poolOf(100, 100)
	q.open[0].inflight.Store(5)
	r := rand.New(rand.NewPCG(1, 2))
	count := 0
	for range 1000 {
		if q.pick(0, nil, r.IntN) == q.open[1] {
			count++
		}
	}
	if count < 700 { // drawn twice each, the busy one wins only when drawn both times
		t.Errorf("the idle endpoint got %d of 1000", count)
	}
}

func TestPick_ComparesLoadPerWeight(t *testing.T) {
	t.Parallel()
	q := poolOf(10, 90)
	q.open[0].inflight.Store(2)
	q.open[1].inflight.Store(9) // half the load for its weight
	for i := range 2 {
		if q.better(i, 1-i, 0, nil) != q.open[1] {
			t.Error("the endpoint with more requests for its weight was chosen")
		}
	}
}

func TestEject_HalfOpenLetsOneThrough(t *testing.T) {
	t.Parallel()
	q := poolOf(100, 100)
	bad, good := q.open[0], q.open[1]
	r := rand.New(rand.NewPCG(1, 2))
	q.failedTo(bad, failDial, 0)
	if !bad.isEjected(0) || !bad.isEjected(ejectFirst-1) {
		t.Fatal("not ejected for its first second")
	}
	for range 100 {
		if q.pick(0, nil, r.IntN) != good {
			t.Fatal("an ejected endpoint was chosen")
		}
	}
	after := 2 * ejectFirst
	trials := 0
	for range 100 {
		if q.pick(after, nil, r.IntN) == bad {
			trials++
		}
	}
	if trials != 1 {
		t.Errorf("%d requests tried the endpoint at once, want 1", trials)
	}
	bad.succeeded()
	if bad.isEjected(after) || !bad.admit(after) {
		t.Error("still out after a success")
	}
}

func TestEject_GrowsAndIsBounded(t *testing.T) {
	t.Parallel()
	q := poolOf(1, 1)
	last := time.Duration(0)
	for range 12 {
		q.failedTo(q.open[0], failDial, 0)
		last = time.Duration(q.open[0].until.Load())
	}
	if last < ejectLongest/2 || last > ejectLongest*5/4 {
		t.Errorf("out for %v after 12 failures", last)
	}
}

func TestEject_NeverMoreThanHalfAndAlwaysSomeoneToAsk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := poolOf(rapid.SliceOfN(rapid.IntRange(1, 200), 1, 9).Draw(t, "weights")...)
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "draw") }
		now := time.Duration(1)
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond
			e := q.open[draw(len(q.open))]
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				e.succeeded()
			case 1:
				q.failedTo(e, failDied, now)
			default:
				q.failedTo(e, failDial, now)
			}
			out := 0
			for _, e := range q.open {
				if e.isEjected(now) {
					out++
				}
			}
			if out*2 > len(q.open) {
				t.Fatalf("%d of %d are out", out, len(q.open))
			}
			tried := q.open[:rapid.IntRange(0, len(q.open)-1).Draw(t, "tried")]
			if e := q.pick(now, tried, draw); e == nil {
				t.Fatal("nobody to ask, though some were not tried")
			}
		}
		if q.pick(now, q.open, draw) != nil {
			t.Fatal("an endpoint was tried twice")
		}
	})
}
