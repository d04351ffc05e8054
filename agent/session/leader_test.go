package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/logs"
	"github.com/dinp/dinp/agent/runtime/fake"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/test/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret   = wire.Credential("s3cret")
	patience = 20 * time.Second
)

// leader plays a server: it keeps what agents tell it, and sends what a test orders.
type leader struct {
	pb.UnimplementedAgentsServer
	t     *testing.T
	addr  string
	id    string
	epoch int64
	moved string // not "": answers NotLeader with it

	server *grpc.Server

	mu       sync.Mutex // guards all below
	sessions int
	orders   chan *pb.ServerMessage // of the last session
	seq      uint64                 // of the last message sent in it
	hello    *pb.Hello
	syncs    []*pb.Sync
	view     map[string]model.Observed
	matched  int // heartbeats whose digest was that of view
	beat     *pb.Heartbeat
	chunks   []*pb.LogChunk
}

func newLeader(t *testing.T, id string, epoch int64) *leader {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &leader{t: t, id: id, epoch: epoch, addr: lis.Addr().String()}
	l.serve(lis)
	t.Cleanup(func() { l.server.Stop() })
	return l
}

func (l *leader) serve(lis net.Listener) {
	l.server = grpc.NewServer(grpc.StreamInterceptor(secret.Stream))
	pb.RegisterAgentsServer(l.server, l)
	go func() { _ = l.server.Serve(lis) }()
}

// restart stops the server and starts it at the same address.
func (l *leader) restart() {
	l.t.Helper()
	l.server.Stop()
	lis, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.serve(lis)
}

// Session implements pb.AgentsServer.
func (l *leader) Session(s grpc.BidiStreamingServer[pb.AgentMessage, pb.ServerMessage]) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	if l.moved != "" {
		return s.Send(&pb.ServerMessage{Body: &pb.ServerMessage_NotLeader{NotLeader: &pb.NotLeader{Address: l.moved}}})
	}
	orders := l.welcome(m.GetHello())
	orders <- &pb.ServerMessage{Body: &pb.ServerMessage_Welcome{Welcome: &pb.Welcome{HeartbeatMs: 20}}}
	ended := make(chan error, 1)
	go func() { ended <- l.listen(s) }()
	for {
		select {
		case o := <-orders:
			if err := s.Send(l.stamp(o)); err != nil {
				return err
			}
		case err := <-ended:
			return err
		}
	}
}

func (l *leader) welcome(h *pb.Hello) chan *pb.ServerMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions++
	l.hello, l.seq, l.view = h, 0, map[string]model.Observed{}
	l.orders = make(chan *pb.ServerMessage, 100)
	return l.orders
}

// stamp fills in what the test has not set itself.
func (l *leader) stamp(m *pb.ServerMessage) *pb.ServerMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	if m.Seq == 0 {
		m.Seq = l.seq
	}
	if m.Session == "" {
		m.Session = fmt.Sprint(l.id, "-", l.sessions)
	}
	if m.Epoch == 0 {
		m.Epoch = l.epoch
	}
	m.LeaderId = l.id
	return m
}

func (l *leader) listen(s grpc.BidiStreamingServer[pb.AgentMessage, pb.ServerMessage]) error {
	for want := uint64(2); ; want++ {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if m.GetSeq() != want {
			l.t.Errorf("seq %d, want %d", m.GetSeq(), want)
		}
		l.hear(m)
	}
}

func (l *leader) hear(m *pb.AgentMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch b := m.GetBody().(type) {
	case *pb.AgentMessage_Sync:
		l.syncs = append(l.syncs, b.Sync)
		l.view = map[string]model.Observed{}
		l.learn(b.Sync.GetInstances())
	case *pb.AgentMessage_Report:
		l.learn(b.Report.GetInstances())
	case *pb.AgentMessage_Heartbeat:
		if l.beat = b.Heartbeat; slices.Equal(wire.Digest(l.all()), b.Heartbeat.GetDigest()) {
			l.matched++
		}
	case *pb.AgentMessage_LogChunk:
		l.chunks = append(l.chunks, b.LogChunk)
	}
}

