package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/test/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint is a service on a port, with one term whose events a test takes.
type endpoint struct {
	*Service
	inbox chan Event
	term  *Term
	end   context.CancelFunc // of the term
	addr  string
}

// newEndpoint is one whose term has begun.
func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := newEndpointOf(t, func() string { return "" }, func() bool { return false })
	e.Lead(e.term)
	return e
}

// newEndpointOf is one that does not lead yet.
func newEndpointOf(t *testing.T, leader func() string, vacant func() bool) *endpoint {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	e := &endpoint{inbox: make(chan Event, 64), end: end}
	e.Service, e.term = New(slog.New(slog.DiscardHandler), leader, vacant), NewTerm(ctx, 7, "s1", 5*time.Second, e.inbox)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = ln.Addr().String()
	server := grpc.NewServer(grpc.InTapHandle(Tap))
	pb.RegisterAgentsServer(server, e)
	pb.RegisterHealthServer(server, e)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() { end(); server.Stop(); <-served })
	return e
}

// agent opens a stream and says hello.
func (e *endpoint) agent(t *testing.T, node string) pb.Agents_SessionClient {
	t.Helper()
	conn, err := grpc.NewClient(e.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := pb.NewAgentsClient(conn).Session(t.Context())
	if err == nil {
		err = stream.Send(&pb.AgentMessage{Seq: 1, Body: &pb.AgentMessage_Hello{Hello: &pb.Hello{NodeId: node}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// monitor opens a stream and says who it is.
func (e *endpoint) monitor(t *testing.T, id string) pb.Health_WatchClient {
	t.Helper()
	conn, err := grpc.NewClient(e.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := pb.NewHealthClient(conn).Watch(t.Context())
	if err == nil {
		err = stream.Send(&pb.HealthMessage{MonitorId: id})
	}
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// next is the next event; it must be a T.
func next[T Event](t *testing.T, e *endpoint) (got T) {
	t.Helper()
	select {
	case event := <-e.inbox:
		var ok bool
		if got, ok = event.(T); !ok {
			t.Fatalf("event %T, want %T", event, got)
		}
	case <-time.After(time.Minute):
		t.Fatalf("no %T within a minute", got)
	}
	return got
}

// ended reads a stream to its end and returns why it did.
func ended(stream pb.Agents_SessionClient) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return wire.Because(err, stream.Trailer())
		}
	}
}

func TestSession_TheLeaderMayEndAndSaysWhy(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	stream := e.agent(t, "n1")
	session := next[SessionOpened](t, e).Session
	session.Close(errors.New("another session of the same node came"))
	if err := ended(stream); !strings.Contains(err.Error(), "another session of the same node came") {
		t.Errorf("the agent was told %v", err)
	}
	if got := next[SessionClosed](t, e); got.Session != session {
		t.Error("another session was said to be closed")
	}
	session.Start(&pb.Start{InstanceId: "i"}) // must not block, nor start anything
}

func TestWatch_TheLeaderMayEndItAndSaysWhy(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	stream := e.monitor(t, "h1")
	monitor := next[MonitorOpened](t, e).Monitor
	monitor.Close(errors.New("another stream of the same monitor came"))
	if _, err := stream.Recv(); err == nil || !strings.Contains(err.Error(), "another stream of the same monitor came") {
		t.Errorf("the monitor was told %v", err)
	}
	if got := next[MonitorClosed](t, e); got.Monitor != monitor {
		t.Error("another stream was said to be closed")
	}
	monitor.Targets(&pb.HealthTargets{Full: true}) // must not block, nor tell anybody
}

func TestSession_EndsWithItsTerm(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	stream := e.agent(t, "n1")
	next[SessionOpened](t, e)
	e.end()
	if err := ended(stream); !strings.Contains(err.Error(), errTermOver.Error()) {
		t.Errorf("the agent was told %v", err)
	}
}

func TestSession_OrdersArriveInTheirOrder(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	stream := e.agent(t, "n1")
	session := next[SessionOpened](t, e).Session
	const orders = 500
	for range orders {
		session.Start(&pb.Start{})
	}
	for want := uint64(1); want <= orders+1; want++ { // the first is the welcome
		m, err := stream.Recv()
		if err != nil || m.GetSeq() != want {
			t.Fatalf("message %d, want %d (%v)", m.GetSeq(), want, err)
		}
	}
}

// DEFECTS 37, from the other side: what waits for an agent that does not read is bounded.
func TestSession_AnAgentThatDoesNotReadLosesIt(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.agent(t, "n1")
	session := next[SessionOpened](t, e).Session
	big := strings.Repeat("x", 1<<10)
	for range 64 + 2*outboxSize { // what fits into the stream's window, and more than may wait
		session.Start(&pb.Start{Image: big})
	}
	next[SessionClosed](t, e)
}

func TestSession_HoldsOneGoroutineBesidesGRPCsOwn(t *testing.T) {
	e := newEndpoint(t)
	stream := e.agent(t, "n1")
	next[SessionOpened](t, e)
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	ours := func() (n int) {
		stacks := make([]byte, 1<<20)
		for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(g, "server/dispatch.") && !strings.Contains(g, "server/dispatch.Test") && !strings.Contains(g, "newEndpoint") {
				n++
			}
		}
		return n
	}
	testenv.Eventually(t, time.Minute, func() error { // the sender of the welcome may not be gone yet
		if n := ours(); n != 1 {
			return fmt.Errorf("%d goroutines for a session that rests", n)
		}
		return nil
	})
}
