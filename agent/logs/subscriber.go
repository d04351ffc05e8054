package logs

import (
	"fmt"
	"sync"

	"github.com/dinp/dinp/agent/runtime"
)

// maxPending is how many lines wait for a listener that does not keep up.
const maxPending = 10_000

// subscriber holds the lines one listener has not taken yet.
type subscriber struct {
	signal chan struct{} // size 1: something changed

	mu      sync.Mutex // guards all below
	pending []runtime.Line
	dropped int
	closed  bool
}

func newSubscriber() *subscriber { return &subscriber{signal: make(chan struct{}, 1)} }

// put never blocks: an app's output must not wait for who watches it.
func (s *subscriber) put(l runtime.Line) {
	s.mu.Lock()
	if len(s.pending) < maxPending {
		s.pending = append(s.pending, l)
	} else {
		s.dropped++
	}
	s.mu.Unlock()
	s.wake()
}

func (s *subscriber) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wake()
}

func (s *subscriber) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// take returns what is pending and whether more may come. Lines that had to be
// dropped are told in their place.
func (s *subscriber) take() (lines []runtime.Line, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines, s.pending = s.pending, nil
	if s.dropped > 0 {
		lines = append(lines, runtime.Line{
			At: lines[len(lines)-1].At, Stderr: true, Text: fmt.Sprintf("… %d lines skipped: they came faster than they were read", s.dropped),
		})
		s.dropped = 0
	}
	return lines, !s.closed
}
