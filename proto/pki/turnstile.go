package pki

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"time"
)

// handshakePatience is how long a connection waits for its turn. One that has
// waited so long is dropped unheard: who called will soon give up, and a
// handshake with somebody who has given up is work for nothing.
const handshakePatience = 5 * time.Second

var errCrowd = errors.New("too many callers at once")

// turnstile bounds how many handshakes compute at once, to half of the
// processors: when ten thousand agents come at the same time, the lease and the
// agents that are connected already must not wait behind them. A handshake that
// waits for its peer holds no turn, so that peers who say nothing block nobody.
type turnstile struct {
	patience time.Duration

	mu    sync.Mutex // guards all below
	free  int
	begun []chan struct{} // have had a turn before: they go first, or their work would be lost
	fresh []chan struct{}
}

func newTurnstile() *turnstile {
	return &turnstile{patience: handshakePatience, free: max(1, runtime.GOMAXPROCS(0)/2)}
}

// enter waits for a turn, in order of arrival.
func (t *turnstile) enter(begun bool) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	turn := make(chan struct{}) // closed when it is ours
	if begun {
		t.begun = append(t.begun, turn)
	} else {
		t.fresh = append(t.fresh, turn)
	}
	t.mu.Unlock()
	late := time.NewTimer(t.patience)
	defer late.Stop()
	select {
	case <-turn:
		return nil
	case <-late.C:
		if t.withdraw(turn) {
			return errCrowd
		}
		return nil // it came at the same moment
	}
}

// leave gives the turn to who has waited longest.
func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range []*[]chan struct{}{&t.begun, &t.fresh} {
		if len(*line) > 0 {
			close((*line)[0])
			*line = (*line)[1:]
			return
		}
	}
	t.free++
}

// withdraw takes one who waits out of its line; false when its turn has come.
// Those who are late are at the front of their line.
func (t *turnstile) withdraw(turn chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range []*[]chan struct{}{&t.begun, &t.fresh} {
		for i, other := range *line {
			if other == turn {
				*line = append((*line)[:i], (*line)[i+1:]...)
				return true
			}
		}
	}
	return false
}

// inTurn is a connection whose handshake takes turns: it holds one but while it
// waits for the peer's words. When passed is set, it is any connection.
type inTurn struct {
	net.Conn
	line   *turnstile
	passed bool // set when the handshake is over, before another goroutine has the connection
	holds  bool
}

// Read implements net.Conn.
func (c *inTurn) Read(b []byte) (int, error) {
	if c.passed {
		return c.Conn.Read(b)
	}
	c.pass()
	n, err := c.Conn.Read(b)
	if err == nil {
		err = c.take(true)
	}
	return n, err
}

func (c *inTurn) take(begun bool) error {
	err := c.line.enter(begun)
	c.holds = err == nil
	return err
}

func (c *inTurn) pass() {
	if c.holds {
		c.holds = false
		c.line.leave()
	}
}
