package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/server/reconcile"
	"github.com/dinp/dinp/sql/store"
)

// perNode and perApp shape the installation: 100 instances a node, 50 an app. Where
// only the number of agents matters, fewPerNode are enough.
const (
	perNode    = 100
	fewPerNode = 10
	perApp     = 50
)

// installation is the real reconciler over a database, routes and agents that
// take everything and do it at once.
type installation struct {
	core     *reconcile.Core
	now      time.Time
	wish     store.Wish
	world    store.World
	releases map[string]model.Release
	sessions []*standIn
	monitor  *standInMonitor
	starts   int
	stops    int
	commits  int
	rev      uint64
}

// newInstallation makes n nodes with their instances, all of them running,
// healthy, routed and known to the reconciler.
func newInstallation(ctx context.Context, n int) (*installation, error) {
	w := &installation{now: time.Unix(1_900_000_000, 0), releases: map[string]model.Release{}}
	w.populate(n)
	next := 0
	w.core = reconcile.New(reconcile.Config{
		Plan: plan.Default(), Limits: actual.Limits{UnknownAfter: 15 * time.Second, LostAfter: time.Minute}, Domain: "apps.test",
		Sweep: 30 * time.Second, OrphanAfter: time.Minute, RouteGrace: 20 * time.Second,
	}, store.Lease{Name: "leader", Owner: "s", Epoch: 1}, reconcile.Deps{
		Store: w, Routes: w, Now: func() time.Time { return w.now }, NewID: func() string { next++; return fmt.Sprintf("new%033d", next) },
		Log: slog.New(slog.DiscardHandler), Tail: func(dispatch.Session, string, func([]string)) {},
	})
	w.core.Handle(ctx, dispatch.MonitorOpened{Monitor: w.monitor})
	for _, s := range w.sessions {
		w.core.Handle(ctx, dispatch.SessionOpened{Session: s, Hello: &pb.Hello{
			NodeId: s.node, Name: s.node, Address: "10.0.0.1", Zone: s.node[len(s.node)-1:], MemoryMib: 2 * perNode * 256, CpuMilli: 64000,
		}})
	}
	if err := w.round(ctx); err != nil {
		return nil, err
	}
	all := w.observed()
	for _, s := range w.sessions {
		w.core.Handle(ctx, dispatch.Synced{Session: s, Instances: all[s.node], DockerOK: true})
	}
	for chunk := range slices.Chunk(w.world.Instances, 10_000) {
		w.core.Handle(ctx, dispatch.Judged{Monitor: w.monitor, Verdicts: healthy(chunk)})
	}
	w.world.Instances = nil // the reconciler has them; what it costs is to be its own
	for range 4 {
		if err := w.round(ctx); err != nil {
			return nil, err
		}
		w.core.Handle(ctx, reconcile.RoutesServed())
	}
	return w, nil
}

func (w *installation) populate(n int) {
	w.wish.Availabilities = map[string]model.Availability{}
	w.monitor = &standInMonitor{}
	for i := range n {
		w.sessions = append(w.sessions, &standIn{w: w, node: fmt.Sprintf("node%032d", i)})
	}
	for a := range n * perNode / perApp {
		app := model.App{ID: fmt.Sprintf("app%033d", a), Name: fmt.Sprintf("app-%d", a), ReleaseID: fmt.Sprintf("rel%033d", a), Instances: perApp, Generation: 1}
		w.wish.Apps = append(w.wish.Apps, app)
		w.releases[app.ReleaseID] = model.Release{ID: app.ReleaseID, AppID: app.ID, Number: 1, Spec: model.Spec{Image: "apps/x@sha256:1", MemoryMiB: 256, CPUMilli: 100}.WithDefaults()}
		w.world.Deployments = append(w.world.Deployments, model.Deployment{ReleaseID: app.ReleaseID, AppID: app.ID, Status: model.DeploymentSucceeded, StartedAt: w.now, EndedAt: w.now})
		for slot := range perApp {
			w.world.Instances = append(w.world.Instances, model.Instance{
				ID: fmt.Sprintf("%08d-0000-0000-0000-%012d", a, slot), AppID: app.ID, ReleaseID: app.ReleaseID, Slot: slot, Role: model.Primary,
				NodeID: w.sessions[(a*perApp+slot*7919)%n].node, Epoch: 1, CreatedAt: w.now.Add(-time.Hour),
			})
		}
	}
}

// observed is what each node's agent says.
func (w *installation) observed() map[string][]model.Observed {
	all := make(map[string][]model.Observed, len(w.sessions))
	for _, i := range w.world.Instances {
		all[i.NodeID] = append(all[i.NodeID], running(i.ID, len(all[i.NodeID])))
	}
	return all
}

func running(id string, n int) model.Observed {
	return model.Observed{
		ID: id, Phase: model.PhaseRunning, Addr: fmt.Sprintf("10.0.0.1:%d", 32768+n), StartedAt: time.Unix(1_900_000_000, 0),
		Container: fmt.Sprintf("%064d", n),
	}
}

func healthy(in []model.Instance) []model.Verdict {
	out := make([]model.Verdict, len(in))
	for n, i := range in {
		out[n] = model.Verdict{InstanceID: i.ID, Healthy: true, Evidence: "GET / → 200 in 3ms"}
	}
	return out
}

