package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

// rig is a database, a Redis and as many servers, agents and monitors as a test
// asks for. Agents and monitors speak the real protocol; their containers are
// made up.
type rig struct {
	t         *testing.T
	store     *store.Store
	authority *enrol.Authority
	rdb       *redis.Client
	by        model.Actor

	patience time.Duration // with routers that do not answer
	grace    time.Duration // for nodes that stay silent at the start of a term
	deadline time.Duration // of deployments
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	st, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { rdb.Close(); st.Close() })
	authority, err := enrol.Open(t.Context(), st, rigSecret, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, store: st, authority: authority, rdb: rdb, by: model.Actor{Name: "ada"}, patience: 5 * time.Second, grace: 300 * time.Millisecond, deadline: time.Minute}
}

// eachDatabase runs a test on the embedded database and on MariaDB.
func eachDatabase(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newRig(t, storetest.SQLite(t))) })
	t.Run("mariadb", func(t *testing.T) { f(t, newRig(t, "mysql:"+testenv.MariaDB(t))) })
}

const rigSecret = "the secret of the rig's cluster"

type testServer struct {
	*Server
	stop func()
}

// server starts a server with short times and ends it with the test, or by stop.
// Those after which something is given up are longer than a busy machine stalls.
func (r *rig) server(id string, change ...func(*Config)) *testServer {
	r.t.Helper()
	cfg := Default()
	cfg.ID, cfg.Listen, cfg.Admin, cfg.Domain = id, "127.0.0.1:0", "127.0.0.1:0", "test"
	cfg.Heartbeat, cfg.LostAfter, cfg.LeaseTTL = 2*time.Second, 20*time.Second, 10*time.Second
	cfg.MinReady, cfg.Sweep = 50*time.Millisecond, time.Second
	cfg.Orphans, cfg.Authority, cfg.Secret = time.Second, r.authority, rigSecret
	for _, f := range change {
		f(&cfg)
	}
	s := New(cfg, r.store, r.rdb, slog.New(slog.NewTextHandler(testWriter{r.t}, nil)))
	s.publish.Patience, s.routeGrace = r.patience, r.grace
	if err := s.Listen(); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				r.t.Errorf("server %s: %v", id, err)
			}
		})
	}
	r.t.Cleanup(stop)
	return &testServer{Server: s, stop: stop}
}

// losesSoon has a server give up a silent node within seconds.
func losesSoon(c *Config) { c.Heartbeat, c.LostAfter = 500*time.Millisecond, 2*time.Second }

// testWriter sends a log to the test's output.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// agent is a node whose containers are entries of a map.
type agent struct {
	r    *rig
	id   string
	ctx  context.Context
	stop func()

	mu        sync.Mutex
	instances map[string]model.Observed
	starts    map[string]int // Start commands by instance
	stopped   []string
	routedAt  map[string]bool // was routed when its Stop came
	epochs    []int64
	told      model.Moment // the latest of leaders' histories
	stream    pb.Agents_SessionClient
	seq       uint64
	hold      bool // keep new instances at pulling
	failing   map[string]bool
}

func (r *rig) agent(id string, addrs ...string) *agent {
	return r.agentWith(id, map[string]model.Observed{}, addrs...)
}

// agentWith starts an agent that comes back with the containers it had.
func (r *rig) agentWith(id string, had map[string]model.Observed, addrs ...string) *agent {
	return r.agentAfter(&agent{id: id, instances: had}, addrs...)
}

// agentAfter starts an agent that follows another one, which has been stopped.
func (r *rig) agentAfter(was *agent, addrs ...string) *agent {
	ctx, cancel := context.WithCancel(context.Background())
	a := &agent{r: r, id: was.id, ctx: ctx, instances: was.instances, told: was.told, starts: map[string]int{}, routedAt: map[string]bool{}, failing: map[string]bool{}}
	var wg sync.WaitGroup
	a.stop = func() { cancel(); wg.Wait() }
	r.t.Cleanup(a.stop)
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if err := a.session(addrs[n%len(addrs)]); err != nil && ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		}
	})
	return a
}

// dial calls a server as a part with a certificate of the rig's cluster.
func (r *rig) dial(addr string, role pki.Role, name string) (*grpc.ClientConn, error) {
	id, err := r.authority.Issue(context.Background(), pki.Identity{Role: role, Name: name})
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(addr, grpc.WithTransportCredentials(id.Client()))
}