func (l *leader) learn(list []*pb.InstanceStatus) {
	for _, s := range list {
		o := wire.ToObserved(s)
		if old := l.view[o.ID]; o.Phase < old.Phase {
			l.t.Errorf("%s went back from %s to %s", o.ID, old.Phase, o.Phase)
		}
		l.view[o.ID] = o
	}
}

func (l *leader) all() []model.Observed {
	var out []model.Observed
	for _, o := range l.view {
		out = append(out, o)
	}
	return out
}

// order sends a message in the last session.
func (l *leader) order(m *pb.ServerMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders <- m
}

func (l *leader) start(id string) *pb.ServerMessage {
	return &pb.ServerMessage{Body: &pb.ServerMessage_Start{Start: &pb.Start{
		InstanceId: id, AppId: "a1", AppName: "shop", Image: "img", Port: 8080, MemoryMib: 64,
	}}}
}

func (l *leader) stop(id string) *pb.ServerMessage {
	return &pb.ServerMessage{Body: &pb.ServerMessage_Stop{Stop: &pb.Stop{InstanceId: id}}}
}

// until waits for what the leader knows; f runs with mu held.
func (l *leader) until(what string, f func() bool) {
	l.t.Helper()
	testenv.Eventually(l.t, patience, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if f() {
			return nil
		}
		return errors.New(what)
	})
}

func (l *leader) untilPhase(id string, p model.Phase) {
	l.t.Helper()
	l.until(fmt.Sprintf("%s is not %s", id, p), func() bool { return l.view[id].Phase == p })
}

// agent is a client with a real Set over a fake engine.
type agent struct {
	*Client
	t      *testing.T
	dir    string
	engine *fake.Engine
	set    *instance.Set
	store  *logs.Store
	docker Docker
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newAgent(t *testing.T, servers ...string) *agent {
	t.Helper()
	a := &agent{t: t, dir: t.TempDir(), engine: fake.NewEngine(), docker: Docker{OK: true}}
	a.engine.Program = fake.ByEnv
	a.up(secret, servers...)
	t.Cleanup(a.down)
	return a
}

func (a *agent) up(s wire.Credential, servers ...string) {
	a.t.Helper()
	log := slog.New(slog.DiscardHandler)
	j, err := journal.Open(a.dir, "n1", log)
	if err != nil {
		a.t.Fatal(err)
	}
	rt := a.engine.Node("n1", "10.0.0.1")
	out := NewOutbox()
	d := instance.NewDriver(rt)
	a.store = logs.New(filepath.Join(a.dir, "logs"), rt, log)
	d.Follow, d.Finish = a.store.Follow, a.store.Finish
	a.set = instance.New(instance.Config{MemoryMiB: 1000, CPUMilli: 1000}, d, j, out.Note, log)
	if err := a.set.Load(); err != nil {
		a.t.Fatal(err)
	}
	a.Client = New(Config{Servers: servers, Secret: s}, Node{
		Set: a.set, Journal: j, Logs: a.store, Outbox: out,
		Hello: func() *pb.Hello {
			return &pb.Hello{NodeId: j.NodeID(), MaxEpoch: j.Epoch().Max, LeaderId: j.Epoch().Leader}
		},
		Docker:  func() Docker { return a.docker },
		Refresh: func(context.Context) {},
	}, log)
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	for _, run := range []func(context.Context) error{a.set.Run, a.store.Run, a.Run} {
		a.wg.Go(func() { _ = run(ctx) }) // ends with the context
	}
	a.wg.Go(func() {
		<-ctx.Done()
		_ = j.Close()
	})
}

func (a *agent) down() {
	a.cancel()
	a.wg.Wait()
}