// round is one round of the reconciler.
func (w *installation) round(ctx context.Context) error {
	_, err := w.core.Round(ctx)
	return err
}

// The installation is the reconciler's Store.

func (w *installation) Wish(context.Context) (store.Wish, error)   { return w.wish, nil }
func (w *installation) World(context.Context) (store.World, error) { return w.world, nil }

func (w *installation) ReleasesByID(_ context.Context, ids []string) (map[string]model.Release, error) {
	out := map[string]model.Release{}
	for _, id := range ids {
		out[id] = w.releases[id]
	}
	return out, nil
}

func (w *installation) AppByID(_ context.Context, id string) (model.App, error) {
	i, _ := slices.BinarySearchFunc(w.wish.Apps, id, func(a model.App, id string) int {
		switch {
		case a.ID < id:
			return -1
		case a.ID > id:
			return 1
		}
		return 0
	})
	return w.wish.Apps[i], nil
}

func (w *installation) Domains(context.Context, string) ([]model.Domain, error) { return nil, nil }
func (w *installation) HasInstance(context.Context, string) (bool, error)       { return true, nil }
func (w *installation) Apply(context.Context, store.Lease, store.Control) error {
	w.commits++
	return nil
}

// The installation is the reconciler's Routes: what is set is served at once.

func (w *installation) Current(context.Context) (map[string]string, route.Head, error) {
	return nil, route.Head{Version: route.Version{Epoch: 1, Seq: 1}}, nil
}
func (w *installation) Set([]route.Change) uint64   { w.rev++; return w.rev }
func (w *installation) Complete()                   {}
func (w *installation) Hold(bool)                   {}
func (w *installation) Revision() uint64            { return w.rev }
func (w *installation) Served() uint64              { return w.rev }
func (w *installation) Routers() []route.RouterLine { return nil }

// standIn is an agent's session that counts.
type standIn struct {
	w    *installation
	node string
}

func (s *standIn) ID() string           { return "session of " + s.node }
func (s *standIn) NodeID() string       { return s.node }
func (s *standIn) Start(*pb.Start)      { s.w.starts++ }
func (s *standIn) Stop(*pb.Stop)        { s.w.stops++ }
func (s *standIn) Forget([]string)      {}
func (s *standIn) Resync()              {}
func (s *standIn) Needed(_, _ []string) {}
func (s *standIn) Close(error)          {}
func (s *standIn) Logs(context.Context, *pb.LogRequest, func(*pb.LogChunk) error) error {
	return dispatch.ErrClosed
}

type standInMonitor struct{}

func (*standInMonitor) ID() string                { return "monitor" }
func (*standInMonitor) Targets(*pb.HealthTargets) {}
func (*standInMonitor) Close(error)               {}

// oneChange is how long the reconciler takes from a nudge to the command, when
// one app wants one more instance or one less.
func oneChange(ctx context.Context, t *trial, n int) error {
	w, err := newInstallation(ctx, n)
	if err != nil {
		return err
	}
	began := w.starts + w.stops
	t.start()
	var took []time.Duration
	for k := range 200 {
		a := &w.wish.Apps[(k*7919)%len(w.wish.Apps)]
		a.Instances++
		a.Generation++
		at := time.Now()
		w.core.Handle(ctx, dispatch.Nudged{AppIDs: []string{a.ID}})
		if err := w.round(ctx); err != nil {
			return err
		}
		took = append(took, time.Since(at))
	}
	if w.starts+w.stops-began < 200 {
		return fmt.Errorf("%d commands for 200 changes", w.starts+w.stops-began)
	}
	slices.Sort(took)
	t.report(took[len(took)/2].Seconds()*1000, "ms-median")
	t.report(took[len(took)*99/100].Seconds()*1000, "ms-p99")
	return nil
}

// sweep is a look at everything when nothing is to do.
func sweep(ctx context.Context, t *trial, n int) error {
	w, err := newInstallation(ctx, n)
	if err != nil {
		return err
	}
	const rounds = 5
	commands, commits := w.starts+w.stops, w.commits
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	t.start()
	began := time.Now()
	for range rounds {
		w.now = w.now.Add(31 * time.Second)
		for _, s := range w.sessions { // or all of them would have fallen silent
			w.core.Handle(ctx, dispatch.Reported{Session: s})
		}
		if err := w.round(ctx); err != nil {
			return err
		}
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if w.starts+w.stops != commands || w.commits != commits {
		return fmt.Errorf("a sweep with nothing to do made %d commands and %d commits", w.starts+w.stops-commands, w.commits-commits)
	}
	t.report(took.Seconds()*1000/rounds, "ms")
	t.report(float64(after.Mallocs-before.Mallocs)/rounds/float64(n*perNode), "allocs/instance")
	return nil
}

// memory is what the reconciler keeps.
func memory(ctx context.Context, t *trial, n int) error {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w, err := newInstallation(ctx, n)
	if err != nil {
		return err
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.report(float64(after.HeapAlloc-before.HeapAlloc)/float64(n*perNode), "B/instance")
	runtime.KeepAlive(w)
	return nil
}
