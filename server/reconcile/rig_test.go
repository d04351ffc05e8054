package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/explain"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/server/traffic"
	"github.com/dinp/dinp/sql/store"
)

// rig is a Core over a database, routes, agents and a monitor that are maps. Time
// passes when a test says so.
type rig struct {
	found    route.Head        // of Redis' table; zero: it has none
	complete bool              // the route table was called complete
	held     bool              // nothing is written of it
	goesOn   map[string]string // the table when that began, or ended
	t        tester
	core     *Core
	now      time.Time
	ids      int

	// The database.
	wish        store.Wish
	releases    map[string]model.Release
	instances   map[string]model.Instance
	deployments map[string]model.Deployment
	slots       map[string]store.Slot
	nodes       map[string]model.Node
	events      []model.Event
	inserted    []model.Instance // in order
	broken      error

	// The routes.
	table       map[string]string
	inForce     map[string]string // as the term found it
	redisAway   bool              // and it finds nothing
	rev, served uint64
	lazy        bool // routers take nothing
	routers     []route.RouterLine

	traffic map[int]traffic.Tally // by release number, since the watch began
	watched string                // the app
	watches int                   // that were begun

	agents   map[string]*fakeAgent
	sick     map[string]bool      // instances that answer probes badly
	probe    string               // what is said of sick ones
	mute     bool                 // the monitor says nothing
	answered map[string]time.Time // when instances first answered it
	watch    func()               // called whenever agents have done something
}

