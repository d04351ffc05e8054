package dispatch

import (
	"maps"
	"slices"
	"sync"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// targetbox is what waits to be sent to one monitor: the last word on each
// instance, so that however slow the monitor is, no more waits than there are
// instances, and it need not be cut off and told everything anew.
type targetbox struct {
	fresh chan struct{} // holds one element while something waits

	mu   sync.Mutex
	full bool                        // words is all there is
	word map[string]*pb.HealthTarget // by instance; nil: to be forgotten
}

func newTargetbox() targetbox {
	return targetbox{fresh: make(chan struct{}, 1), word: map[string]*pb.HealthTarget{}}
}

// Targets puts targets in; it never blocks.
func (b *targetbox) Targets(m *pb.HealthTargets) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.GetFull() {
		b.full = true
		clear(b.word)
	}
	for _, t := range m.GetSet() {
		b.word[t.GetInstanceId()] = t
	}
	for _, id := range m.GetRemove() {
		b.word[id] = nil
	}
	select {
	case b.fresh <- struct{}{}:
	default:
	}
}

// take removes all that waits, in one message.
func (b *targetbox) take() *pb.HealthTargets {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &pb.HealthTargets{Full: b.full}
	for _, id := range slices.Sorted(maps.Keys(b.word)) {
		switch t := b.word[id]; {
		case t != nil:
			m.Set = append(m.Set, t)
		case !b.full:
			m.Remove = append(m.Remove, id)
		}
	}
	select {
	case <-b.fresh: // said again since, of what is taken now
	default:
	}
	b.full, b.word = false, map[string]*pb.HealthTarget{}
	return m
}
