package balance

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// Set is the table in use and the state of its endpoints. Make it with New,
// let the paths Attach, then give it tables with Swap.
type Set struct {
	table     atomic.Pointer[table.Table]
	pools     sync.Map             // *table.Backend → *Pool, of the table's backends only
	mu        sync.Mutex           // guards endpoints, lanes, and changes of table and pools
	endpoints map[string]*Endpoint // by key
	lanes     map[string]*Lane     // by app host
	open      []func(*Endpoint) Conns
	retired   []func(*Endpoint, time.Duration)
	left      []func(host string)
	since     time.Time // origin of Now
}

// New returns a Set with an empty table.
func New() *Set {
	s := &Set{endpoints: map[string]*Endpoint{}, lanes: map[string]*Lane{}, since: time.Now()}
	s.table.Store(table.Empty())
	return s
}

// Attach gives a path its slot. open makes what the path keeps for an endpoint,
// when the path first asks for it; it must not call the Set. Attach before the
// first Swap.
func (s *Set) Attach(open func(*Endpoint) Conns) Slot {
	if len(s.open) == maxSlots {
		panic("balance: more paths than slots")
	}
	s.open = append(s.open, open)
	return Slot(len(s.open) - 1)
}

// OnRetire has f called for every endpoint that leaves the table, after it is
// marked as gone and its idle connections are closed, and before Swap returns,
// with the time for which upgraded connections to it may go on. f must not block
// and must not call the Set. Call it before the first Swap.
func (s *Set) OnRetire(f func(*Endpoint, time.Duration)) { s.retired = append(s.retired, f) }

// OnLeave has f called with the host of every app that leaves the table, before
// Swap returns. The conditions of OnRetire hold.
func (s *Set) OnLeave(f func(host string)) { s.left = append(s.left, f) }

// Now returns the time since the Set was made, by a monotonic clock.
func (s *Set) Now() time.Duration { return time.Since(s.since) }

// Table returns the table in use.
func (s *Set) Table() *table.Table { return s.table.Load() }

// Claimed is a chosen endpoint that counts one request more, and the pool it
// was chosen from. Its zero value is "none".
type Claimed struct {
	Endpoint *Endpoint
	pool     *Pool
}

// Lane returns what the app's requests share.
func (c Claimed) Lane() *Lane { return c.pool.lane }

// Answered notes the status of the endpoint's response head.
func (c Claimed) Answered(status int, now time.Duration) { c.pool.answered(c.Endpoint, status, now) }

// Failed notes that the attempt got no response head.
func (c Claimed) Failed(f Failure, now time.Duration) { c.pool.failed(c.Endpoint, f, now) }

// Claim chooses and takes an endpoint of the backend of an app's host — the
// Host of the Backend that the path looked up, not that of the request — in the
// table of this moment, which may be newer than the one the request began with.
// Without a tried endpoint it counts as a new request for the retry budget.
// Claimed is zero when the app has no backend any more, is in maintenance, or
// has no endpoint left to try; Table tells which.
func (s *Set) Claim(host string, ask Ask, tried []*Endpoint, now time.Duration) Claimed {
	for {
		q, b := s.pool(host)
		if q == nil || b.Maintenance {
			return Claimed{}
		}
		e := q.pick(now, ask, tried, rand.IntN)
		if e == nil && s.Table().Host(host) == b {
			return Claimed{}
		}
		if e == nil || !e.claim() {
			continue // the table was swapped between the look and the claim
		}
		if len(tried) == 0 {
			q.lane.refund()
		}
		return Claimed{Endpoint: e, pool: q}
	}
}

// pool returns the pool of a host in the table in use, and nil when the host
// is not in it. Pools are made when first asked for.
func (s *Set) pool(host string) (*Pool, *table.Backend) {
	b := s.Table().Host(host)
	if b == nil {
		return nil, nil
	}
	if v, ok := s.pools.Load(b); ok {
		return v.(*Pool), b
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the lock the table cannot be swapped, so no pool of an old table
	// is stored after Swap has removed them.
	if b = s.Table().Host(host); b == nil {
		return nil, nil
	}
	if v, ok := s.pools.Load(b); ok {
		return v.(*Pool), b
	}
	made := s.makePool(b)
	s.pools.Store(b, made)
	return made, b
}

func (s *Set) makePool(b *table.Backend) *Pool {
	l := s.lanes[b.Host]
	known := l != nil
	if !known {
		l = newLane()
		s.lanes[b.Host] = l
	}
	q := newPool(policyOf(b), l)
	if joined := q.fill(b, s); known {
		q.warmUp(joined, s.Now())
	}
	q.amnesty()
	return q
}

func policyOf(b *table.Backend) Policy {
	if b.Settings == nil || b.Settings.Policy == model.PolicyLeast {
		return Least
	}
	return Policy(b.Settings.Policy)
}

func endpointKey(host string, e route.Endpoint) string {
	return host + " " + e.Instance + " " + e.Addr
}

func (s *Set) endpointFor(host string, re route.Endpoint) (e *Endpoint, fresh bool) {
	key := endpointKey(host, re)
	if e := s.endpoints[key]; e != nil {
		return e, false
	}
	e = newEndpoint(s, re)
	s.endpoints[key] = e
	return e, true
}

// Swap makes t the table in use and returns the apps that left with the old
// one. When it returns, no request starts any more at an endpoint that t does
// not have; those in flight there end by themselves.
func (s *Set) Swap(t *table.Table) (gone []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.table.Swap(t)
	for _, b := range table.Changed(old, t) {
		s.pools.Delete(b)
		now := t.Host(b.Host)
		s.retire(b, now)
		if now == nil {
			delete(s.lanes, b.Host)
			gone = append(gone, b.App)
			for _, f := range s.left {
				f(b.Host)
			}
		}
	}
	return gone
}

// retire ends the endpoints of b that its successor does not have.
func (s *Set) retire(b, now *table.Backend) {
	kept := map[string]bool{}
	if now != nil {
		for _, e := range now.Endpoints() {
			kept[endpointKey(b.Host, e)] = true
		}
	}
	for _, re := range b.Endpoints() {
		key := endpointKey(b.Host, re)
		e := s.endpoints[key]
		if e == nil || kept[key] {
			continue
		}
		delete(s.endpoints, key)
		e.retire()
		for _, f := range s.retired {
			f(e, b.Drain())
		}
	}
}

// State is what a Set knows of an endpoint beyond the table.
type State struct {
	route.Endpoint
	InFlight int64 `json:"in_flight"`
	Ejected  bool  `json:"ejected,omitempty"`
	Warming  bool  `json:"warming,omitempty"` // in its slow start
}

// States returns the state of a backend's endpoints, in the table's order.
func (s *Set) States(b *table.Backend) []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []State{}
	for _, re := range b.Endpoints() {
		st := State{Endpoint: re}
		if e := s.endpoints[endpointKey(b.Host, re)]; e != nil {
			st.InFlight, st.Ejected, st.Warming = e.InFlight(), e.isEjected(s.Now()), e.warmth(s.Now()) < 1000
		}
		out = append(out, st)
	}
	return out
}

// Close closes the idle connections of all endpoints.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.endpoints {
		e.closeIdle()
	}
}
