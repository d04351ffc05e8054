package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
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
	b       *bench
	t       *trial
	nodes   int
	db      string
	redis   string
	addrs   []string
	store   *store.Store
	dash    *pki.Keeper
	servers [2]*child
	herd    *child
	hasty   bool
}

// patience bounds each wait: what takes longer has failed.
const patience = 10 * time.Minute

// cluster measures what needs the whole: what an agent costs, a start with
// everything to be done, the steady state, the loss of nodes and of the leader.
func cluster(hasty bool) func(ctx context.Context, t *trial, n int) error {
	return func(ctx context.Context, t *trial, n int) error {
		return withServers(func(b *bench) error {
			f := &fleetRun{b: b, t: t, nodes: n, hasty: hasty}
			for _, step := range []func(context.Context) error{f.open, f.costOfAgents, f.want, f.fill, f.rest, f.lose, f.change} {
				if err := step(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
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

func (f *fleetRun) serve(i int) (err error) {
	f.servers[i], err = startChild(f.b, order{
		Part: "server", ID: fmt.Sprintf("server-%d", i), Listen: f.addrs[i], Database: f.db, Redis: f.redis, Hasty: f.hasty,
	})
	return err
}

// costOfAgents is what the leader keeps for an agent that has no instances.
func (f *fleetRun) costOfAgents(ctx context.Context) (err error) {
	if err := f.serve(0); err != nil {
		return err
	}
	if err := f.until(ctx, "the first server leads", func() (ok bool, err error) { return ok, f.servers[0].ask(&ok, "leads") }); err != nil {
		return err
	}
	var before, after uint64
	if err := f.servers[0].ask(&before, "memory"); err != nil {
		return err
	}
	if f.herd, err = startChild(f.b, order{Part: "herd", Database: f.db, Servers: f.addrs, Nodes: f.nodes}); err != nil {
		return err
	}
	if err := f.allIn(ctx, 0); err != nil {
		return err
	}
	if err := f.servers[0].ask(&after, "memory"); err != nil {
		return err
	}
	f.t.report(float64(after-before)/float64(f.nodes)/1000, "KB/agent")
	return f.servers[0].leave()
}

// want writes down 100 instances a node, while no server runs.
func (f *fleetRun) want(ctx context.Context) error {
	apps := f.nodes * perNode / perApp
	instances, by := perApp, model.Actor{Name: "bench"}
	errs := make(chan error, 16)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < apps; i += 16 {
				app, err := f.store.CreateApp(ctx, fmt.Sprintf("app-%d", i), "", by)
				if err == nil {
					_, _, err = f.store.CreateRelease(ctx, store.NewRelease{AppID: app.ID, Cause: model.CauseDeploy, Instances: &instances, Spec: func(base model.Release) (model.Spec, error) {
						base.Spec.Image, base.Spec.MemoryMiB = "apps/x@sha256:"+strings.Repeat("0", 64), 64
						return base.Spec, nil
					}}, by)
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// fill starts the server on all that: each instance is placed, committed,
// ordered over its node's stream, and acknowledged.
func (f *fleetRun) fill(ctx context.Context) error {
	if err := f.serve(0); err != nil {
		return err
	}
	var c tally
	if err := f.until(ctx, "all instances run", func() (bool, error) {
		err := f.herd.ask(&c, "counts")
		return c.Instances == int64(f.nodes*perNode), err
	}); err != nil {
		return err
	}
	if c.Starts != int64(f.nodes*perNode) {
		return fmt.Errorf("%d starts for %d instances", c.Starts, f.nodes*perNode)
	}
	took := time.Duration(c.LastAck - c.FirstStart)
	f.t.report(float64(c.Starts)/took.Seconds(), "commands/s")
	return f.until(ctx, "all apps are as wished", func() (bool, error) {
		r, err := ask(ctx, f, 0, func(c pb.PlatformClient) (*pb.AppsReply, error) { return c.Apps(ctx, &pb.AppsRequest{}) })
		if err != nil {
			return false, nil // the leader is busy; until's end says so
		}
		return !slices.ContainsFunc(r.GetApps(), func(a *pb.AppCounts) bool { return a.GetReady() != perApp }), nil
	})
}

// rest is what the leader needs while nothing happens.
func (f *fleetRun) rest(ctx context.Context) error {
	window := time.Minute
	if f.hasty {
		window = time.Second
	}
	if err := wait(ctx, window/2); err != nil { // what is left of the start
		return err
	}
	before, err := f.servers[0].cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := wait(ctx, window); err != nil {
		return err
	}
	after, err := f.servers[0].cpu()
	if err != nil {
		return err
	}
	f.t.report(100*(after-before).Seconds()/time.Since(began).Seconds(), "%core-at-rest")
	var bytes uint64
	if err := f.servers[0].ask(&bytes, "memory"); err != nil {
		return err
	}
	f.t.report(float64(bytes)/float64(f.nodes*perNode), "B/instance-in-all")
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// lose takes the power from some nodes; each is noticed so long after.
func (f *fleetRun) lose(ctx context.Context) error {
	var dead []string
	if err := f.herd.ask(&dead, "die %d", max(1, min(20, f.nodes/20))); err != nil {
		return err
	}
	began := time.Now()
	var took []float64
	err := f.until(ctx, "the dead nodes are noticed", func() (bool, error) {
		r, err := f.look(ctx, 0)
		if err != nil {
			return false, nil
		}
		for _, n := range r.GetNodes() {
			if i := slices.Index(dead, n.GetId()); i >= 0 && n.GetStatus() != string(model.NodeReady) {
				took, dead = append(took, time.Since(began).Seconds()), slices.Delete(dead, i, i+1)
			}
		}
		return len(dead) == 0, nil
	})
	if err != nil {
		return err
	}
	f.t.report(took[len(took)/2], "s-to-notice")
	f.t.report(took[len(took)-1], "s-to-notice-all")
	return nil
}

// change kills the leader: the other server takes over, and all agents are with
// it and synced so long after.
func (f *fleetRun) change(ctx context.Context) error {
	if err := f.serve(1); err != nil {
		return err
	}
	r, err := f.look(ctx, 0)
	if err != nil {
		return err
	}
	living := 0
	for _, n := range r.GetNodes() {
		if n.GetStatus() == string(model.NodeReady) {
			living++
		}
	}
	var before, after tally
	if err := f.herd.ask(&before, "counts"); err != nil {
		return err
	}
	f.servers[0].kill()
	killed := time.Now()
	if err := f.allSynced(ctx, 1, living); err != nil {
		return err
	}
	f.t.report(time.Since(killed).Seconds(), "s-leader-change")
	if err := f.herd.ask(&after, "counts"); err != nil {
		return err
	}
	f.t.report(float64(after.Starts-before.Starts+after.Stops-before.Stops), "commands-at-change")
	return nil
}

// allIn waits until the herd has all its sessions and server i knows all nodes.
func (f *fleetRun) allIn(ctx context.Context, i int) error { return f.allSynced(ctx, i, f.nodes) }

func (f *fleetRun) allSynced(ctx context.Context, i, nodes int) error {
	return f.until(ctx, fmt.Sprintf("%d nodes are synced", nodes), func() (bool, error) {
		r, err := f.look(ctx, i)
		if err != nil {
			return false, nil // it does not lead yet
		}
		ready := 0
		for _, n := range r.GetNodes() {
			if n.GetConnected() && n.GetStatus() == string(model.NodeReady) {
				ready++
			}
		}
		return ready >= nodes, nil
	})
}

func (f *fleetRun) look(ctx context.Context, i int) (*pb.NodesReply, error) {
	return ask(ctx, f, i, func(c pb.PlatformClient) (*pb.NodesReply, error) { return c.Nodes(ctx, &pb.NodesRequest{}) })
}

// ask calls server i as a dash does.
func ask[T any](_ context.Context, f *fleetRun, i int, call func(pb.PlatformClient) (T, error)) (none T, err error) {
	conn, err := grpc.NewClient(f.addrs[i], grpc.WithTransportCredentials(f.dash.Client()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		return none, err
	}
	defer conn.Close()
	return call(pb.NewPlatformClient(conn))
}

// until asks again and again, for as long as patience lasts.
func (f *fleetRun) until(ctx context.Context, what string, so func() (bool, error)) error {
	for end := time.Now().Add(patience); ; {
		ok, err := so()
		if ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("not so after %v: %s", patience, what)
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
