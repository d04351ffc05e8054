package routes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/source"
	"github.com/dinp/dinp/router/table"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/test/testenv"
)

// rig is a Redis with a router that follows it.
type rig struct {
	t   *testing.T
	rdb *redis.Client
	*router
}

// router is what one serves.
type router struct {
	t      *testing.T
	mu     sync.Mutex
	served *table.Table
	full   bool // a whole table was served: less is a loss from then on
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, rdb: redis.NewClient(&redis.Options{Addr: testenv.Redis(t), DisableIdentity: true, MaxRetries: -1})}
	t.Cleanup(func() { r.rdb.Close() })
	r.router = r.route("r1")
	return r
}

// route runs a router's source and the reporter of what it serves.
func (r *rig) route(id string) *router {
	to := &router{t: r.t, served: table.Empty()}
	cfg := source.RedisConfig{Addr: r.rdb.Options().Addr}
	log := slog.New(slog.DiscardHandler)
	var reporter *source.Reporter
	src := source.New(source.Config{Redis: cfg, Relist: time.Hour, Idle: 50 * time.Millisecond}, log, func(t *table.Table) {
		to.take(t)
		reporter.Wake()
	})
	reporter = source.NewReporter(cfg, log, func() route.RouterLine {
		return route.RouterLine{ID: id, Serves: src.Status().Serves, At: time.Now()}
	})
	r.run(src.Run)
	r.run(reporter.Run)
	return to
}

// run runs a part until the test ends.
func (r *rig) run(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			r.t.Errorf("it ends with %v", err)
		}
	})
}

// take is the router's swap. It looks at every table that is served: none loses an
// app, and no domain of it points nowhere.
func (r *router) take(t *table.Table) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hosts, _ := t.Len()
	if before, _ := r.served.Len(); hosts < before && r.full {
		r.t.Errorf("%s has %d apps, %s before it had %d", t.Version(), hosts, r.served.Version(), before)
	}
	for d, host := range t.Domains() {
		if t.Host(host) == nil {
			r.t.Errorf("in %s the domain %s points to %s, which is not there", t.Version(), d, host)
		}
	}
	r.served = t
}

func (r *router) serves() *table.Table {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served
}

// await waits until the router serves a table.
func (r *router) await(want map[string]string) {
	r.t.Helper()
	whole, bad := table.Build(route.Version{}, want, table.Empty())
	if len(bad) > 0 {
		r.t.Fatal(bad[0])
	}
	testenv.Eventually(r.t, 2*time.Minute, func() error {
		if got := r.serves(); !table.Equal(got, whole) {
			hosts, domains := got.Len()
			return fmt.Errorf("%s with %d apps and %d domains is served, of %d keys", got.Version(), hosts, domains, len(want))
		}
		return nil
	})
	r.mu.Lock()
	r.full = true
	r.mu.Unlock()
}

// faulty is a table of which some writes fail: made or not, nobody can tell.
type faulty struct {
	publish.Table
	writes atomic.Int64
	fail   func(n int64) (before, after bool) // what happens to the n-th write
}

var errCut = errors.New("the connection was cut")

func (f *faulty) Write(ctx context.Context, b route.Batch, after *route.Version) error {
	var before, late bool
	if n := f.writes.Add(1); f.fail != nil {
		before, late = f.fail(n)
	}
	if before {
		return errCut
	}
	if err := f.Table.Write(ctx, b, after); err != nil || !late {
		return err
	}
	return errCut
}

func (r *rig) publisher(epoch int64, part int, f *faulty) *publish.Publisher {
	f.Table = publish.NewRedisTable(r.rdb)
	cfg := publish.DefaultConfig()
	cfg.Part = part
	return publish.New(cfg, f, epoch, time.Now, slog.New(slog.DiscardHandler), func() {})
}

// apps is a table of so many apps with an instance and a domain each.
func apps(n int, release int) map[string]string {
	out := make(map[string]string, 2*n)
	for i := range n {
		host := fmt.Sprintf("a%d.test", i)
		out[route.BackendPrefix+host] = route.EncodeBackend(route.Backend{App: fmt.Sprintf("a%d", i), Endpoints: []route.Endpoint{
			{Addr: fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255), Instance: fmt.Sprintf("i%d", i), Release: release, Weight: route.NormalWeight},
		}})
		out[fmt.Sprintf("%swww.a%d.example", route.DomainPrefix, i)] = host
	}
	return out
}

func set(p *publish.Publisher, want map[string]string) uint64 {
	var changes []route.Change
	for k, v := range want {
		changes = append(changes, route.Change{Key: k, Value: &v})
	}
	return p.Set(changes)
}

func TestRoutes_OfManyAppsReachARouterInParts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := &faulty{}
	p := r.publisher(1, 64<<10, f)
	want := apps(20_000, 1)
	rev := set(p, want)
	p.Complete()
	r.run(p.Run)
	r.await(want)
	testenv.Eventually(t, time.Minute, func() error {
		if p.Served() < rev {
			return fmt.Errorf("revision %d is served, of %d", p.Served(), rev)
		}
		return nil
	})
	if n := f.writes.Load(); n < 30 {
		t.Errorf("all was written in %d parts", n)
	}
}

// What was written before a part failed stays, and what the router serves is never less
// than before, though Redis has lost all of it.
func TestRoutes_OfAFlushedRedisAreWrittenAnewInPartsOfWhichSomeFail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := &faulty{}
	p := r.publisher(1, 16<<10, f)
	want := apps(3000, 1)
	set(p, want)
	p.Complete()
	for p.Round(t.Context()) == 0 {
	}
	r.await(want)
	r.rdb.FlushAll(t.Context())
	before := f.writes.Load()
	f.fail = func(n int64) (bool, bool) { return n%10 == 3, n%10 == 7 }
	for range 1000 {
		if p.Round(t.Context()); p.Served() > 0 && r.head().Base == (route.Version{}) && r.head().Seq > 0 {
			break
		}
	}
	r.await(want)
	r.route("r2").await(want) // one that knew nothing
	if n := f.writes.Load() - before; n < 30 || n > 120 {
		t.Errorf("%d writes: parts that went through were written again", n)
	}
	if h := r.head(); h.Base != (route.Version{}) {
		t.Errorf("%+v is not the whole table", h)
	}
}

func (r *rig) head() route.Head {
	h, err := publish.NewRedisTable(r.rdb).Head(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// A leader dies between two parts of a table that Redis had lost; the next one says
// the rest. The router waits for it with what it has.
func TestRoutes_TheNextLeaderWritesTheRest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := apps(3000, 1)
	first := r.publisher(1, 16<<10, &faulty{})
	set(first, old)
	first.Complete()
	for first.Round(t.Context()) == 0 {
	}
	r.await(old)

	r.rdb.FlushAll(t.Context())
	dies := r.publisher(2, 16<<10, &faulty{fail: func(n int64) (bool, bool) { return n > 5, false }})
	set(dies, old)
	dies.Complete()
	for range 3 {
		dies.Round(t.Context())
	}
	if h := r.head(); h.Base != route.Nothing || h.Epoch != 2 {
		t.Fatalf("%+v after five parts", h)
	}

	next := r.publisher(3, 16<<10, &faulty{})
	want := maps.Clone(old)
	maps.Copy(want, apps(1500, 2))
	delete(want, "/cname/www.a2999.example")
	set(next, want)
	next.Round(t.Context())
	if h := r.head(); h.Base != route.Nothing || h.Epoch != 3 {
		t.Fatalf("%+v before the table is complete", h)
	}
	next.Complete()
	for next.Round(t.Context()) == 0 {
	}
	r.await(want)
}