func (a *agent) session(addr string) error {
	conn, err := a.r.dial(addr, pki.RoleAgent, a.id)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	stream, err := pb.NewAgentsClient(conn).Session(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.stream, a.seq = stream, 0
	a.send(&pb.AgentMessage{Body: &pb.AgentMessage_Hello{Hello: &pb.Hello{
		NodeId: a.id, Name: a.id, Address: "127.0.0.1", Labels: []string{"on=" + a.id}, MemoryMib: 4096, CpuMilli: 4000, MaxEpoch: a.told.Epoch, WrittenMs: a.told.Age,
	}}})
	a.mu.Unlock()
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if m.GetNotLeader() != nil {
			return errors.New("not the leader")
		}
		a.obey(ctx, m)
	}
}

// send needs mu.
func (a *agent) send(m *pb.AgentMessage) {
	a.seq++
	m.Seq = a.seq
	a.stream.Send(m)
}

func (a *agent) obey(ctx context.Context, m *pb.ServerMessage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.epochs = append(a.epochs, m.GetEpoch())
	a.told = model.Moment{Epoch: m.GetEpoch(), Age: m.GetWrittenMs()}
	switch b := m.GetBody().(type) {
	case *pb.ServerMessage_Welcome:
		a.sync()
		go a.beats(ctx, time.Duration(b.Welcome.GetHeartbeatMs())*time.Millisecond)
	case *pb.ServerMessage_Resync:
		a.sync()
	case *pb.ServerMessage_Start:
		a.start(b.Start)
	case *pb.ServerMessage_Stop:
		id := b.Stop.GetInstanceId()
		a.routedAt[id] = a.r.routes(id)
		a.stopped = append(a.stopped, id)
		a.put(model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneExited})
	case *pb.ServerMessage_Forget:
		for _, id := range b.Forget.GetInstanceIds() {
			delete(a.instances, id)
		}
	}
}

func (a *agent) start(s *pb.Start) {
	id := s.GetInstanceId()
	a.starts[id]++
	if _, known := a.instances[id]; known {
		return
	}
	o := model.Observed{ID: id, Phase: model.PhaseRunning, Addr: fmt.Sprintf("127.0.0.1:%d", 20000+len(a.starts)+100*len(a.id)), Container: "c"}
	if a.hold {
		o = model.Observed{ID: id, Phase: model.PhasePulling}
	}
	if a.failing[s.GetReleaseId()] {
		o = model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneExited, ExitCode: 3, Code: model.CodeCrashed, Message: "exit code 3", Logs: []string{"boom"}}
	}
	a.put(o)
}

// put needs mu.
func (a *agent) put(o model.Observed) {
	a.instances[o.ID] = o
	a.send(&pb.AgentMessage{Body: &pb.AgentMessage_Report{Report: &pb.Report{Instances: []*pb.InstanceStatus{wire.FromObserved(o)}}}})
}

// kill ends an instance as a crash would.
func (a *agent) kill(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.put(model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneLost})
}

func (a *agent) sync() {
	m := &pb.Sync{DockerOk: true}
	for _, o := range a.instances {
		m.Instances = append(m.Instances, wire.FromObserved(o))
	}
	a.send(&pb.AgentMessage{Body: &pb.AgentMessage_Sync{Sync: m}})
}

func (a *agent) beats(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.mu.Lock()
			digest := wire.Digest(slices.Collect(maps.Values(a.instances)))
			a.send(&pb.AgentMessage{Body: &pb.AgentMessage_Heartbeat{Heartbeat: &pb.Heartbeat{Digest: digest, DockerOk: true}}})
			a.mu.Unlock()
		}
	}
}

