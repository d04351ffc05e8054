package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func poolOf(weights ...int) *Pool {
	q := newPool(Least, newLane())
	for i, w := range weights {
		e := &Endpoint{Instance: fmt.Sprint(i)}
		q.add(e, w)
	}
	return q
}

func TestPick_FollowsTheWeightsWhenIdle(t *testing.T) {
	t.Parallel()
	q := poolOf(10, 30, 60)
	r := rand.New(rand.NewPCG(1, 2))
	count := map[*Endpoint]int{}
	const n = 100_000
	for range n {
		count[q.pick(0, Ask{}, nil, r.IntN)]++
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
		if q.pick(0, Ask{}, nil, r.IntN) == q.open[1] {
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
	q.failed(bad, Dial, 0)
	if !bad.isEjected(0) || !bad.isEjected(EjectFirst-1) {
		t.Fatal("not ejected for its first second")
	}
	for range 100 {
		if q.pick(0, Ask{}, nil, r.IntN) != good {
			t.Fatal("an ejected endpoint was chosen")
		}
	}
	after := 2 * EjectFirst
	trials := 0
	for range 100 {
		if q.pick(after, Ask{}, nil, r.IntN) == bad {
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

func TestEject_GrowsWithEachFailedTrialAndIsBounded(t *testing.T) {
	t.Parallel()
	q := poolOf(1, 1)
	e, now, last := q.open[0], time.Duration(0), time.Duration(0)
	for i := range 12 {
		q.failed(e, Dial, now)
		q.failed(e, Dial, now) // one that was under way
		last = time.Duration(e.until.Load()) - now
		if want := min(EjectFirst<<i, EjectLongest); last < want || last > want*5/4 {
			t.Errorf("out for %v after %d failed trials, want %v and up to a quarter more", last, i, want)
		}
		now += last
		if !e.admit(now) {
			t.Fatal("no trial after the ejection")
		}
	}
}

func TestEject_ARunOf502To504(t *testing.T) {
	t.Parallel()
	q := poolOf(1, 1)
	e := q.open[0]
	for i := range sickLimit - 1 {
		q.answered(e, 502+i%3, 0)
	}
	q.answered(e, 500, 0) // the app's own error: it works
	for range sickLimit - 1 {
		q.answered(e, 503, 0)
	}
	if e.isEjected(0) {
		t.Fatal("ejected without a run")
	}
	q.answered(e, 504, 0)
	if !e.isEjected(0) {
		t.Fatal("not ejected after a run")
	}
	now := 2 * EjectFirst
	if !e.admit(now) {
		t.Fatal("no trial after the ejection")
	}
	if q.answered(e, 503, now); !e.isEjected(now + EjectFirst*3/2) {
		t.Error("the trial failed, but it did not go out for longer")
	}
	now += 4 * EjectFirst
	if !e.admit(now) {
		t.Fatal("no second trial")
	}
	if q.answered(e, 200, now); e.isEjected(now) || e.ejected.Load() != 0 {
		t.Error("still out after the trial went well")
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
				q.failed(e, Died, now)
			default:
				q.failed(e, Dial, now)
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
			if e := q.pick(now, Ask{}, tried, draw); e == nil {
				t.Fatal("nobody to ask, though some were not tried")
			}
		}
		if q.pick(now, Ask{}, q.open, draw) != nil {
			t.Fatal("an endpoint was tried twice")
		}
	})
}
