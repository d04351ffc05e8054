//go:build linux

package fast

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/dinp/dinp/router/intake"
)

// Clients of HTTPS. A goroutine makes the handshake, which takes long and may
// wait; it hands over what is to speak HTTP/2. Everything else comes to a loop,
// whose reads and writes then go through crypto/tls: that keeps what it has
// read when a read has to wait, and all that it writes is taken, into the
// exchange's buffer if need be. So neither ever blocks the loop.

// handshakesEnd is how long after a shutdown has begun handshakes may last.
const handshakesEnd = 5 * time.Second

// secure is the TLS of a client's connection.
type secure struct {
	tls  *tls.Conn
	wire wire
}

// wire is the connection below a tls.Conn: a blocking one, or a loop's.
type wire struct {
	net.Conn         // blocking; not used while a loop has the client
	c        *client // of a loop; nil: blocking
	ready    bool    // its socket may have something to read
	holds    bool    // records gather in the loop's buffer
}

// NetConn returns the blocking connection, for who asks who is there.
func (w *wire) NetConn() net.Conn { return w.Conn }

// errWait says that a read has to wait. To crypto/tls it is a time-out, after
// which it goes on where it was.
var errWait net.Error = waiting{}

type waiting struct{}

func (waiting) Error() string   { return "nothing to read yet" }
func (waiting) Timeout() bool   { return true }
func (waiting) Temporary() bool { return true }

// Read reads ciphertext. After a short read it does not ask the socket again
// until epoll says so.
func (w *wire) Read(b []byte) (int, error) {
	if w.c == nil {
		return w.Conn.Read(b)
	}
	if !w.ready {
		return 0, errWait
	}
	n, errno := sysRead(w.c.fd, b)
	switch {
	case errno != 0 && again(errno):
		w.ready = false
		return 0, errWait
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	case n < len(b):
		w.ready = w.c.hup
	}
	return n, nil
}

// Write takes all of the ciphertext: half a record would be the end of the
// connection. What the socket has no room for waits in the exchange.
func (w *wire) Write(b []byte) (int, error) {
	if w.c == nil {
		return w.Conn.Write(b)
	}
	if w.holds {
		w.c.l.sealed = append(w.c.l.sealed, b...)
		return len(b), nil
	}
	if err := w.flush(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (w *wire) flush(b []byte) error {
	c, sent := w.c, 0
	if c.x == nil || len(c.x.down) == 0 {
		n, errno := sysWrite(c.fd, b)
		if errno != 0 && !again(errno) {
			return errno
		}
		if errno == 0 {
			sent = n
		}
	}
	if sent == len(b) {
		return nil
	}
	c.out = false
	if c.x == nil {
		return io.ErrShortWrite // an idle client that does not take a few bytes
	}
	if len(c.x.down) == 0 {
		c.x.down = c.l.spare.take(len(b) - sent)
	}
	c.x.down = append(c.x.down, b[sent:]...)
	return nil
}

// AdoptTLS serves a connection that somebody else has accepted and counted, and
// that begins with a TLS handshake. It does not block.
func (e *Engine) AdoptTLS(c *intake.Conn, conf *tls.Config) {
	e.conns.Add(1)
	e.wg.Go(func() {
		s := &secure{wire: wire{Conn: c}}
		s.tls = tls.Server(&s.wire, conf)
		c.SetDeadline(time.Now().Add(e.cfg.ReadHeader))
		if !e.shaking.make(c, s.tls) {
			c.Close()
			e.leftUs()
			return
		}
		c.SetDeadline(time.Time{})
		if p := s.tls.ConnectionState().NegotiatedProtocol; p != "" && p != "http/1.1" {
			e.cfg.HandOver(s.tls)
			e.leftUs()
			return
		}
		e.enter(c, s)
	})
}

// enter gives a connection to a loop.
func (e *Engine) enter(c *intake.Conn, s *secure) {
	addr, v := intake.AddrOf(c.RemoteAddr()), c.Visitor()
	fd, err := duplicate(c.TCPConn)
	c.TCPConn.Close() // the duplicate goes on; c itself would count it off
	if err != nil {
		e.left(v)
		return
	}
	l := e.quietest(e.loops[0])
	if !l.post(func() { l.admit(fd, addr, v, s) }) {
		sysClose(fd)
		e.left(v)
	}
}

// handshakes are those under way.
type handshakes struct {
	mu    sync.Mutex // guards the rest
	ended bool
	conns map[*intake.Conn]struct{}
}

// make makes one, and reports whether it has succeeded.
func (h *handshakes) make(c *intake.Conn, t *tls.Conn) bool {
	h.mu.Lock()
	if h.ended {
		h.mu.Unlock()
		return false
	}
	if h.conns == nil {
		h.conns = map[*intake.Conn]struct{}{}
	}
	h.conns[c] = struct{}{}
	h.mu.Unlock()
	err := t.Handshake()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
	return err == nil && !h.ended
}

// end ends them all, and there are no more.
func (h *handshakes) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for c := range h.conns {
		c.Close()
	}
}

// receive reads from the client.
func (c *client) receive(b []byte) (int, syscall.Errno) {
	if c.secure == nil {
		n, errno := sysRead(c.fd, b)
		if errno == 0 {
			c.l.read += n
		}
		return n, errno
	}
	n, err := c.secure.tls.Read(b)
	switch {
	case n > 0:
		c.l.read += n
		return n, 0
	case err == nil, err == errWait:
		return 0, syscall.EAGAIN
	case err == io.EOF:
		return 0, 0
	}
	return 0, syscall.ECONNRESET
}

// emptied reports whether a read that did not fill its buffer has left nothing:
// crypto/tls may hold more records.
func (c *client) emptied(short bool) bool { return short && c.secure == nil && !c.hup }

// largeRecord is what a connection between requests may keep for the next record.
const largeRecord = 4 << 10

// rest gives back the buffers above most bytes that a connection in TLS does not need at the moment.
func (c *client) rest(most int) {
	if c.secure != nil && c.x == nil {
		giveBack(c.secure.tls, most)
	}
}

// seal sends the parts in TLS, as one write. All of it is taken.
func (c *client) seal(parts ...[]byte) syscall.Errno {
	w, l := &c.secure.wire, c.l
	l.sealed, w.holds = l.sealed[:0], true
	var err error
	for _, b := range parts {
		if len(b) > 0 && err == nil {
			_, err = c.secure.tls.Write(b)
		}
	}
	w.holds = false
	if err == nil {
		err = w.flush(l.sealed)
	}
	if cap(l.sealed) > 2*bufferSize {
		l.sealed = nil
	}
	if err != nil {
		return syscall.ECONNRESET
	}
	return 0
}

// bye ends the stream as TLS does, so that the client knows nothing is missing.
func (c *client) bye() {
	if c.secure != nil {
		c.secure.tls.CloseWrite() // a client that cannot take it will see the connection's end
	}
}

// reopened is a connection for the full path, with what was read of it.
type reopened struct {
	*tls.Conn
	read []byte
}

// Read returns what was read before, then what comes.
func (r *reopened) Read(b []byte) (int, error) {
	if len(r.read) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.read)
	r.read = r.read[n:]
	return n, nil
}

// reopen makes a loop's TLS a blocking connection again, over c.
func (s *secure) reopen(c net.Conn, read []byte) net.Conn {
	s.wire = wire{Conn: c}
	return &reopened{s.tls, read}
}