// tester is a test, or one case of a property.
type tester interface {
	Helper()
	Context() context.Context
	Error(args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newRig(t tester) *rig {
	r := &rig{
		t: t, now: time.Unix(1_900_000_000, 0), releases: map[string]model.Release{}, instances: map[string]model.Instance{}, deployments: map[string]model.Deployment{},
		slots: map[string]store.Slot{}, table: map[string]string{}, nodes: map[string]model.Node{}, agents: map[string]*fakeAgent{}, sick: map[string]bool{}, answered: map[string]time.Time{}, probe: "GET / → 500",
	}
	r.wish.Availabilities = map[string]model.Availability{}
	r.found.Version = route.Version{Epoch: 6, Seq: 9}
	r.routers = []route.RouterLine{{ID: "r1", Addr: "10.0.0.9:80", At: r.now}}
	r.lead()
	return r
}

// lead begins a term.
func (r *rig) lead() { r.leadAfter(store.Lease{Name: "leader", Owner: "s", Epoch: 7}) }

func (r *rig) leadAfter(l store.Lease) {
	r.core = New(Config{
		Plan: plan.Default(), Limits: actual.Limits{UnknownAfter: 15 * time.Second, LostAfter: time.Minute}, Domain: "apps.test",
		Sweep: 30 * time.Second, OrphanAfter: time.Minute, RouteGrace: 20 * time.Second, SafeAfter: time.Minute,
	}, l, Deps{
		Store: r, Routes: r, Traffic: r, Now: func() time.Time { return r.now }, NewID: func() string { r.ids++; return fmt.Sprintf("i%03d", r.ids) },
		Log: slog.New(slog.DiscardHandler), Tail: func(_ dispatch.Session, _ string, done func([]string)) { done([]string{"last words"}) },
	})
	r.core.Handle(r.t.Context(), dispatch.MonitorOpened{Monitor: fakeMonitor{}})
}

// node makes a node of the given MiB, connected and synced.
func (r *rig) node(id string, mib int64, change ...func(*pb.Hello)) *fakeAgent {
	h := &pb.Hello{NodeId: id, Name: id, Address: "10.0.0.1", MemoryMib: mib, CpuMilli: 64000}
	for _, f := range change {
		f(h)
	}
	a := &fakeAgent{r: r, hello: h, has: map[string]model.Observed{}}
	r.agents[id] = a
	a.connect()
	return a
}

func zone(z string) func(*pb.Hello) { return func(h *pb.Hello) { h.Zone = z } }

// deploy makes the next release of an app, of 256 MiB unless changed.
func (r *rig) deploy(name string, instances int, change ...func(*model.Spec)) {
	n := 1
	for _, rel := range r.releases {
		if rel.AppID == "app-"+name {
			n = max(n, rel.Number+1)
		}
	}
	spec := model.Spec{Image: "apps/" + name + "@sha256:1", MemoryMiB: 256, CPUMilli: 100}.WithDefaults()
	for _, f := range change {
		f(&spec)
	}
	rel := model.Release{ID: fmt.Sprintf("rel-%s-%d", name, n), AppID: "app-" + name, Number: n, Spec: spec}
	r.releases[rel.ID] = rel
	r.edit(name, func(a *model.App) { a.ReleaseID, a.Instances = rel.ID, instances })
}

// edit changes an app's desired state; it is made when it is new.
func (r *rig) edit(name string, change func(*model.App)) {
	i := slices.IndexFunc(r.wish.Apps, func(a model.App) bool { return a.Name == name })
	if i < 0 {
		r.wish.Apps = append(r.wish.Apps, model.App{ID: "app-" + name, Name: name, CreatedAt: r.now})
		slices.SortFunc(r.wish.Apps, func(a, b model.App) int { return cmp.Compare(a.ID, b.ID) })
		i = slices.IndexFunc(r.wish.Apps, func(a model.App) bool { return a.Name == name })
	}
	a := &r.wish.Apps[i]
	change(a)
	a.Generation++
	a.UpdatedAt = r.now
	r.core.swept = time.Time{}
}

func (r *rig) want(node string, a model.Availability) {
	r.wish.Availabilities[node] = a
	r.core.swept = time.Time{}
}

// round is one round of the core; its error is expected while the database is broken.
func (r *rig) round() {
	r.t.Helper()
	if r.core.inForce == nil {
		_ = r.core.Begin(r.t.Context()) // as the loop tries again
	}
	if _, err := r.core.Round(r.t.Context()); err != nil && r.broken == nil {
		r.t.Fatal(err)
	}
}

// step is what happens between two rounds: agents do what they were told, the
// monitor looks, routers take the table.
func (r *rig) step() (moved bool) {
	r.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(r.agents)) {
		moved = r.agents[id].work() || moved
	}
	if r.watch != nil {
		r.watch()
	}
	r.judge()
	if !r.lazy && r.served != r.rev {
		r.served, moved = r.rev, true
	}
	r.core.Handle(r.t.Context(), RoutesServed())
	return moved
}

func (r *rig) judge() {
	if r.mute {
		return
	}
	var out []model.Verdict
	for _, id := range slices.Sorted(maps.Keys(r.core.rows)) {
		if row := r.core.rows[id]; row.told != 0 {
			v := model.Verdict{InstanceID: id, Healthy: !r.sick[id] && !r.sick[row.app.Name], Evidence: "GET / → 200 in 3ms"}
			if !v.Healthy {
				v.Evidence = r.probe
			}
			if at, known := r.answered[id]; known {
				v.Answers = r.now.Sub(at) + time.Millisecond
			} else if v.Healthy || strings.Contains(v.Evidence, "→") {
				v.Answers, r.answered[id] = time.Millisecond, r.now
			}
			out = append(out, v)
		}
	}
	r.core.Handle(r.t.Context(), dispatch.Judged{Monitor: fakeMonitor{}, Verdicts: out})
}

// settle lets everything take its course, for as long as anything moves.
func (r *rig) settle() {
	r.t.Helper()
	for n, still := 0, 0; still < 3; n++ {
		if n == 500 {
			r.t.Fatal("it never comes to rest")
		}
		before := len(r.core.rows) + r.ids
		r.round()
		moved := r.step()
		r.pass(r.core.cfg.Plan.MinReady)
		if still++; moved || before != len(r.core.rows)+r.ids {
			still = 0
		}
	}
}

// pass lets time go by, with heartbeats of those that are connected.
func (r *rig) pass(d time.Duration) {
	for d > 0 {
		step := min(d, 5*time.Second)
		r.now, d = r.now.Add(step), d-step
		for _, id := range slices.Sorted(maps.Keys(r.agents)) {
			r.agents[id].beat()
		}
		for i := range r.routers {
			r.routers[i].At = r.now
		}
	}
}

// explained is the explanation of an app.
func (r *rig) explained(name string) explain.Account {
	r.t.Helper()
	out, ok := r.core.Explain("app-" + name)
	if !ok {
		r.t.Fatalf("the leader does not know %s", name)
	}
	return out
}

// on lists the nodes of an app's instances that are not being stopped, by slot.
func (r *rig) on(name string) (out []string) {
	for _, row := range r.core.apps["app-"+name].rows {
		if !row.Stopping {
			out = append(out, row.NodeID)
		}
	}
	return out
}

// The rig is the reconciler's Store.

func (r *rig) Wish(context.Context) (store.Wish, error) {
	w := r.wish
	w.Availabilities = maps.Clone(w.Availabilities)
	w.Apps = slices.Clone(w.Apps)
	return w, r.broken
}

func (r *rig) World(context.Context) (store.World, error) {
	w := store.World{
		Instances: slices.Collect(maps.Values(r.instances)), Deployments: slices.Collect(maps.Values(r.deployments)),
		Nodes: slices.Collect(maps.Values(r.nodes)), Slots: slices.Collect(maps.Values(r.slots)),
	}
	slices.SortFunc(w.Deployments, func(a, b model.Deployment) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ReleaseID, b.ReleaseID))
	})
	return w, r.broken
}

