package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/testenv"
)

// fleet is a whole cluster: servers in processes of their own, over a MariaDB
// that waits for the disk and a Redis, with a herd of agents.
type fleetRun struct {
	b           *bench
	t           *trial
	nodes       int
	each        int // instances a node has in the end
	connections int // of an agent: one, or two when one is to stand by
	db          string
	redis       string
	addrs       []string
	store       *store.Store
	dash        *pki.Keeper
	servers     [2]*child
	conns       [2]*grpc.ClientConn // as a dash's
	leads       int                 // which of the servers
	herds       herds
	hasty       bool
	steps       int // so far
}

// patience bounds each wait: what does not get on for so long has failed, and what
// has gone on for three times as long. A cluster has more for each of its instances,
// see fleetRun.until.
const patience = 2 * time.Minute

// cluster measures what needs the whole, with so many instances a node: what an
// agent costs, a start with everything to be done, the steady state, the loss of
// the leader and of nodes.
func cluster(hasty bool, each int) func(ctx context.Context, t *trial, n int) error {
	return inSteps(fleetRun{hasty: hasty, each: each, connections: 2}, func(f *fleetRun) []step {
		return []step{f.open, f.costOfAgents, f.want, f.fill, f.stock, f.hand, f.rest, f.change, f.lose}
	})
}

// atRest measures the steady state alone, of a cluster that has been there for long.
func atRest(hasty bool) func(ctx context.Context, t *trial, n int) error {
	return inSteps(fleetRun{hasty: hasty, each: perNode, connections: 1}, func(f *fleetRun) []step { return []step{f.open, f.found, f.rest} })
}

// takeover measures the loss of the leader alone, of such a cluster.
func takeover(hasty bool) func(ctx context.Context, t *trial, n int) error {
	return inSteps(fleetRun{hasty: hasty, each: perNode, connections: 2}, func(f *fleetRun) []step { return []step{f.open, f.found, f.change} })
}

// step is a part of a row; the next one goes on from there.
type step func(context.Context) error

