package intake

import (
	"net"
	"sync"
)

// Queue is a net.Listener whose connections are put in by Push. By it an
// http.Server takes connections that somebody else accepted.
type Queue struct {
	addr  net.Addr
	conns chan net.Conn

	mu     sync.RWMutex // held for writing by Close alone
	closed bool
}

// NewQueue returns a Queue that says it listens at addr.
func NewQueue(addr net.Addr) *Queue { return &Queue{addr: addr, conns: make(chan net.Conn, 128)} }

// Push hands a connection over; a closed Queue closes it.
func (q *Queue) Push(c net.Conn) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		c.Close()
		return
	}
	q.conns <- c
}

// Accept returns the next connection. What was handed over before Close is
// still returned after it.
func (q *Queue) Accept() (net.Conn, error) {
	if c, ok := <-q.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

// Close ends Accept once the queue is empty. Accept must go on being called
// until it says so, as http.Server.Serve does.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.conns)
	}
	return nil
}

// Addr returns the address of NewQueue.
func (q *Queue) Addr() net.Addr { return q.addr }