func (r *rig) ReleasesByID(_ context.Context, ids []string) (map[string]model.Release, error) {
	out := map[string]model.Release{}
	for _, id := range ids {
		if rel, ok := r.releases[id]; ok {
			out[id] = rel
		}
	}
	return out, r.broken
}

func (r *rig) AppByID(_ context.Context, id string) (model.App, error) {
	for _, a := range r.wish.Apps {
		if a.ID == id {
			return a, r.broken
		}
	}
	return model.App{}, model.E(model.CodeNotFound, "there is no app %s", id)
}

func (r *rig) Domains(context.Context, string) ([]model.Domain, error) { return nil, r.broken }

func (r *rig) HasInstance(_ context.Context, id string) (bool, error) {
	_, ok := r.instances[id]
	return ok, r.broken
}

func (r *rig) Apply(_ context.Context, _ store.Lease, c store.Control) error {
	if r.broken != nil {
		return r.broken
	}
	r.inserted = append(r.inserted, c.Insert...)
	for _, id := range c.Delete {
		delete(r.instances, id)
	}
	for _, list := range [][]model.Instance{c.Stop, c.Role, c.Insert} {
		for _, i := range list {
			r.instances[i.ID] = i
		}
	}
	for _, d := range c.Deployments {
		r.deployments[d.ReleaseID] = d
	}
	for _, s := range c.Slots {
		r.slots[fmt.Sprint(s.AppID, s.Slot)] = s
	}
	for _, n := range c.Nodes {
		r.nodes[n.ID] = n
	}
	for _, id := range c.Cordon {
		r.wish.Availabilities[id] = model.Cordoned
	}
	for _, id := range c.Forget {
		delete(r.nodes, id)
	}
	if c.Safe != nil {
		r.wish.Safe = c.Safe
	}
	r.events = append(r.events, c.Events...)
	return nil
}

// The rig is the reconciler's Routes.

func (r *rig) Current(context.Context) (map[string]string, route.Head, error) {
	if r.redisAway {
		return nil, route.Head{}, errors.New("redis does not answer")
	}
	return maps.Clone(r.inForce), r.found, nil
}

func (r *rig) Set(changes []route.Change) uint64 {
	changed := false
	for _, c := range changes {
		was, had := r.table[c.Key]
		if changed = changed || had != (c.Value != nil) || had && was != *c.Value; c.Value == nil {
			delete(r.table, c.Key)
		} else {
			r.table[c.Key] = *c.Value
		}
	}
	if changed {
		r.rev++
	}
	return r.rev
}

func (r *rig) Complete()                   { r.complete = true; r.rev++ }
func (r *rig) Hold(held bool)              { r.held, r.goesOn = held, maps.Clone(r.table) }
func (r *rig) Revision() uint64            { return r.rev }
func (r *rig) Served() uint64              { return r.served }
func (r *rig) Routers() []route.RouterLine { return r.routers }

// The rig is the reconciler's Traffic.

func (r *rig) Watch(app string) {
	r.watched, r.traffic = app, map[int]traffic.Tally{}
	r.watches++
}

func (r *rig) Unwatch(string) { r.watched = "" }

func (r *rig) Watched(app string, release int) traffic.Tally {
	if app != r.watched {
		return traffic.Tally{}
	}
	return r.traffic[release]
}

// answers counts answers of a release, if somebody watches.
func (r *rig) answers(release int, requests, failed uint64) {
	if r.watched == "" {
		return
	}
	t := traffic.Tally{Requests: requests, Failed: failed}
	t.Latency.Add(10*time.Millisecond, requests)
	sum := r.traffic[release]
	sum.Add(&t)
	r.traffic[release] = sum
}

