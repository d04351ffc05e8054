// Package leadertest plays the leader for tests of the agent: it keeps what it
// is told, sends what a test orders, and fails the test when an agent breaks
// the protocol: a gap in its sequence, a phase that goes back.
package leadertest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki/pkitest"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/test/testenv"
)

const patience = 60 * time.Second

// Leader plays a server: it keeps what agents tell it, and sends what a test orders.
type Leader struct {
	pb.UnimplementedAgentsServer
	Addr   string       // where it listens
	Moved  string       // not "": it answers NotLeader with this address; set it before an agent comes
	Ends   error        // not nil: it ends each session, and tells this as the reason; set it before an agent comes
	Late   bool         // it does so after its welcome
	Server *grpc.Server // as it runs now

	t       testing.TB
	cluster *pkitest.Cluster
	id      string
	epoch   int64

	sync.Mutex                           // guards all below
	Sessions   int                       // so far
	orders     chan *pb.ServerMessage    // of the last session
	seq        uint64                    // of the last message sent in it
	Hello      *pb.Hello                 // of the last session
	Syncs      []*pb.Sync                // of all sessions
	View       map[string]model.Observed // what it was told in the last session
	Matched    int                       // heartbeats whose digest was that of View
	Beat       *pb.Heartbeat             // the last
	Chunks     []*pb.LogChunk            // all
	Unused     *pb.Unused                // the last question about images
}

// New starts a server; it stops with the test.
func New(t testing.TB, cluster *pkitest.Cluster, id string, epoch int64) *Leader {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Leader{t: t, id: id, epoch: epoch, Addr: lis.Addr().String(), cluster: cluster}
	l.serve(lis)
	t.Cleanup(func() { l.Server.Stop() })
	return l
}

func (l *Leader) serve(lis net.Listener) {
	l.Server = grpc.NewServer(l.cluster.Server()...)
	pb.RegisterAgentsServer(l.Server, l)
	go func() { _ = l.Server.Serve(lis) }()
}

// Restart stops the server and starts it at the same address.
func (l *Leader) Restart() {
	l.t.Helper()
	l.Server.Stop()
	lis, err := net.Listen("tcp", l.Addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.serve(lis)
}

// Session implements pb.AgentsServer.
func (l *Leader) Session(s grpc.BidiStreamingServer[pb.AgentMessage, pb.ServerMessage]) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	if l.Moved != "" {
		return s.Send(&pb.ServerMessage{Body: &pb.ServerMessage_NotLeader{NotLeader: &pb.NotLeader{Address: l.Moved}}})
	}
	orders := l.welcome(m.GetHello())
	if l.Ends != nil {
		return l.end(s)
	}
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

// end ends a session as a server does that has changed its mind.
func (l *Leader) end(s grpc.BidiStreamingServer[pb.AgentMessage, pb.ServerMessage]) error {
	if l.Late {
		if err := s.Send(l.stamp(&pb.ServerMessage{Body: &pb.ServerMessage_Welcome{Welcome: &pb.Welcome{HeartbeatMs: 20}}})); err != nil {
			return err
		}
	}
	s.SetTrailer(wire.Why(l.Ends))
	return status.Error(codes.Canceled, "context canceled")
}

func (l *Leader) welcome(h *pb.Hello) chan *pb.ServerMessage {
	l.Lock()
	defer l.Unlock()
	l.Sessions++
	l.Hello, l.seq, l.View = h, 0, map[string]model.Observed{}
	l.orders = make(chan *pb.ServerMessage, 100)
	return l.orders
}

// stamp fills in what the test has not set itself.
func (l *Leader) stamp(m *pb.ServerMessage) *pb.ServerMessage {
	l.Lock()
	defer l.Unlock()
	l.seq++
	if m.Seq == 0 {
		m.Seq = l.seq
	}
	if m.Session == "" {
		m.Session = fmt.Sprint(l.id, "-", l.Sessions)
	}
	if m.Epoch == 0 {
		m.Epoch = l.epoch
	}
	m.LeaderId = l.id
	return m
}

func (l *Leader) listen(s grpc.BidiStreamingServer[pb.AgentMessage, pb.ServerMessage]) error {
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

func (l *Leader) hear(m *pb.AgentMessage) {
	l.Lock()
	defer l.Unlock()
	switch b := m.GetBody().(type) {
	case *pb.AgentMessage_Sync:
		l.Syncs = append(l.Syncs, b.Sync)
		l.View = map[string]model.Observed{}
		l.learn(b.Sync.GetInstances())
	case *pb.AgentMessage_Report:
		l.learn(b.Report.GetInstances())
	case *pb.AgentMessage_Heartbeat:
		if l.Beat = b.Heartbeat; slices.Equal(wire.Digest(l.all()), b.Heartbeat.GetDigest()) {
			l.Matched++
		}
	case *pb.AgentMessage_LogChunk:
		l.Chunks = append(l.Chunks, b.LogChunk)
	case *pb.AgentMessage_Unused:
		l.Unused = b.Unused
	}
}

func (l *Leader) learn(list []*pb.InstanceStatus) {
	for _, s := range list {
		o := wire.ToObserved(s)
		if old := l.View[o.ID]; o.Phase < old.Phase {
			l.t.Errorf("%s went back from %s to %s", o.ID, old.Phase, o.Phase)
		}
		l.View[o.ID] = o
	}
}

func (l *Leader) all() []model.Observed {
	var out []model.Observed
	for _, o := range l.View {
		out = append(out, o)
	}
	return out
}

// Order sends a message in the last session.
func (l *Leader) Order(m *pb.ServerMessage) {
	l.Lock()
	defer l.Unlock()
	l.orders <- m
}

// Start returns the order to start an instance of image "img".
func (l *Leader) Start(id string) *pb.ServerMessage {
	return &pb.ServerMessage{Body: &pb.ServerMessage_Start{Start: &pb.Start{
		InstanceId: id, AppId: "a1", AppName: "shop", Image: "img", Port: 8080, MemoryMib: 64,
	}}}
}

// Stop returns the order to stop an instance at once.
func (l *Leader) Stop(id string) *pb.ServerMessage {
	return &pb.ServerMessage{Body: &pb.ServerMessage_Stop{Stop: &pb.Stop{InstanceId: id}}}
}

// Until waits for what the leader knows; f runs with the lock held.
func (l *Leader) Until(what string, f func() bool) {
	l.t.Helper()
	testenv.Eventually(l.t, patience, func() error {
		l.Lock()
		defer l.Unlock()
		if f() {
			return nil
		}
		return errors.New(what)
	})
}

// UntilPhase waits until the leader was told of the phase.
func (l *Leader) UntilPhase(id string, p model.Phase) {
	l.t.Helper()
	l.Until(fmt.Sprintf("%s is not %s", id, p), func() bool { return l.View[id].Phase == p })
}

// Connected waits for the n-th session's full sync.
func (l *Leader) Connected(n int) {
	l.t.Helper()
	l.Until("no sync", func() bool { return l.Sessions >= n && len(l.Syncs) >= n })
}
