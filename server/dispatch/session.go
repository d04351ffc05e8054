package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// outboxSize bounds what waits for a slow agent. When it is full the session is
// closed: the agent comes back and syncs, which costs less than a queue without end.
const outboxSize = 1024

// ErrClosed says that a session has ended.
var ErrClosed = errors.New("the agent's session has ended")

// Session is one agent's stream in one term. The reconciler sends by it; it
// never blocks.
type Session struct {
	ID     string
	NodeID string

	term   *Term
	out    chan *pb.ServerMessage
	cancel context.CancelCauseFunc
	done   <-chan struct{}

	mu   sync.Mutex
	seq  uint64
	logs map[string]chan *pb.LogChunk // by request ID
}

func newSession(ctx context.Context, cancel context.CancelCauseFunc, term *Term, nodeID string) *Session {
	return &Session{
		ID: uuid.NewString(), NodeID: nodeID, term: term, cancel: cancel, done: ctx.Done(),
		out: make(chan *pb.ServerMessage, outboxSize), logs: map[string]chan *pb.LogChunk{},
	}
}

// Start sends the wish for an instance.
func (s *Session) Start(m *pb.Start) {
	s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Start{Start: m}})
}

// Stop sends the end of an instance.
func (s *Session) Stop(m *pb.Stop) { s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Stop{Stop: m}}) }

// Forget lets the agent drop what it remembers of gone instances.
func (s *Session) Forget(ids []string) {
	s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Forget{Forget: &pb.Forget{InstanceIds: ids}}})
}

// Resync asks for a full sync.
func (s *Session) Resync() {
	s.send(&pb.ServerMessage{Body: &pb.ServerMessage_Resync{Resync: &pb.Resync{}}})
}

// Close ends the session; the agent will come back.
func (s *Session) Close(why error) { s.cancel(why) }

// send stamps a message with the term's epoch and queues it.
func (s *Session) send(m *pb.ServerMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	m.Epoch, m.LeaderId, m.Session, m.Seq = s.term.Epoch, s.term.LeaderID, s.ID, s.seq
	select {
	case s.out <- m:
	default:
		s.cancel(fmt.Errorf("outbox full: %d messages wait", outboxSize))
	}
}

// Logs asks for an instance's output and calls take with each chunk until the
// agent has ended it, ctx ends or the session does.
func (s *Session) Logs(ctx context.Context, r *pb.LogRequest, take func(*pb.LogChunk) error) error {
	r.Id = uuid.NewString()
	chunks := make(chan *pb.LogChunk, 64)
	s.mu.Lock()
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
func (s *Session) chunk(c *pb.LogChunk) {
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
