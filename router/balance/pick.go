package balance

import "time"

// Slow start: a new endpoint beside warm ones gets a share that grows from a
// tenth of its weight to all of it.
const (
	slowStart = 10 * time.Second
	slowLeast = 100 // of 1000
)

// pick chooses by the pool's policy among the endpoints neither tried nor
// ejected; a session's own endpoint comes first. When all are out, an ejected
// one is better than none. It returns nil when nothing is left to try.
// draw(n) is a random number below n.
func (q *Pool) pick(now time.Duration, ask Ask, tried []*Endpoint, draw func(int) int) *Endpoint {
	if len(q.open) == 0 {
		return nil
	}
	if e := q.find(ask.Prefer); e != nil && e.usable(now, tried) && e.admit(now) {
		return e
	}
	if e := q.choose(now, ask, tried, draw); e != nil && e.admit(now) {
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
		if !e.gone.Load() && !among(e, tried) {
			return e
		}
	}
	return nil
}

func (q *Pool) find(t Token) *Endpoint {
	if t == 0 {
		return nil
	}
	for _, e := range q.open {
		if e.Token == t {
			return e
		}
	}
	return nil
}

// choose returns the policy's choice, or nil when it is one that cannot take
// the request.
func (q *Pool) choose(now time.Duration, ask Ask, tried []*Endpoint, draw func(int) int) *Endpoint {
	switch {
	case q.policy == RoundRobin:
		return q.next(now, tried, draw)
	case q.policy == Weighted:
		e := q.open[q.drawn(now, draw)]
		if e.usable(now, tried) {
			return e
		}
		return nil
	case q.policy == Hash && ask.Keyed:
		return q.hashed(ask.Key, now, tried)
	}
	first := q.drawn(now, draw)
	if q.peers != nil {
		return q.better(first, q.peer(first, draw), now, tried)
	}
	return q.better(first, q.drawn(now, draw), now, tried)
}

// drawn draws an endpoint by weight. One that is not warm yet is often passed
// over for another draw.
func (q *Pool) drawn(now time.Duration, draw func(int) int) int {
	i := q.index(draw(q.total()))
	for range 3 {
		if w := q.open[i].warmth(now); w == 1000 || draw(1000) < w {
			break
		}
		i = q.index(draw(q.total()))
	}
	return i
}

// warmth is the share of its weight that an endpoint gets now, in 1/1000.
func (e *Endpoint) warmth(now time.Duration) int {
	born := time.Duration(e.born.Load())
	switch age := now - born; {
	case born == 0:
		return 1000
	case age >= slowStart:
		e.born.CompareAndSwap(int64(born), 0)
		return 1000
	default:
		return slowLeast + int(int64(max(age, 0))*(1000-slowLeast)/int64(slowStart))
	}
}

// better compares the load per weight; a draw goes to the first, so that an
// idle app's requests follow the weights exactly.
func (q *Pool) better(i, j int, now time.Duration, tried []*Endpoint) *Endpoint {
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

// next returns the endpoint whose turn it is. Turns of endpoints that are out
// go to the next in turn, so that nobody's neighbour gets them all.
func (q *Pool) next(now time.Duration, tried []*Endpoint, draw func(int) int) *Endpoint {
	for range len(q.open) {
		e := q.open[q.index(q.cycle.at(q.lane.turn.Add(1)-1))]
		if w := e.warmth(now); w < 1000 && draw(1000) >= w {
			continue
		}
		if e.usable(now, tried) {
			return e
		}
	}
	return nil
}
