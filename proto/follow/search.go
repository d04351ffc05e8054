package follow

import (
	"errors"
	"fmt"
	"time"
)

// How often the servers are tried.
const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 2500 * time.Millisecond // a search costs no handshakes, and the longest wait is a part of each change of leaders
	maxHops    = 3                       // redirections in a row before a pause
)

// Moved is the end of a session with a server that does not lead.
type Moved struct {
	Addr string // of the leader as that server knows it, host:port; empty when it knows none
}

// Error implements error.
func (m *Moved) Error() string { return fmt.Sprintf("not the leader; it says %q is", m.Addr) }

// Search decides which server is tried next.
type Search struct {
	Servers  []string // host:port of each; at least one
	at       int
	failures int // sessions in a row that were not established
	hops     int // redirections in a row
	tried    string
}

// First is where to begin.
func (s *Search) First() string {
	s.tried = s.Servers[0]
	return s.tried
}

// Next is the server to try after a session ended with err, and how long to wait
// before: at once where a server says that another leads, else with full jitter,
// drawn from [0, n), because all who follow have lost the leader at the same instant.
// The server that has just failed is the last to be tried again: one that hangs takes
// all of answerTimeout to say nothing.
func (s *Search) Next(err error, established bool, draw func(n int64) int64) (addr string, wait time.Duration) {
	if moved, ok := errors.AsType[*Moved](err); ok && moved.Addr != "" && s.hops < maxHops {
		s.hops++
		s.tried = moved.Addr
		return moved.Addr, 0
	}
	if s.failures++; established {
		s.failures = 0
	}
	s.hops = 0
	for range s.Servers {
		if s.at = (s.at + 1) % len(s.Servers); s.Servers[s.at] != s.tried {
			break
		}
	}
	s.tried = s.Servers[s.at]
	ceiling := backoffMax
	if s.failures < 5 { // 100 ms · 2⁵ is past the ceiling
		ceiling = min(ceiling, backoffMin<<s.failures)
	}
	return s.Servers[s.at], time.Duration(draw(int64(ceiling)))
}
