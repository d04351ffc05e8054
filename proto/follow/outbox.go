package follow

import (
	"maps"
	"slices"
	"sync"
)

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

// Ready has a value when the outbox may hold something.
func (o *Outbox) Ready() <-chan struct{} { return o.signal }

// Take empties the outbox; the ids are sorted.
func (o *Outbox) Take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := slices.Sorted(maps.Keys(o.ids))
	o.ids = map[string]bool{}
	return ids
}
