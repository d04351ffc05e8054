package dispatch

import (
	"sync"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// outboxSize bounds what waits for a slow agent. When it is full the session is
// closed: the agent comes back and syncs, which costs less than a queue without end.
const outboxSize = 1024

// outbox is what waits to be sent to one agent. It takes room, and has a
// goroutine, only while something waits: of ten thousand agents nearly all are
// idle.
type outbox struct {
	send func(*pb.ServerMessage) error // called by one goroutine at a time; returns when the stream has ended
	fail func(error)                   // told why nothing more can be sent

	sender sync.WaitGroup // at most one

	mu      sync.Mutex // guards all below
	waiting []*pb.ServerMessage
	sending bool // somebody takes what waits
	closed  bool
}

// put appends a message; false when the outbox is full. It never blocks. What
// is put into a closed outbox is nobody's any more.
func (o *outbox) put(m *pb.ServerMessage) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	if len(o.waiting) >= outboxSize {
		return false
	}
	o.waiting = append(o.waiting, m)
	if !o.sending {
		o.sending = true
		o.sender.Go(o.empty)
	}
	return true
}

// empty sends until nothing waits, or nothing can be sent.
func (o *outbox) empty() {
	for {
		all := o.take()
		if len(all) == 0 {
			return
		}
		for _, m := range all {
			if err := o.send(m); err != nil {
				o.fail(err) // nobody sends after this one: sending stays set
				return
			}
		}
	}
}

// take removes all that waits; the one who gets nothing sends no more.
func (o *outbox) take() []*pb.ServerMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.waiting
	o.waiting, o.sending = nil, len(all) > 0
	return all
}

// close waits until nothing is sent any more. The stream must have ended.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed, o.waiting = true, nil
	o.mu.Unlock()
	o.sender.Wait()
}
