package dispatch

import (
	"sync"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// outboxSize bounds what waits for a slow agent. When it is full the session is
// closed: the agent comes back and syncs, which costs less than a queue without end.
const outboxSize = 1024

// outbox is what waits to be sent to one agent. It takes room only while
// something waits: of ten thousand agents nearly all are idle.
type outbox struct {
	signal chan struct{} // size 1: not empty

	mu      sync.Mutex // guards waiting
	waiting []*pb.ServerMessage
}

func newOutbox() outbox { return outbox{signal: make(chan struct{}, 1)} }

// put appends a message; false when the outbox is full. It never blocks.
func (o *outbox) put(m *pb.ServerMessage) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) >= outboxSize {
		return false
	}
	o.waiting = append(o.waiting, m)
	select {
	case o.signal <- struct{}{}:
	default:
	}
	return true
}

// take empties the outbox.
func (o *outbox) take() []*pb.ServerMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.waiting
	o.waiting = nil
	return all
}
