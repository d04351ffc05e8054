package proxy

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Ejection: an endpoint that does not take connections gets no requests for a
// while, doubling each time, until one trial request goes well.
const (
	ejectFirst   = time.Second
	ejectLongest = 30 * time.Second
	diedLimit    = 3 // connections in a row that died before an answer
)

// Retry budget: a burst, then one retry for five requests, so that retries
// never multiply the load on an app that is failing.
const (
	budgetBurst   = 20 * retryCost
	retryCost     = 5
	requestRefund = 1
)

func newLane() *lane {
	l := &lane{}
	l.tokens.Store(budgetBurst)
	return l
}

// refund credits a new request.
func (l *lane) refund() {
	if l.tokens.Load() < budgetBurst {
		l.tokens.Add(requestRefund)
	}
}

// spend pays for a retry, or reports that the budget is used up.
func (l *lane) spend() bool {
	if l.tokens.Add(-retryCost) >= 0 {
		return true
	}
	l.tokens.Add(retryCost)
	return false
}

// pick chooses the less busy of two endpoints drawn by weight, among those
// neither tried nor ejected. When all are, an ejected one is better than none.
// It returns nil when nothing is left to try. draw(n) is a random number below n.
func (q *pool) pick(now time.Duration, tried []*endpoint, draw func(int) int) *endpoint {
	if len(q.open) == 0 {
		return nil
	}
	total := q.sums[len(q.sums)-1]
	if e := q.better(q.index(draw(total)), q.index(draw(total)), now, tried); e != nil && e.admit(now) {
		return e
	}
	from := draw(len(q.open))
	for i := range q.open {
		e := q.open[(from+i)%len(q.open)]
		if e.usable(now, tried) && e.admit(now) {
			return e
		}
	}
	for i := range q.open {
		e := q.open[(from+i)%len(q.open)]
		if !e.gone.Load() && !slices.Contains(tried, e) {
			return e
		}
	}
	return nil
}

// better compares the load per weight; a draw goes to the first, so that an
// idle app's requests follow the weights exactly.
func (q *pool) better(i, j int, now time.Duration, tried []*endpoint) *endpoint {
	a, b := q.open[i], q.open[j]
	switch okA, okB := a.usable(now, tried), b.usable(now, tried); {
	case okA && okB:
		if b.inflight.Load()*int64(q.weight(i)) < a.inflight.Load()*int64(q.weight(j)) {
			return b
		}
		return a
	case okA:
		return a
	case okB:
		return b
	}
	return nil
}

func (e *endpoint) usable(now time.Duration, tried []*endpoint) bool {
	return !e.gone.Load() && !e.isEjected(now) && !slices.Contains(tried, e)
}

// admit lets one request at a time try an endpoint whose ejection is over; the
// others see it as ejected until that one has succeeded or the trial is stale.
func (e *endpoint) admit(now time.Duration) bool {
	until := e.until.Load()
	if until == 0 {
		return true
	}
	return now >= time.Duration(until) && e.until.CompareAndSwap(until, int64(now+ejectFirst))
}

// succeeded forgets failures.
func (e *endpoint) succeeded() {
	if e.fails.Load() != 0 || e.until.Load() != 0 {
		e.fails.Store(0)
		e.ejected.Store(0)
		e.until.Store(0)
	}
}

// failedTo notes a failure, and ejects the endpoint when it refuses
// connections or breaks them repeatedly — unless half of its app's endpoints
// are out already: then the fault is more likely ours, or all are equally bad.
func (q *pool) failedTo(e *endpoint, f failure, now time.Duration) {
	fails := e.fails.Add(1)
	if f != failDial && (f != failDied || fails < diedLimit) {
		return
	}
	q.lane.mu.Lock()
	defer q.lane.mu.Unlock()
	out := 0
	for _, o := range q.open {
		if o != e && o.until.Load() != 0 {
			out++
		}
	}
	if (out+1)*2 > len(q.open) {
		return
	}
	d := min(ejectFirst<<min(e.ejected.Load(), 5), ejectLongest)
	d += time.Duration(rand.Int64N(int64(d / 4)))
	e.ejected.Add(1)
	e.until.Store(int64(now + d))
}