func inSteps(of fleetRun, steps func(*fleetRun) []step) func(ctx context.Context, t *trial, n int) error {
	return func(ctx context.Context, t *trial, n int) error {
		return withServers(func(b *bench) error {
			f := of
			f.b, f.t, f.nodes = b, t, n
			for _, do := range steps(&f) {
				if err := f.step(ctx, do); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// step does a step, with profiles of the server that leads at its end.
func (f *fleetRun) step(ctx context.Context, do step) error {
	f.steps++
	if f.t.profiles == "" {
		return do(ctx)
	}
	for _, s := range f.servers {
		if s != nil {
			if err := s.ask(new(bool), "profile %d", f.steps); err != nil {
				return err
			}
		}
	}
	if err := do(ctx); err != nil || f.servers[f.leads] == nil {
		return err
	}
	return f.servers[f.leads].ask(new(bool), "profiled %d", f.steps)
}

// profileFrom begins a server's profile of the step anew.
func (f *fleetRun) profileFrom(server int) error {
	if f.t.profiles == "" {
		return nil
	}
	return f.servers[server].ask(new(bool), "profile %d", f.steps)
}

// profileHerds begins profiles of the agents, or ends them.
func (f *fleetRun) profileHerds(order string) error {
	if f.t.profiles == "" {
		return nil
	}
	return f.herds.all(fmt.Sprintf("%s %d", order, f.steps))
}

func (f *fleetRun) open(ctx context.Context) (err error) {
	f.db, f.redis = "mysql:"+testenv.DurableMariaDB(f.b), testenv.Redis(f.b)
	if f.store, err = store.Open(ctx, f.db); err != nil {
		return err
	}
	f.b.Cleanup(func() { f.store.Close() })
	a, err := enrol.Open(ctx, f.store, benchSecret, time.Hour)
	if err != nil {
		return err
	}
	f.dash, err = a.Issue(ctx, pki.Identity{Role: pki.RoleDash, Name: "dash"})
	for range f.servers {
		f.addrs = append(f.addrs, freeAddr())
	}
	return err
}

// gather starts the agents, who know these servers.
func (f *fleetRun) gather(ctx context.Context, servers []string) (err error) {
	processes := herdsFor(f.nodes, f.connections, filesAllowed())
	if f.hasty {
		processes = 2
	}
	o := order{Part: "herd", Database: f.db, Servers: servers, Nodes: f.nodes}
	if f.t.profiles != "" {
		o.Profile = filepath.Join(f.t.profiles, fmt.Sprintf("herd-%d", f.nodes))
	}
	f.herds, err = startHerds(ctx, f.b, o, processes)
	return err
}

// freeAddr is an address that was free a moment ago: the agents must know both
// servers' before the second one starts.
func freeAddr() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (f *fleetRun) serve(ctx context.Context, i int, sweep time.Duration) (err error) {
	o := order{Part: "server", ID: fmt.Sprintf("server-%d", i), Listen: f.addrs[i], Database: f.db, Redis: f.redis, Hasty: f.hasty, Sweep: sweep}
	if f.t.profiles != "" {
		o.Profile = filepath.Join(f.t.profiles, fmt.Sprintf("%s-%d", o.ID, f.nodes))
	}
	f.conns[i] = nil // one of before would wait its time before it tries again
	if f.servers[i], err = startChild(ctx, f.b, o); err != nil {
		return err
	}
	return f.profileFrom(i)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// allIn waits until the leader has so many nodes connected and synced.
func (f *fleetRun) allIn(ctx context.Context, nodes int) error {
	return f.until(ctx, "the nodes are synced", func() (bool, string, error) {
		r, err := f.look(ctx)
		if err != nil {
			return false, err.Error(), nil // it does not lead yet
		}
		ready := 0
		for _, n := range r.GetNodes() {
			if n.GetConnected() && n.GetStatus() == string(model.NodeReady) {
				ready++
			}
		}
		return ready >= nodes, fmt.Sprintf("%d of %d", ready, nodes), nil
	})
}

func (f *fleetRun) look(ctx context.Context) (*pb.NodesReply, error) {
	return ask(ctx, f, func(ctx context.Context, c pb.PlatformClient) (*pb.NodesReply, error) {
		return c.Nodes(ctx, &pb.NodesRequest{})
	})
}

// answerWithin bounds each question: a leader that is just taking over may be asked
// before it listens. One with a million instances may be in a round for longer.
func (f *fleetRun) answerWithin() time.Duration {
	return 5*time.Second + time.Duration(f.all()/perPatience)*time.Second
}

// perPatience is how many instances lengthen the patience by half a minute, and the
// wait for an answer by a second.
const perPatience = 100_000

// until waits with a patience that suits the size.
func (f *fleetRun) until(ctx context.Context, what string, so func() (ok bool, far string, err error)) error {
	return untilWithin(ctx, patience+time.Duration(f.all()/perPatience)*30*time.Second, what, so)
}

// ask calls the leader as a dash does.
func ask[T any](ctx context.Context, f *fleetRun, call func(context.Context, pb.PlatformClient) (T, error)) (none T, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.answerWithin())
	defer cancel()
	if f.conns[f.leads] == nil {
		conn, err := grpc.NewClient(f.addrs[f.leads], grpc.WithTransportCredentials(f.dash.Client()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
		if err != nil {
			return none, err
		}
		f.conns[f.leads] = conn
		f.b.Cleanup(func() { conn.Close() })
	}
	return call(ctx, pb.NewPlatformClient(f.conns[f.leads]))
}

// tellEvery is how often a wait that lasts says how far it has come.
const tellEvery = 10 * time.Second

// telling says now and then how much of something is done, until stop is called.
func telling(what string, all int, done *atomic.Int64) (stop func()) {
	tick, end := time.NewTicker(tellEvery), make(chan struct{})
	var told sync.WaitGroup
	told.Go(func() {
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				fmt.Fprintf(os.Stderr, "  … %s: %d of %d\n", what, done.Load(), all)
			}
		}
	})
	return func() { tick.Stop(); close(end); told.Wait() }
}

// until asks again and again, for as long as patience lasts: so seldom that
// asking is a small part of the work, but once a second at least, because what is
// waited for is timed. So also says how far it has come, which is printed now and
// then: a row takes minutes.
func until(ctx context.Context, what string, so func() (ok bool, far string, err error)) error {
	return untilWithin(ctx, patience, what, so)
}

func untilWithin(ctx context.Context, patience time.Duration, what string, so func() (ok bool, far string, err error)) error {
	began, was := time.Now(), ""
	for told, moved := began, began; ; {
		asked := time.Now()
		ok, far, err := so()
		if far != was {
			was, moved = far, asked
		}
		switch {
		case ok || err != nil:
			return err
		case time.Since(moved) > patience || time.Since(began) > 3*patience:
			return fmt.Errorf("not so after %.0f s: %s: %s", time.Since(began).Seconds(), what, far)
		case time.Since(told) > tellEvery:
			told = time.Now()
			fmt.Fprintf(os.Stderr, "  … %3.0f s: until %s: %s\n", time.Since(began).Seconds(), what, far)
		}
		if err := wait(ctx, min(max(100*time.Millisecond, 10*time.Since(asked)), time.Second)); err != nil {
			return err
		}
	}
}
