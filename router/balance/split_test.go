package balance

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

// split is a pool of a canary that has a tenth of the requests, beside three old
// endpoints.
func split(policy string) route.Backend {
	b := route.Backend{App: "shop", Settings: &model.Routing{Policy: policy}}
	for i, addr := range []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"} {
		e := route.Endpoint{Addr: addr, Instance: "i-" + addr, Release: 1, Weight: 3}
		if i == 1 {
			e.Release, e.Weight = 2, 1
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	return b
}

// A canary that fails answers at once, so it is never busy; one that hangs always
// is. Neither changes its share.
func TestSplit_AShareDoesNotFollowTheLoad(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{model.PolicyLeast, model.PolicyRoundRobin, model.PolicyWeighted} {
		for name, busy := range map[string]struct{ canary, old int64 }{"idle": {0, 0}, "the canary answers at once": {0, 50}, "the canary hangs": {500, 2}} {
			r := newRig(t)
			r.put(split(policy))
			q, _ := r.pool(host)
			for _, e := range q.open {
				e.born.Store(0)
				if e.inflight.Store(busy.old); e.Release == 2 {
					e.inflight.Store(busy.canary)
				}
			}
			random, canary := rand.New(rand.NewPCG(1, 2)), 0
			const n = 20_000
			for range n {
				if q.pick(time.Minute, Ask{}, nil, random.IntN).Release == 2 {
					canary++
				}
			}
			if canary < n*9/100 || canary > n*11/100 { // five standard deviations
				t.Errorf("%s, %s: the canary got %d of %d requests, want a tenth", policy, name, canary, n)
			}
		}
	}
}

// One instance beside one, each with a half: the weights are equal, and yet shares.
func TestSplit_AHalfIsAShareToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put(route.Backend{App: "shop", Endpoints: []route.Endpoint{
		{Addr: "10.0.0.1:1", Instance: "old", Release: 1, Weight: 1}, {Addr: "10.0.0.2:1", Instance: "new", Release: 2, Weight: 1},
	}})
	q, _ := r.pool(host)
	for _, e := range q.open {
		e.born.Store(0)
		e.inflight.Store(int64(100 * (2 - e.Release))) // the new one answers at once
	}
	random, canary := rand.New(rand.NewPCG(1, 2)), 0
	for range 10_000 {
		if q.pick(time.Minute, Ask{}, nil, random.IntN).Release == 2 {
			canary++
		}
	}
	if canary < 4750 || canary > 5250 { // five standard deviations
		t.Errorf("the canary got %d of 10000 requests, want half", canary)
	}
}

func TestSplit_TheLoadIsBalancedAmongARelease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put(split(model.PolicyLeast))
	q, _ := r.pool(host)
	var busy *Endpoint
	for _, e := range q.open {
		if e.Release == 1 && busy == nil {
			busy = e
			e.inflight.Store(100)
		}
	}
	random, got := rand.New(rand.NewPCG(1, 2)), 0
	for range 9000 {
		if q.pick(time.Minute, Ask{}, nil, random.IntN) == busy {
			got++
		}
	}
	if got > 1200 { // a ninth of the old ones' 8100 chose it twice
		t.Errorf("the busy one got %d of 9000", got)
	}
}