// fakeAgent is an agent's session, and its host.
type fakeAgent struct {
	r       *rig
	hello   *pb.Hello
	session int
	away    bool
	engine  string // what is wrong with it
	turns   uint32 // of it
	pulse   *dispatch.Pulse
	news    int  // beats that were events
	hold    bool // do nothing that was told
	todo    []any
	has     map[string]model.Observed
	dies    map[string]bool // releases whose instances end by themselves
	needed  *pb.Needed      // the last answer about images
}

func (a *fakeAgent) ID() string        { return fmt.Sprint(a.hello.GetNodeId(), "#", a.session) }
func (a *fakeAgent) NodeID() string    { return a.hello.GetNodeId() }
func (a *fakeAgent) Start(m *pb.Start) { a.todo = append(a.todo, m) }
func (a *fakeAgent) Stop(m *pb.Stop)   { a.todo = append(a.todo, m) }
func (a *fakeAgent) Resync()           { a.todo = append(a.todo, &pb.Resync{}) }
func (a *fakeAgent) Close(error)       {}
func (a *fakeAgent) Needed(keep, free []string) {
	a.needed = &pb.Needed{Keep: keep, Free: free}
}
func (a *fakeAgent) Forget(id []string) {
	maps.DeleteFunc(a.has, func(k string, _ model.Observed) bool { return slices.Contains(id, k) })
}
func (a *fakeAgent) Logs(context.Context, *pb.LogRequest, func(*pb.LogChunk) error) error {
	return errors.New("no logs")
}

func (a *fakeAgent) connect() {
	a.session++
	a.away, a.todo = false, nil
	a.pulse = dispatch.NewPulse(a.r.now)
	a.r.core.Handle(a.r.t.Context(), dispatch.SessionOpened{Session: a, Hello: a.hello, Pulse: a.pulse})
	a.sync()
}

func (a *fakeAgent) sync() {
	a.r.core.Handle(a.r.t.Context(), dispatch.Synced{Session: a, Instances: slices.Collect(maps.Values(a.has)), DockerOK: a.engine == "", DockerError: a.engine, Engine: a.turns})
}

// leave ends the agent's stream: its host falls silent.
func (a *fakeAgent) leave() {
	a.away = true
	a.r.core.Handle(a.r.t.Context(), dispatch.SessionClosed{Session: a})
}

func (a *fakeAgent) beat() {
	if a.away {
		return
	}
	m := &pb.Heartbeat{Digest: wire.Digest(slices.Collect(maps.Values(a.has))), DockerOk: a.engine == "", DockerError: a.engine, Engine: a.turns}
	if !a.pulse.Take(m, a.r.now) {
		a.news++
		a.r.core.Handle(a.r.t.Context(), dispatch.EventOf(a, &pb.AgentMessage{Body: &pb.AgentMessage_Heartbeat{Heartbeat: m}}))
	}
}

// work does all that was told.
func (a *fakeAgent) work() (moved bool) {
	if a.away || a.hold {
		return false
	}
	todo := a.todo
	a.todo = nil
	for _, m := range todo {
		switch m := m.(type) {
		case *pb.Start:
			o := model.Observed{ID: m.GetInstanceId(), Phase: model.PhaseRunning, Addr: fmt.Sprint("10.0.0.1:", 30000+len(a.has)), Container: "c", CreatedAt: a.r.now.Add(-time.Millisecond), StartedAt: a.r.now, Singleton: m.GetSingleton()}
			if a.dies[m.GetReleaseId()] {
				o = model.Observed{ID: m.GetInstanceId(), Phase: model.PhaseGone, Gone: model.GoneExited, ExitCode: 3, Code: model.CodeCrashed, Message: "its process ended with exit code 3", Logs: []string{"boom"}}
			}
			a.tell(o)
		case *pb.Stop:
			a.tell(model.Observed{ID: m.GetInstanceId(), Phase: model.PhaseGone, Gone: model.GoneExited})
		case *pb.Resync:
			a.sync()
		}
		moved = true
	}
	return moved
}

// tell reports an instance.
func (a *fakeAgent) tell(o model.Observed) {
	a.has[o.ID] = o
	a.r.core.Handle(a.r.t.Context(), dispatch.Reported{Session: a, Instances: []model.Observed{o}})
}

type fakeMonitor struct{}

func (fakeMonitor) ID() string                { return "hm" }
func (fakeMonitor) Targets(*pb.HealthTargets) {}
func (fakeMonitor) Close(error)               {}
