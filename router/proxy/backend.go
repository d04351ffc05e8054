package proxy

import (
	"net/http"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// endpoint is the state of one instance at one address. It outlives table
// swaps, and ends when its instance leaves the table.
type endpoint struct {
	addr, instance string
	release        int
	transport      *http.Transport // its own, so that its idle connections can be closed alone

	inflight atomic.Int64
	gone     atomic.Bool  // left the table: claims nothing any more; never set back
	until    atomic.Int64 // ejected until then, in Proxy.now; 0 is not ejected
	fails    atomic.Int32 // in a row
	ejected  atomic.Int32 // times in a row, for the length of the next
}

// claim takes the endpoint for one request, unless it has left. The order
// matters: Swap sets gone and then relies on no request starting.
func (e *endpoint) claim() bool {
	e.inflight.Add(1)
	if e.gone.Load() {
		e.inflight.Add(-1)
		return false
	}
	return true
}

// lane is what an app's requests share: the retry budget, and the lock under
// which its endpoints are ejected.
type lane struct {
	mu     sync.Mutex
	tokens atomic.Int64
}

// pool is a backend of the present table, ready to choose from. Weights are
// here and not in the endpoints: they may change while the state goes on.
type pool struct {
	lane *lane
	open []*endpoint // those with weight
	sums []int       // running sums of open's weights
}

func endpointKey(host string, e route.Endpoint) string {
	return host + " " + e.Instance + " " + e.Addr
}

// pool returns the pool of a host in the table in use, and nil when the host
// is not in it. Pools are made when first asked for.
func (p *Proxy) pool(host string) (*pool, *table.Backend) {
	b := p.Table().Lookup(host)
	if b == nil {
		return nil, nil
	}
	if v, ok := p.pools.Load(b); ok {
		return v.(*pool), b
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// Under the lock the table cannot be swapped, so no pool of an old table
	// is stored after Swap has removed them.
	if b = p.Table().Lookup(host); b == nil {
		return nil, nil
	}
	if v, ok := p.pools.Load(b); ok {
		return v.(*pool), b
	}
	made := p.makePool(b)
	p.pools.Store(b, made)
	return made, b
}

func (p *Proxy) makePool(b *table.Backend) *pool {
	l := p.lanes[b.Host]
	if l == nil {
		l = newLane()
		p.lanes[b.Host] = l
	}
	made := &pool{lane: l}
	sum := 0
	for _, re := range b.Endpoints {
		if re.Weight > 0 {
			sum += re.Weight
			made.open = append(made.open, p.endpointFor(b.Host, re))
			made.sums = append(made.sums, sum)
		}
	}
	return made
}

func (p *Proxy) endpointFor(host string, re route.Endpoint) *endpoint {
	key := endpointKey(host, re)
	e := p.endpoints[key]
	if e == nil {
		e = &endpoint{addr: re.Addr, instance: re.Instance, release: re.Release, transport: p.newTransport()}
		p.endpoints[key] = e
	}
	return e
}

// Swap makes t the table in use and returns the apps that left with the old
// one. When it returns, no request starts any more at an endpoint that t does
// not have; those in flight there end by themselves.
func (p *Proxy) Swap(t *table.Table) (gone []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.table.Swap(t)
	for _, b := range table.Changed(old, t) {
		p.pools.Delete(b)
		now := t.Host(b.Host)
		p.retire(b, now)
		if now == nil {
			delete(p.lanes, b.Host)
			gone = append(gone, b.App)
		}
	}
	return gone
}

// retire ends the endpoints of b that its successor does not have.
func (p *Proxy) retire(b, now *table.Backend) {
	kept := map[string]bool{}
	if now != nil {
		for _, e := range now.Endpoints {
			kept[endpointKey(b.Host, e)] = true
		}
	}
	for _, re := range b.Endpoints {
		key := endpointKey(b.Host, re)
		e := p.endpoints[key]
		if e == nil || kept[key] {
			continue
		}
		delete(p.endpoints, key)
		e.gone.Store(true)
		// Connections still in use are closed when they fall idle: the
		// transport remembers that it was told to.
		e.transport.CloseIdleConnections()
	}
}

// EndpointState is what the proxy knows of an endpoint beyond the table.
type EndpointState struct {
	route.Endpoint
	InFlight int64 `json:"in_flight"`
	Ejected  bool  `json:"ejected,omitempty"`
}

// States returns the state of a backend's endpoints, in the table's order.
func (p *Proxy) States(b *table.Backend) []EndpointState {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]EndpointState, 0, len(b.Endpoints))
	for _, re := range b.Endpoints {
		s := EndpointState{Endpoint: re}
		if e := p.endpoints[endpointKey(b.Host, re)]; e != nil {
			s.InFlight, s.Ejected = e.inflight.Load(), e.isEjected(p.now())
		}
		out = append(out, s)
	}
	return out
}

func (e *endpoint) isEjected(now time.Duration) bool {
	until := time.Duration(e.until.Load())
	return until != 0 && now < until
}

// index returns the open endpoint that a number below the sum of the weights
// falls on.
func (q *pool) index(n int) int { return sort.SearchInts(q.sums, n+1) }

func (q *pool) weight(i int) int {
	if i == 0 {
		return q.sums[0]
	}
	return q.sums[i] - q.sums[i-1]
}
