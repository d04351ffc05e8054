package balance

import (
	"math/rand/v2"
	"time"
)

// admit lets one request at a time try an endpoint whose ejection is over; the
// others see it as ejected until that one has succeeded or the trial is stale.
func (e *Endpoint) admit(now time.Duration) bool {
	until := e.until.Load()
	if until == 0 {
		return true
	}
	if now < time.Duration(until) || !e.until.CompareAndSwap(until, int64(now+EjectFirst)) {
		return false
	}
	e.trial.Store(true)
	return true
}

// succeeded forgets failures.
func (e *Endpoint) succeeded() {
	if e.fails.Load() != 0 || e.sick.Load() != 0 || e.until.Load() != 0 {
		e.fails.Store(0)
		e.sick.Store(0)
		e.ejected.Store(0)
		e.until.Store(0)
	}
}

// answered notes a response head. 502, 503 and 504 say that the instance
// cannot do its work; a run of them ejects, and one in answer to a trial ejects
// for longer.
func (q *Pool) answered(e *Endpoint, status int, now time.Duration) {
	if status < 502 || status > 504 {
		e.succeeded()
		return
	}
	if e.sick.Add(1) >= sickLimit || e.until.Load() != 0 {
		q.eject(e, now)
	}
}

// failed notes a failure, and ejects the endpoint when it refuses connections
// or breaks them repeatedly.
func (q *Pool) failed(e *Endpoint, f Failure, now time.Duration) {
	if f != Dial && f != Died {
		return
	}
	if fails := e.fails.Add(1); f == Dial || fails >= diedLimit || e.until.Load() != 0 {
		q.eject(e, now)
	}
}

// eject takes an endpoint out — unless half of its app's endpoints are out
// already: then the fault is more likely ours, or all are equally bad. Requests
// that were under way when it went out do not lengthen its time.
func (q *Pool) eject(e *Endpoint, now time.Duration) {
	q.lane.mu.Lock()
	defer q.lane.mu.Unlock()
	if e.until.Load() != 0 && !e.trial.Load() {
		return
	}
	out := 0
	for _, o := range q.open {
		if o != e && o.until.Load() != 0 {
			out++
		}
	}
	if (out+1)*2 > len(q.open) {
		return
	}
	d := min(EjectFirst<<min(e.ejected.Load(), 5), EjectLongest)
	d += time.Duration(rand.Int64N(int64(d / 4)))
	e.ejected.Add(1)
	e.trial.Store(false)
	e.until.Store(int64(now + d))
}

// amnesty lets the endpoints in again that would make more than half of the
// pool, those first whose time is over soonest: others have left since.
func (q *Pool) amnesty() {
	q.lane.mu.Lock()
	defer q.lane.mu.Unlock()
	for {
		var first *Endpoint
		out := 0
		for _, e := range q.open {
			if until := e.until.Load(); until != 0 {
				out++
				if first == nil || until < first.until.Load() {
					first = e
				}
			}
		}
		if out == 0 || out*2 <= len(q.open) {
			return
		}
		first.until.Store(0)
	}
}
