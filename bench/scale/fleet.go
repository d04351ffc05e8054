package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/server/place"
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
	conns   [2]*grpc.ClientConn // as a dash's
	leads   int                 // which of the servers
	herd    *child
	hasty   bool
	steps   int // so far
}

// patience bounds each wait: what takes longer has failed.
const patience = 4 * time.Minute

// mostFilled is how many instances go the whole way, from the wish to the
// acknowledgement. What a larger cluster has besides was there before.
const mostFilled = 100_000

// filled and all are how many instances there are after the filling, and in the end.
func (f *fleetRun) filled() int {
	if f.hasty {
		return f.all() / 2
	}
	return min(f.all(), mostFilled)
}

func (f *fleetRun) all() int { return f.nodes * perNode }

// cluster measures what needs the whole: what an agent costs, a start with
// everything to be done, the steady state, the loss of nodes and of the leader.
func cluster(hasty bool) func(ctx context.Context, t *trial, n int) error {
	return func(ctx context.Context, t *trial, n int) error {
		return withServers(func(b *bench) error {
			f := &fleetRun{b: b, t: t, nodes: n, hasty: hasty}
			for _, step := range []func(context.Context) error{f.open, f.costOfAgents, f.want, f.fill, f.stock, f.hand, f.rest, f.lose, f.change} {
				if err := f.step(ctx, step); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// step does a step, with profiles of the server that leads at its end.
func (f *fleetRun) step(ctx context.Context, do func(context.Context) error) error {
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

func (f *fleetRun) serve(ctx context.Context, i int, sweep time.Duration) (err error) {
	o := order{Part: "server", ID: fmt.Sprintf("server-%d", i), Listen: f.addrs[i], Database: f.db, Redis: f.redis, Hasty: f.hasty, Sweep: sweep}
	if f.t.profiles != "" {
		o.Profile = filepath.Join(f.t.profiles, fmt.Sprintf("%s-%d", o.ID, f.nodes))
	}
	f.conns[i] = nil // one of before would wait its time before it tries again
	if f.servers[i], err = startChild(ctx, f.b, o); err != nil || o.Profile == "" {
		return err
	}
	return f.servers[i].ask(new(bool), "profile %d", f.steps)
}

// unswept is a sweep that never comes: what is written down while the leader
// runs is to be noticed when it is told.
const unswept = time.Hour

// costOfAgents is what the leader keeps for an agent that has no instances.
func (f *fleetRun) costOfAgents(ctx context.Context) (err error) {
	if err := f.serve(ctx, 0, unswept); err != nil {
		return err
	}
	if err := until(ctx, "the first server leads", func() (ok bool, _ string, err error) {
		err = f.servers[0].ask(&ok, "leads")
		return ok, "", err
	}); err != nil {
		return err
	}
	var before, after held
	if err := f.servers[0].ask(&before, "memory"); err != nil {
		return err
	}
	if f.herd, err = startChild(ctx, f.b, order{Part: "herd", Database: f.db, Servers: f.addrs, Nodes: f.nodes}); err != nil {
		return err
	}
	began, err := f.servers[0].cpu()
	if err != nil {
		return err
	}
	if err := f.allIn(ctx, f.nodes); err != nil {
		return err
	}
	if err := f.servers[0].ask(&after, "memory"); err != nil {
		return err
	}
	f.t.report(float64(after.all()-before.all())/float64(f.nodes)/1000, "KB/agent")
	f.t.report(float64(after.Stacks-before.Stacks)/float64(f.nodes)/1000, "KB-of-stacks/agent")
	ended, err := f.servers[0].cpu()
	f.t.report((ended-began).Seconds()/float64(f.nodes)*1000, "CPU-ms/connect")
	return err
}

// want writes down what is to be filled, without telling the leader.
func (f *fleetRun) want(ctx context.Context) error {
	_, err := f.createApps(ctx, 0, f.filled()/perApp)
	return err
}

// createApps writes down the wish for apps with these numbers, of perApp
// instances each, and returns their releases.
func (f *fleetRun) createApps(ctx context.Context, from, to int) ([]model.Release, error) {
	instances, by := perApp, model.Actor{Name: "bench"}
	releases := make([]model.Release, to-from)
	errs := make(chan error, 16)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := from + w; i < to; i += 16 {
				app, err := f.store.CreateApp(ctx, fmt.Sprintf("app-%d", i), "", by)
				if err == nil {
					releases[i-from], _, err = f.store.CreateRelease(ctx, store.NewRelease{AppID: app.ID, Cause: model.CauseDeploy, Instances: &instances, Spec: func(base model.Release) (model.Spec, error) {
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
	return releases, <-errs
}

// fill tells the leader of all that: each instance is placed, committed,
// ordered over its node's stream, and acknowledged.
func (f *fleetRun) fill(ctx context.Context) error {
	began, err := f.servers[f.leads].cpu()
	if err != nil {
		return err
	}
	if err := until(ctx, "the leader is told", func() (bool, string, error) {
		_, err := ask(ctx, f, func(ctx context.Context, c pb.PlatformClient) (*pb.NudgeReply, error) {
			return c.Nudge(ctx, &pb.NudgeRequest{Nodes: true})
		})
		return err == nil, fmt.Sprint(err), nil // on a busy machine it may have to take its lease again
	}); err != nil {
		return err
	}
	var c tally
	if err := until(ctx, "all instances run", func() (bool, string, error) {
		err := f.herd.ask(&c, "counts")
		return c.Instances == int64(f.filled()), fmt.Sprintf("%d of %d", c.Instances, f.filled()), err
	}); err != nil {
		return err
	}
	ended, err := f.servers[f.leads].cpu()
	if err != nil {
		return err
	}
	took := time.Duration(c.LastAck - c.FirstStart)
	f.t.report(float64(c.Instances)/took.Seconds(), "instances/s")
	f.t.report(float64(c.Instances)/(ended-began).Seconds(), "instances/CPU-s")
	f.t.report(float64(c.Starts)/float64(c.Instances), "commands/instance")
	return f.asWished(ctx)
}

// asWished waits until all instances are ready.
func (f *fleetRun) asWished(ctx context.Context) error {
	return until(ctx, "all apps are as wished", func() (bool, string, error) {
		r, err := ask(ctx, f, func(ctx context.Context, c pb.PlatformClient) (*pb.AppsReply, error) {
			return c.Apps(ctx, &pb.AppsRequest{})
		})
		if err != nil {
			return false, err.Error(), nil // the leader is busy
		}
		good := 0
		for _, a := range r.GetApps() {
			if a.GetReady() == perApp {
				good++
			}
		}
		return good == len(r.GetApps()), fmt.Sprintf("%d of %d", good, len(r.GetApps())), nil
	})
}

// stock brings the cluster to 100 instances a node, while no server runs: rows of
// instances that run already, at agents that have them.
func (f *fleetRun) stock(ctx context.Context) error {
	if f.filled() == f.all() {
		return nil
	}
	if err := f.servers[f.leads].leave(); err != nil {
		return err
	}
	if err := f.writeStock(ctx); err != nil {
		return fmt.Errorf("stock: %w", err)
	}
	var had int
	if err := f.herd.ask(&had, "stock"); err != nil {
		return err
	}
	if err := f.serve(ctx, f.leads, unswept); err != nil {
		return err
	}
	if err := f.allIn(ctx, f.nodes); err != nil {
		return err
	}
	return f.asWished(ctx)
}

func (f *fleetRun) writeStock(ctx context.Context) error {
	releases, err := f.createApps(ctx, f.filled()/perApp, f.all()/perApp)
	if err != nil {
		return err
	}
	seen, err := f.store.Lease(ctx, "leader")
	if err != nil {
		return err
	}
	lease, err := f.store.TakeLease(ctx, seen, "bench", "", time.Now().UnixMilli())
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	for some := range slices.Chunk(releases, 40) {
		var c store.Control
		for _, r := range some {
			c.Deployments = append(c.Deployments, model.Deployment{ReleaseID: r.ID, AppID: r.AppID, Status: model.DeploymentSucceeded, StartedAt: now, EndedAt: now})
			first := int(place.Seed(r.AppID) % uint64(f.nodes))
			for slot := range perApp {
				c.Insert = append(c.Insert, model.Instance{
					ID: store.NewID(), AppID: r.AppID, ReleaseID: r.ID, Slot: slot, Role: model.Primary, Epoch: lease.Epoch, CreatedAt: now,
					NodeID: memberID((first + slot*7919) % f.nodes),
				})
			}
		}
		if err := f.store.Apply(ctx, lease, c); err != nil {
			return err
		}
	}
	return f.store.ReleaseLease(ctx, lease)
}

// hand stops the leader as for an upgrade: the other server, which has the
// defaults, goes on.
func (f *fleetRun) hand(ctx context.Context) error {
	return f.pass(ctx, "handover", func(s *child) error { return s.leave() })
}

// rest is what the leader needs while nothing happens.
func (f *fleetRun) rest(ctx context.Context) error {
	window := 40 * time.Second
	if f.hasty {
		window = time.Second
	}
	if err := wait(ctx, window/2); err != nil { // what is left of the start
		return err
	}
	before, err := f.servers[f.leads].cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := wait(ctx, window); err != nil {
		return err
	}
	after, err := f.servers[f.leads].cpu()
	if err != nil {
		return err
	}
	f.t.report(100*(after-before).Seconds()/time.Since(began).Seconds(), "%core-at-rest")
	var m held
	if err := f.servers[f.leads].ask(&m, "memory"); err != nil {
		return err
	}
	f.t.report(float64(m.all())/float64(f.all()), "B/instance-in-all")
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
	err := until(ctx, "the dead nodes are noticed", func() (bool, string, error) {
		r, err := f.look(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		for _, n := range r.GetNodes() {
			if i := slices.Index(dead, n.GetId()); i >= 0 && n.GetStatus() != string(model.NodeReady) {
				took, dead = append(took, time.Since(began).Seconds()), slices.Delete(dead, i, i+1)
			}
		}
		return len(dead) == 0, fmt.Sprintf("%d are not", len(dead)), nil
	})
	if err != nil {
		return err
	}
	f.t.report(took[len(took)/2], "s-to-notice")
	f.t.report(took[len(took)-1], "s-to-notice-all")
	return nil
}

// change kills the leader.
func (f *fleetRun) change(ctx context.Context) error {
	return f.pass(ctx, "leader-change", func(s *child) error { s.kill(); return nil })
}

// pass ends the leader; the other server takes over, and all agents are with it
// and synced so long after.
func (f *fleetRun) pass(ctx context.Context, word string, end func(*child) error) error {
	var r *pb.NodesReply
	if err := until(ctx, "the leader tells of its nodes", func() (ok bool, far string, err error) {
		r, err = f.look(ctx)
		return err == nil, fmt.Sprint(err), nil
	}); err != nil {
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
	next := 1 - f.leads
	if err := f.serve(ctx, next, 0); err != nil {
		return err
	}
	if f.hasty {
		if err := f.herd.ask(new(int), "connect"); err != nil {
			return err
		}
	}
	if err := until(ctx, "the agents' connections to the next leader stand by", func() (bool, string, error) {
		var c tally
		err := f.herd.ask(&c, "counts")
		return c.Connections >= int64(2*living), fmt.Sprintf("%d of %d", c.Connections-int64(living), living), err
	}); err != nil {
		return err
	}
	began := time.Now()
	if err := end(f.servers[f.leads]); err != nil {
		return err
	}
	f.servers[f.leads], f.leads = nil, next
	if err := f.allIn(ctx, living); err != nil {
		return err
	}
	f.t.report(time.Since(began).Seconds(), "s-"+word)
	if err := f.herd.ask(&after, "counts"); err != nil {
		return err
	}
	f.t.report(float64(after.Starts-before.Starts+after.Stops-before.Stops), "commands-at-"+word)
	return nil
}

// allIn waits until the leader has so many nodes connected and synced.
func (f *fleetRun) allIn(ctx context.Context, nodes int) error {
	return until(ctx, "the nodes are synced", func() (bool, string, error) {
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
// before it listens.
const answerWithin = 5 * time.Second

// ask calls the leader as a dash does.
func ask[T any](ctx context.Context, f *fleetRun, call func(context.Context, pb.PlatformClient) (T, error)) (none T, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
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

// until asks again and again, for as long as patience lasts: so seldom that
// asking is a small part of the work, but once a second at least, because what is
// waited for is timed. So also says how far it has come, which is printed now and
// then: a row takes minutes.
func until(ctx context.Context, what string, so func() (ok bool, far string, err error)) error {
	began := time.Now()
	for told := began; ; {
		asked := time.Now()
		ok, far, err := so()
		switch {
		case ok || err != nil:
			return err
		case time.Since(began) > patience:
			return fmt.Errorf("not so after %v: %s: %s", patience, what, far)
		case time.Since(told) > 10*time.Second:
			told = time.Now()
			fmt.Fprintf(os.Stderr, "  … %3.0f s: until %s: %s\n", time.Since(began).Seconds(), what, far)
		}
		if err := wait(ctx, min(max(100*time.Millisecond, 10*time.Since(asked)), time.Second)); err != nil {
			return err
		}
	}
}
