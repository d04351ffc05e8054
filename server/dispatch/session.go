package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// ErrClosed says that a session has ended.
var ErrClosed = errors.New("the agent's session has ended")

// Session is one agent's stream in one term, as the reconciler sees it. Sending
// by it never blocks: an agent that does not keep up loses the session, and
// comes back for all of it.
type Session interface {
	ID() string     // unique among all sessions
	NodeID() string // whose agent it is
	Start(*pb.Start)
	Stop(*pb.Stop)
	Forget(instanceIDs []string) // the agent may drop what it remembers of these gone instances
	Resync()                     // asks for a full sync
	Needed(keep, free []string)  // answers Unused: which of those images some app needs, and which none does
	Close(why error)             // the agent will come back
	// Logs asks for an instance's output and calls take with each chunk until the
	// agent has ended it, ctx ends or the session does (ErrClosed).
	Logs(ctx context.Context, r *pb.LogRequest, take func(*pb.LogChunk) error) error
}

// session is a Session over gRPC.
type session struct {
	id     string
	nodeID string

	term  *Term
	pulse *Pulse
	out   outbox
	end   func(why error) // ends the stream; only the first reason counts
	done  <-chan struct{}

	mu   sync.Mutex                   // guards all below
	seq  uint64                       // of the last message sent
	took uint64                       // of the agent's last message that the reconciler has
	logs map[string]chan *pb.LogChunk // by request ID; nil before the first
}

func newSession(ctx context.Context, end func(error), term *Term, nodeID string, send func(*pb.ServerMessage) error) *session {
	return &session{
		id: uuid.NewString(), nodeID: nodeID, term: term, pulse: NewPulse(time.Now()), end: end, done: ctx.Done(),
		out: outbox{send: send, fail: end},
	}
}

func (s *session) ID() string     { return s.id }
func (s *session) NodeID() string { return s.nodeID }

func (s *session) Start(m *pb.Start) {
	s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Start{Start: m}})
}

func (s *session) Stop(m *pb.Stop) { s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Stop{Stop: m}}) }

func (s *session) Forget(ids []string) {
	s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Forget{Forget: &pb.Forget{InstanceIds: ids}}})
}

func (s *session) Resync() {
	s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Resync{Resync: &pb.Resync{}}})
}

func (s *session) Needed(keep, free []string) {
	s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Needed{Needed: &pb.Needed{Keep: keep, Free: free}}})
}

func (s *session) Close(why error) { s.end(why) }

// send stamps a message with the term's epoch and queues it.
func (s *session) send(m *pb.ServerMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	m.Epoch, m.LeaderId, m.Session, m.Seq, m.Heard = s.term.Epoch, s.term.LeaderID, s.id, s.seq, s.took
	if s.term.Written != nil {
		m.WrittenMs = s.term.Written()
	}
	if !s.out.put(m) {
		s.end(fmt.Errorf("outbox full: %d messages wait", outboxSize))
	}
}

// take takes a message of the agent's in; false when the term is over.
func (s *session) take(ctx context.Context, m *pb.AgentMessage) bool {
	if c := m.GetLogChunk(); c != nil {
		s.chunk(c)
		return true
	}
	if !s.pulse.Take(m.GetHeartbeat(), time.Now()) {
		e := EventOf(s, m)
		if e == nil {
			return true
		}
		if !s.term.post(ctx, e) {
			return false
		}
	}
	s.heard(m)
	return true
}

// heard notes that the reconciler has a message, or will find it before it takes
// the node for silent, and says so if the agent asks.
func (s *session) heard(m *pb.AgentMessage) {
	s.mu.Lock()
	s.took = m.GetSeq()
	s.mu.Unlock()
	if m.GetHeartbeat().GetAnswer() {
		s.send(&pb.ServerMessage{Body: &pb.ServerMessage_HeardNow{HeardNow: &pb.Heard{}}})
	}
}

func (s *session) Logs(ctx context.Context, r *pb.LogRequest, take func(*pb.LogChunk) error) error {
	r.Id = uuid.NewString()
	chunks := make(chan *pb.LogChunk, 64)
	s.mu.Lock()
	if s.logs == nil {
		s.logs = map[string]chan *pb.LogChunk{}
	}
	s.logs[r.Id] = chunks
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.logs, r.Id)
		s.mu.Unlock()
		s.send(&pb.ServerMessage{Body: &pb.ServerMessage_LogCancel{LogCancel: &pb.LogCancel{Id: r.Id}}})
	}()
	s.send(&pb.ServerMessage{Body: &pb.ServerMessage_LogRequest{LogRequest: r}})
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return ErrClosed
		case c, ok := <-chunks:
			if !ok {
				return errors.New("the reader was too slow for the app's output")
			}
			if err := take(c); err != nil {
				return err
			}
			if c.GetEnd() {
				if c.GetError() != "" {
					return errors.New(c.GetError())
				}
				return nil
			}
		}
	}
}

// chunk hands a piece of output to whoever asked; a reader that is too slow is
// cut off, never waited for.
func (s *session) chunk(c *pb.LogChunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, ok := s.logs[c.GetId()]
	if !ok {
		return
	}
	select {
	case ch <- c:
	default:
		close(ch)
		delete(s.logs, c.GetId())
	}
}
