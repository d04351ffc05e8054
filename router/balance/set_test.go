package balance

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "shop.local"

// rig is a Set with one app's backend.
type rig struct {
	*Set
	t   testing.TB
	seq int64
}

func newRig(t testing.TB) *rig { return &rig{Set: New(), t: t} }

// route swaps in a table in which shop has exactly these endpoints.
func (r *rig) route(addrs ...string) {
	r.t.Helper()
	b := route.Backend{App: "shop", Endpoints: []route.Endpoint{}}
	for _, a := range addrs {
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: a, Instance: "i-" + a, Release: 7, Weight: 100})
	}
	r.put(b)
}

func (r *rig) put(b route.Backend) {
	r.t.Helper()
	r.seq++
	t, bad := table.Build(route.Version{Epoch: 1, Seq: r.seq}, map[string]string{"/rs/" + host: route.EncodeBackend(b)}, r.Table())
	if len(bad) > 0 {
		r.t.Fatal(bad)
	}
	r.Swap(t)
}

func (r *rig) claim() Claimed { return r.Claim(host, Ask{}, nil, r.Now()) }

// conns counts what its path is told.
type conns struct{ closed atomic.Int32 }

func (c *conns) CloseIdleConnections() { c.closed.Add(1) }

func TestClaim_EndpointThatLeftTakesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.route("127.0.0.1:1")
	at := r.claim()
	if at.Endpoint == nil {
		t.Fatal("an endpoint of the table takes nothing")
	}
	r.route()
	if at.Endpoint.claim() || at.Endpoint.InFlight() != 1 || !at.Endpoint.Gone() {
		t.Errorf("claimed after it had left; %d in flight, want the 1 from before", at.Endpoint.InFlight())
	}
	if got := r.claim(); got != (Claimed{}) {
		t.Errorf("claimed %+v of an app without endpoints", got)
	}
}

func TestClaim_NothingInMaintenanceOrWithoutHost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put(route.Backend{App: "shop", Maintenance: true, Endpoints: []route.Endpoint{{Addr: "127.0.0.1:1", Instance: "a", Weight: 100}}})
	if at := r.claim(); at.Endpoint != nil {
		t.Error("claimed in maintenance")
	}
	if at := r.Claim("other.local", Ask{}, nil, 0); at.Endpoint != nil {
		t.Error("claimed for a host that is not in the table")
	}
}

func TestClaim_AllocatesNothing(t *testing.T) {
	for _, p := range []Policy{Least, RoundRobin, Weighted, Hash} {
		r := newRig(t)
		r.route("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
		q, _ := r.pool(host)
		q.policy = p
		tried := make([]*Endpoint, 0, 3)
		n := testing.AllocsPerRun(1000, func() {
			now := r.Now()
			at := r.Claim(host, Ask{Key: HashKey("x"), Keyed: true}, tried[:0], now)
			at.Answered(200, now)
			at.Endpoint.Done()
		})
		if n != 0 {
			t.Errorf("policy %q: %v allocations per request", p, n)
		}
	}
}

func TestSwap_ForgetsWhatLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.route("127.0.0.1:1")
	r.claim()
	r.route()
	pools := 0
	r.pools.Range(func(any, any) bool { pools++; return true })
	if len(r.endpoints) != 0 || pools != 0 {
		t.Errorf("%d endpoints and %d pools kept", len(r.endpoints), pools)
	}
	r.Swap(table.Empty())
	if len(r.lanes) != 0 {
		t.Errorf("%d lanes kept", len(r.lanes))
	}
}

func TestSwap_TellsEachPathOfALeavingEndpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var full, fast, late conns
	slot := r.Attach(func(*Endpoint) Conns { return &full })
	r.Attach(func(*Endpoint) Conns { return &fast })
	var retired []string
	r.OnRetire(func(e *Endpoint, _ time.Duration) { retired = append(retired, e.Addr) })
	r.route("127.0.0.1:1")
	e := r.claim().Endpoint
	if e.Conns(slot) != Conns(&full) {
		t.Fatal("a path was given what is not its own")
	}
	r.route("127.0.0.1:2")
	if full.closed.Load() != 1 || fast.closed.Load() != 0 || len(retired) != 1 || retired[0] != "127.0.0.1:1" {
		t.Errorf("closed %d and %d times, retired %v", full.closed.Load(), fast.closed.Load(), retired)
	}
	r.open[1] = func(*Endpoint) Conns { return &late }
	if e.Conns(1); late.closed.Load() != 1 {
		t.Error("what a path made for a claim from before was not told that the endpoint is gone")
	}
}

// Whatever is claimed and swapped at the same time: when Swap has returned, an
// endpoint that left counts down only.
func TestSwap_NoClaimAfterItAtALeavingEndpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.route("127.0.0.1:1", "127.0.0.1:2")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var claims atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				at := r.claim()
				if at.Endpoint == nil {
					t.Error("nothing to claim")
					return
				}
				claims.Add(1)
				at.Answered(200+rand.IntN(2)*303, r.Now())
				at.Endpoint.Done()
			}
		})
	}
	addrs := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
	for i := range 500 {
		r.mu.Lock() // a claimer may be making the pool
		leaving := r.endpoints[endpointKey(host, route.Endpoint{Addr: addrs[i%3], Instance: "i-" + addrs[i%3]})]
		r.mu.Unlock()
		r.route(addrs[(i+1)%3], addrs[(i+2)%3])
		if leaving == nil {
			continue
		}
		for n := leaving.InFlight(); n > 0; {
			now := leaving.InFlight()
			if now > n+4 { // four claimers may each be between counting and looking
				t.Fatalf("requests in flight went from %d to %d after the endpoint had left", n, now)
			}
			n = now
		}
	}
	close(stop)
	wg.Wait()
	if claims.Load() == 0 {
		t.Error("nothing was claimed")
	}
}

func BenchmarkClaim(b *testing.B) {
	for _, p := range []Policy{Least, RoundRobin, Weighted, Hash} {
		b.Run(string(p), func(b *testing.B) {
			r := newRig(b)
			r.route("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")
			q, _ := r.pool(host)
			q.policy = p
			b.ReportAllocs()
			for b.Loop() {
				at := r.Claim(host, Ask{Key: 7, Keyed: true}, nil, time.Second)
				at.Answered(200, time.Second)
				at.Endpoint.Done()
			}
		})
	}
}
