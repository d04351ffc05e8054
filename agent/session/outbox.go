package session

import "sync"

// Outbox notes of which instances there is news. It holds ids, not messages:
// however long the leader is away it cannot grow past the number of instances,
// and what is sent in the end is the newest.
type Outbox struct {
	signal chan struct{} // size 1: not empty

	mu  sync.Mutex // guards ids
	ids map[string]bool
}

// NewOutbox returns an empty outbox.
func NewOutbox() *Outbox {
	return &Outbox{signal: make(chan struct{}, 1), ids: map[string]bool{}}
}

// Note adds an instance. It never blocks.
func (o *Outbox) Note(id string) {
	o.mu.Lock()
	o.ids[id] = true
	o.mu.Unlock()
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

// take empties the outbox.
func (o *Outbox) take() map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := o.ids
	o.ids = map[string]bool{}
	return ids
}
