package dispatch

import (
	"context"
	"sync"
	"time"
)

// lobby is where callers wait that come while nobody leads.
type lobby struct {
	mu   sync.Mutex
	door chan struct{} // closed for all who wait; nil: nobody does
}

// enter returns what is closed when it is worth looking again.
func (l *lobby) enter() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.door == nil {
		l.door = make(chan struct{})
	}
	return l.door
}

// open lets all look again.
func (l *lobby) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.door != nil {
		close(l.door)
		l.door = nil
	}
}

// waitForLeader is how long a caller waits for somebody to lead. It is well below
// what agents and monitors wait for an answer (proto/follow), or they would take
// this server for one that hangs; and it may be that only others can be led to.
const waitForLeader = 4 * time.Second

// await is the term in force, nil when another server leads or nobody does. While
// nobody leads, and somebody will soon, it waits for that: ten thousand agents that
// ask again and again would take all of the processor from who is about to lead,
// and come late to it.
func (s *Service) await(ctx context.Context) *Term {
	over := time.NewTimer(waitForLeader)
	defer over.Stop()
	for {
		door := s.lobby.enter() // before looking: what changes from here on opens it
		if t := s.current(); t != nil || !s.vacant() {
			return t
		}
		select {
		case <-door:
		case <-over.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
