package balance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func pooled(p Policy, weights ...int) *Pool {
	q := poolOf(weights...)
	q.policy, q.cycle = p, cycleOf(q)
	for i, e := range q.open {
		e.Token = Token(mix(uint64(i) + 1))
	}
	return q
}

var genWeights = rapid.SliceOfN(rapid.IntRange(1, 200), 1, 9)

func TestRoundRobin_EveryCycleFollowsTheWeightsExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := genWeights.Draw(t, "weights")
		q := pooled(RoundRobin, weights...)
		count := map[*Endpoint]int{}
		for range q.cycle.turns {
			count[q.pick(0, Ask{}, nil, rand.IntN)]++
		}
		for i, e := range q.open {
			if count[e] != weights[i]/q.cycle.scale {
				t.Fatalf("endpoint %d got %d turns of %d, its weight is %d", i, count[e], q.cycle.turns, weights[i])
			}
		}
	})
}

func TestRoundRobin_EqualOnesTakeTurns(t *testing.T) {
	t.Parallel()
	q := pooled(RoundRobin, 100, 100, 100, 100, 100)
	for i := range 20 {
		seen := map[*Endpoint]bool{}
		for range 5 {
			seen[q.pick(0, Ask{}, nil, rand.IntN)] = true
		}
		if len(seen) != 5 {
			t.Fatalf("round %d met %d of 5", i, len(seen))
		}
	}
}

func TestWeighted_LoadDoesNotMatter(t *testing.T) {
	t.Parallel()
	q := pooled(Weighted, 90, 10)
	q.open[0].inflight.Store(1000)
	r, n := rand.New(rand.NewPCG(1, 2)), 0
	for range 10_000 {
		if q.pick(0, Ask{}, nil, r.IntN) == q.open[1] {
			n++
		}
	}
	if n < 800 || n > 1200 {
		t.Errorf("a tenth of the weight got %d of 10000", n)
	}
}

func TestHash_OnlyTheKeysOfAnEndpointThatGoesMove(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := pooled(Hash, genWeights.Draw(t, "weights")...)
		out := q.open[rapid.IntRange(0, len(q.open)-1).Draw(t, "out")]
		for key := range uint64(50) {
			ask := Ask{Key: mix(key), Keyed: true}
			home := q.pick(0, ask, nil, rand.IntN)
			if home != q.pick(0, ask, nil, rand.IntN) {
				t.Fatal("one key, two endpoints")
			}
			out.gone.Store(true)
			now := q.pick(0, ask, nil, rand.IntN)
			out.gone.Store(false)
			if home != out && now != home || home == out && now == out {
				t.Fatalf("key %d went from %v to %v when %v left", key, home.Instance, now, out.Instance)
			}
		}
	})
}

func TestHash_LoadStaysWithinItsBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := genWeights.Draw(t, "weights")
		q := pooled(Hash, weights...)
		n := rapid.IntRange(1, 300).Draw(t, "requests")
		for range n { // one key for all: the worst there is
			q.pick(0, Ask{Key: 7, Keyed: true}, nil, rand.IntN).inflight.Add(1)
		}
		for i, e := range q.open {
			most := float64(n)*float64(weights[i])/float64(q.total())*boundPercent/100 + 1
			if got := float64(e.inflight.Load()); got > most {
				t.Fatalf("endpoint %d holds %v of %d, at most %.1f may be there", i, got, n, most)
			}
		}
	})
}

func TestHash_KeysSpreadByWeight(t *testing.T) {
	t.Parallel()
	q := pooled(Hash, 10, 30, 60)
	count := map[*Endpoint]int{}
	for i := range 30_000 {
		count[q.pick(0, Ask{Key: HashKey(fmt.Sprint("user-", i)), Keyed: true}, nil, rand.IntN)]++
	}
	for i, want := range []int{3000, 9000, 18000} {
		if got := count[q.open[i]]; got < want*9/10 || got > want*11/10 {
			t.Errorf("endpoint %d has %d keys, want about %d", i, got, want)
		}
	}
}

func TestPrefer_WinsWhileItsEndpointServes(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{Least, RoundRobin, Weighted, Hash} {
		q := pooled(p, 100, 100, 100)
		home := q.open[1]
		home.inflight.Store(500)
		for range 50 {
			if q.pick(0, Ask{Prefer: home.Token}, nil, rand.IntN) != home {
				t.Fatalf("policy %q left the session's endpoint", p)
			}
		}
		q.failed(home, Dial, 0)
		if e := q.pick(0, Ask{Prefer: home.Token}, nil, rand.IntN); e == nil || e == home {
			t.Errorf("policy %q: the session stayed at an endpoint that is out", p)
		}
		if q.pick(0, Ask{Prefer: 12345}, nil, rand.IntN) == nil {
			t.Errorf("policy %q: an unknown session is served by nobody", p)
		}
	}
}

func TestSlowStart_ANewcomerBesideWarmOnesGetsLittleAtFirst(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{Least, RoundRobin, Weighted} {
		r := newRig(t)
		r.route("127.0.0.1:1", "127.0.0.1:2")
		first := r.claim().Endpoint
		if first.Done(); first.warmth(r.Now()) != 1000 {
			t.Fatal("held back though all are new")
		}
		r.route("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
		q, _ := r.pool(host)
		q.policy = p
		fresh := q.open[2]
		share := func(at time.Duration) (n int) {
			d := rand.New(rand.NewPCG(1, 2))
			for range 3000 {
				if q.pick(at, Ask{}, nil, d.IntN) == fresh {
					n++
				}
			}
			return n
		}
		born := time.Duration(fresh.born.Load())
		early, middle, late := share(born), share(born+slowStart/2), share(born+slowStart)
		if early > 300 || early == 0 || middle <= early || late < 850 || late > 1150 {
			t.Errorf("policy %q: %d, %d and %d of 3000 at the start, half-way and at the end", p, early, middle, late)
		}
	}
}

func TestAmnesty_WhenHealthyOnesLeaveNotMoreThanHalfAreOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.route("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")
	q, _ := r.pool(host)
	q.failed(q.open[0], Dial, 0)
	q.failed(q.open[1], Dial, 0)
	r.route("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
	r.claim() // makes the pool
	out := 0
	for _, s := range r.States(r.Table().Host(host)) {
		if s.Ejected {
			out++
		}
	}
	if out != 1 {
		t.Errorf("%d of 3 are out", out)
	}
}
