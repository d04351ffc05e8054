// Package dispatch is the gRPC endpoint for agents and health monitors. It knows
// streams, sequences and sessions, and turns what comes in into events for the
// reconciler; it decides nothing.
package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// Term is one leadership of this server: what its messages are stamped with and
// where events go.
type Term struct {
	Epoch     int64
	LeaderID  string
	Heartbeat time.Duration
	Lost      time.Duration                // a node that is not heard for so long may be taken for lost
	Overtaken func(epoch int64, by string) // is told of an agent that has obeyed a higher epoch; nil: nobody asks
	Written   func() int64                 // how far the term had come at the last write that was acknowledged, in ms; nil: not known

	ctx   context.Context // ends with the term: the one struct that is a lifetime
	inbox chan<- Event
}

var (
	errTermOver = errors.New("this server leads no more")
	errEnded    = errors.New("the agent has ended its session")
)

// NewTerm makes a term that lives as long as ctx.
func NewTerm(ctx context.Context, epoch int64, leaderID string, heartbeat time.Duration, inbox chan<- Event) *Term {
	return &Term{Epoch: epoch, LeaderID: leaderID, Heartbeat: heartbeat, ctx: ctx, inbox: inbox}
}

// Post hands an event to the reconciler; false when the term is over.
func (t *Term) Post(e Event) bool { return t.post(t.ctx, e) }

func (t *Term) post(ctx context.Context, e Event) bool {
	select {
	case t.inbox <- e:
		return true
	case <-ctx.Done():
		return false
	case <-t.ctx.Done():
		return false
	}
}

// Service serves agents and monitors while this server leads, and sends them to
// the leader otherwise.
type Service struct {
	pb.UnimplementedAgentsServer
	pb.UnimplementedHealthServer

	log    *slog.Logger
	term   atomic.Pointer[Term]
	leader func() string // address of the leader, "" when not known
	vacant func() bool   // nobody leads, and somebody will soon
	lobby  lobby
}

// New makes a Service; leader tells where the present leader is, and vacant whether
// nobody leads now and somebody will soon.
func New(log *slog.Logger, leader func() string, vacant func() bool) *Service {
	return &Service{log: log, leader: leader, vacant: vacant}
}

// Lead makes t the term in force; nil ends it.
func (s *Service) Lead(t *Term) {
	s.term.Store(t)
	if t != nil {
		s.lobby.open()
	}
}

// Looked says that leader and vacant may answer something else now.
func (s *Service) Looked() {
	if !s.vacant() {
		s.lobby.open()
	}
}

// current is the term in force, nil when another server leads.
func (s *Service) current() *Term {
	t := s.term.Load()
	if t == nil || t.ctx.Err() != nil {
		return nil
	}
	return t
}

func (s *Service) notLeader() *pb.NotLeader { return &pb.NotLeader{Address: s.leader()} }

// endKey is where a stream's context has the function that ends the stream.
type endKey struct{}

// Tap is to be the gRPC server's grpc.InTapHandle: it makes sessions' streams
// such as can be ended by others than their handler, which waits for the agent
// nearly all of its life. gRPC has no other way, but for a second goroutine in
// each session, whose stack would be a tenth of what an agent costs.
func Tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if info.FullMethodName != pb.Agents_Session_FullMethodName {
		return ctx, nil
	}
	ctx, end := context.WithCancelCause(ctx)
	return context.WithValue(ctx, endKey{}, end), nil
}

// Session implements pb.AgentsServer.
func (s *Service) Session(stream pb.Agents_SessionServer) error {
	ctx := stream.Context()
	cancel, ok := ctx.Value(endKey{}).(context.CancelCauseFunc)
	if !ok {
		return status.Error(codes.Internal, "the gRPC server was made without dispatch.Tap")
	}
	end := func(why error) {
		stream.SetTrailer(wire.Why(why))
		cancel(why)
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello.GetNodeId() == "" {
		return status.Error(codes.InvalidArgument, "the first message must be a hello with a node id")
	}
	term := s.await(ctx)
	if term == nil {
		return stream.Send(&pb.ServerMessage{Body: &pb.ServerMessage_NotLeader{NotLeader: s.notLeader()}})
	}
	if Over(hello.GetMaxEpoch(), term.Epoch) {
		if term.Overtaken != nil {
			term.Overtaken(hello.GetMaxEpoch(), "node "+hello.GetNodeId())
		}
		return status.Errorf(codes.FailedPrecondition, "the agent has obeyed epoch %d, this leader has %d: the database was restored from a backup, or this leader is over", hello.GetMaxEpoch(), term.Epoch)
	}
	defer context.AfterFunc(term.ctx, func() { end(errTermOver) })()
	return s.run(ctx, stream, newSession(ctx, end, term, hello.GetNodeId(), stream.Send), hello, first.GetSeq())
}

// Over reports whether a leader of epoch may not lead an agent that has obeyed
// maxEpoch: another has followed it (R3).
func Over(maxEpoch, epoch int64) bool {
	return maxEpoch > epoch
}

// run serves one session until it ends: this goroutine reads, and the session's
// outbox writes when there is something to be written.
func (s *Service) run(ctx context.Context, stream pb.Agents_SessionServer, sess *session, hello *pb.Hello, seq uint64) error {
	defer sess.out.close()
	defer sess.end(errEnded)
	sess.send(&pb.ServerMessage{Body: &pb.ServerMessage_Welcome{Welcome: &pb.Welcome{HeartbeatMs: sess.term.Heartbeat.Milliseconds(), LostMs: sess.term.Lost.Milliseconds()}}})
	if !sess.term.post(ctx, SessionOpened{sess, hello, sess.pulse}) {
		return status.Error(codes.Unavailable, errTermOver.Error())
	}
	defer sess.term.Post(SessionClosed{sess})
	err := receive(ctx, stream, sess, seq)
	return status.Error(codes.Unavailable, err.Error())
}

// receive turns the agent's messages into events until the stream ends.
func receive(ctx context.Context, stream pb.Agents_SessionServer, sess *session, seq uint64) error {
	inlet := NewInlet(seq)
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		take, resync := inlet.Admit(m)
		if resync {
			sess.Resync()
		}
		if take && !sess.take(ctx, m) {
			return errTermOver
		}
	}
}