// running lists the instances that run.
func (a *agent) running() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for id, o := range a.instances {
		if o.Phase == model.PhaseRunning {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// monitor answers every target with the verdict that judge gives.
func (r *rig) monitor(addr string, judge func(id string) bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	stop = func() { cancel(); wg.Wait() }
	r.t.Cleanup(stop)
	wg.Go(func() {
		for ctx.Err() == nil {
			if conn, err := r.dial(addr, pki.RoleMonitor, "hm"); err == nil {
				watch(ctx, conn, judge)
				conn.Close()
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return stop
}

func watch(ctx context.Context, conn *grpc.ClientConn, judge func(id string) bool) {
	stream, err := pb.NewHealthClient(conn).Watch(ctx)
	if err != nil || stream.Send(&pb.HealthMessage{MonitorId: "hm"}) != nil {
		return
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		out := &pb.HealthMessage{MonitorId: "hm"}
		for _, t := range m.GetSet() {
			out.Verdicts = append(out.Verdicts, &pb.HealthVerdict{InstanceId: t.GetInstanceId(), Healthy: judge(t.GetInstanceId()), Evidence: "probe"})
		}
		if stream.Send(out) != nil {
			return
		}
	}
}

// deploy makes the next release of an app, made when it is new.
func (r *rig) deploy(name string, instances int) model.Release {
	r.t.Helper()
	ctx := r.t.Context()
	app, err := r.store.App(ctx, name)
	if model.IsKind(err, model.NotFound) {
		app, err = r.store.CreateApp(ctx, name, "team", r.by)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	rel, _, err := r.store.CreateRelease(ctx, store.NewRelease{AppID: app.ID, Cause: model.CauseDeploy, Instances: &instances, Spec: func(base model.Release) (model.Spec, error) {
		s := base.Spec.WithDefaults()
		s.Image, s.Drain, s.Deadline = "dinp/apps/"+name+"@sha256:"+strings.Repeat("a", 64), 1, model.Duration(r.deadline)
		return s, nil
	}}, r.by)
	if err != nil {
		r.t.Fatal(err)
	}
	return rel
}

func (r *rig) scale(name string, n int) {
	r.t.Helper()
	app, err := r.store.App(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.store.EditApp(r.t.Context(), app.ID, 0, store.AppEdit{Instances: &n}, r.by); err != nil {
		r.t.Fatal(err)
	}
}

// backend is what routers read for an app.
func (r *rig) backend(name string) route.Backend {
	s, err := r.rdb.Get(context.Background(), route.BackendPrefix+route.Host(name, "test")).Result()
	if err != nil {
		return route.Backend{}
	}
	b, err := route.DecodeBackend(s)
	if err != nil {
		r.t.Error(err)
	}
	return b
}

// routes reports whether an instance is in any backend set.
func (r *rig) routes(id string) bool {
	keys, err := r.rdb.Keys(context.Background(), route.BackendPrefix+"*").Result()
	if err != nil {
		return false
	}
	for _, k := range keys {
		if s, err := r.rdb.Get(context.Background(), k).Result(); err == nil && strings.Contains(s, id) {
			return true
		}
	}
	return false
}

// wait polls until check is content.
func (r *rig) wait(what string, check func() error) {
	r.t.Helper()
	testenv.Eventually(r.t, 60*time.Second, func() error {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// serving waits until an app is routed to n instances of a release.
func (r *rig) serving(name string, release, n int) {
	r.t.Helper()
	r.wait(fmt.Sprintf("%s serves v%d on %d", name, release, n), func() error {
		b := r.backend(name)
		for _, e := range b.Endpoints {
			if e.Release != release {
				return fmt.Errorf("routes %+v", b)
			}
		}
		if len(b.Endpoints) != n {
			text, err := json.Marshal(b)
			return errors.Join(fmt.Errorf("routes %s", text), err)
		}
		return nil
	})
}

func (r *rig) rows(name string) []model.Instance {
	app, err := r.store.App(context.Background(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	rows, err := r.store.Instances(context.Background(), app.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return rows
}

// bind binds a domain and waits until it is routed: by then the leader has gone
// through a whole round with everything that came before.
func (r *rig) bind(name, domain string) {
	r.t.Helper()
	app, err := r.store.App(r.t.Context(), name)
	if err == nil {
		err = r.store.BindDomain(r.t.Context(), app.ID, domain, r.by)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.wait(domain+" is routed", func() error { return r.rdb.Get(r.t.Context(), route.DomainPrefix+domain).Err() })
}

// joined waits until so many nodes have come.
func (r *rig) joined(n int) {
	r.t.Helper()
	r.wait(fmt.Sprintf("%d nodes are there", n), func() error {
		nodes, err := r.store.Nodes(r.t.Context())
		if err == nil && len(nodes) != n {
			err = fmt.Errorf("%d nodes", len(nodes))
		}
		return err
	})
}

// ready is how many instances of an app the leader holds for ready.
func (r *rig) ready(addr, name string) (n int, err error) {
	reply, err := r.live(addr, name)
	for _, i := range reply.GetInstances() {
		if i.GetReady() {
			n++
		}
	}
	return n, err
}

// live is what the leader says of an app.
func (r *rig) live(addr, name string) (*pb.AppReply, error) {
	app, err := r.store.App(r.t.Context(), name)
	if err != nil {
		return nil, err
	}
	conn, err := r.dial(addr, pki.RoleDash, "dash")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return pb.NewPlatformClient(conn).App(r.t.Context(), &pb.AppRequest{AppId: app.ID})
}
