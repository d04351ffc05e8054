//go:build linux

package fast

import (
	"net/netip"

	"github.com/dinp/dinp/router/http1"
	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/proxy"
)

// client is a visitor's connection.
type client struct {
	conn
	l       *loop
	addr    netip.Addr // of the visitor
	visitor intake.Visitor
	x       *exchange // the request being served; nil between requests
	saved   []byte    // read, but not yet understood
	queued  bool      // is in the loop's ready list
	wants   bool      // saved is of no use before more has been read
	ending  bool      // told to go: what it sends is swallowed
	secure  *secure   // nil in clear
}

// admit takes a new connection in; s is nil in clear.
func (l *loop) admit(fd int32, addr netip.Addr, v intake.Visitor, s *secure) {
	c := &client{l: l, addr: addr, visitor: v, secure: s}
	c.conn = conn{fd: fd, client: c, out: true}
	if l.stopped || l.watch(&c.conn, anyChange) != nil {
		l.conns[fd] = nil
		sysClose(fd)
		l.e.left(v)
		return
	}
	l.crowd.Add(1)
	l.start(&c.conn, untilHead)
	if s != nil { // with the handshake's end a request may have come
		c.rest(0)
		s.wire.c, s.wire.ready = c, true
		c.in = true
		l.giveWay(c)
	}
	if l.e.stopping.Load() {
		l.lastLook(c)
	}
}

// quietest returns the loop for a new connection: this one, unless another has
// clearly fewer. The kernel wakes the same loop again and again.
func (e *Engine) quietest(here *loop) *loop {
	best, n := here, here.crowd.Load()-8
	for _, l := range e.loops {
		if m := l.crowd.Load(); m < n {
			best, n = l, m
		}
	}
	return best
}

// idle reports whether nothing of a request has been seen. In TLS there may be
// something to read after every read.
func (c *client) idle() bool {
	return c.x == nil && len(c.saved) == 0 && (!c.in || c.secure != nil) && !c.ending
}

// woken is told by epoll. gone: nothing can be sent to it any more.
func (c *client) woken(gone bool) {
	switch {
	case c.x == nil:
		c.proceed()
	case gone:
		c.x.clientGone()
	default:
		c.x.woken()
	}
}

// proceed does what can be done for the client now.
func (c *client) proceed() {
	switch {
	case c.x != nil:
		c.x.pump()
	case c.ending:
		c.swallow()
	case len(c.saved) > 0 && !c.wants:
		c.understand(c.reread())
	case c.in:
		c.read()
	}
}

// reread moves what was saved into the loop's buffer.
func (c *client) reread() []byte {
	b := c.l.buf[:copy(c.l.buf, c.saved)]
	c.forgetSaved()
	return b
}

func (c *client) forgetSaved() {
	c.l.spare.give(c.saved)
	c.saved, c.wants = nil, false
}

// save keeps what lies in the loop's buffer. wants says that it is no use as it is.
func (c *client) save(b []byte, wants bool) {
	if len(b) > 0 {
		c.saved = append(c.l.spare.take(len(b)), b...)
	}
	c.wants = wants
}

// fill reads behind what was saved. It returns nil when there is nothing new,
// and gone when the client has ended its stream or broken the connection.
func (c *client) fill() (b []byte, gone bool) {
	l := c.l
	had := len(c.saved)
	n, errno := c.receive(l.buf[had:])
	switch {
	case errno != 0 && again(errno):
		c.in = false
		c.rest(largeRecord)
		return nil, false
	case errno != 0 || n == 0:
		return nil, true
	}
	if c.emptied(had+n < len(l.buf)) {
		c.in = false
	}
	copy(l.buf, c.saved)
	c.forgetSaved()
	return l.buf[:had+n], false
}

// read takes what a client says between requests.
func (c *client) read() {
	had := len(c.saved)
	b, gone := c.fill()
	switch {
	case gone:
		c.l.drop(c)
	case b == nil:
	case had > 0 && len(b) < maxHead && !http1.HeadEnds(b, had-2):
		c.save(b, true)
		if c.in { // crypto/tls may hold more of it
			c.l.giveWay(c)
		}
	default:
		c.understand(b)
	}
}

// understand judges the beginning of b, which lies in the loop's buffer.
func (c *client) understand(b []byte) {
	l := c.l
	if c.waits == untilRequest || c.waits == untilFirst {
		l.start(&c.conn, untilHead)
	}
	for len(b) > 1 && b[0] == '\r' && b[1] == '\n' { // RFC 9112 2.2: some send one too many
		b = b[2:]
	}
	if len(b) == 0 {
		return
	}
	v, why := l.req.Parse(b)
	switch {
	case v == http1.More && len(b) < maxHead:
		c.save(b, true)
	case v == http1.More, v == http1.HandOver, l.req.Size > maxHead:
		c.handOver(b)
	case v == http1.Refuse:
		c.refuse(why)
	default:
		l.begin(c, b)
	}
	if c.x == nil && c.in && !c.broken && !c.ending {
		l.giveWay(c)
	}
}

// refuse answers what nobody may read. The head cannot be trusted to say in
// what form.
func (c *client) refuse(why http1.Reason) {
	l := c.l
	l.requests.Add(1)
	text := "HTTP/1.1 400 Bad Request\r\n"
	if why.Status() == 501 {
		text = "HTTP/1.1 501 Not Implemented\r\n"
	}
	l.out = append(l.out[:0], text...)
	l.out = append(l.out, l.dateLine()...)
	l.out = append(l.out, "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: 13\r\n\r\nbad request.\n"...)
	if c.secure != nil {
		c.seal(l.out)
	} else {
		sysWrite(c.fd, l.out) // a client that cannot take 200 bytes is none
	}
	c.end()
	if l.e.cfg.Done != nil {
		l.rec = proxy.Record{Client: c.addr.String(), Proto: "HTTP/1.1", Status: why.Status(), Why: why.String(), Ended: l.wall(l.now)}
		l.e.cfg.Done(&l.rec)
	}
}

// end tells the client to go, and swallows what it sends until it does: closing
// with unread bytes would reset the connection, and destroy the answer on its way.
func (c *client) end() {
	c.forgetSaved()
	c.ending = true
	c.bye()
	sysShutdown(c.fd)
	c.l.start(&c.conn, untilGone)
	c.swallow()
}

// swallow reads and forgets, a turn's worth.
func (c *client) swallow() {
	before := c.l.read
	for turn := 0; turn < maxTurns && c.l.read-before < maxTurn; turn++ {
		if !c.in {
			return
		}
		switch n, errno := c.receive(c.l.buf); {
		case errno != 0 && again(errno):
			c.in = false
		case errno != 0 || n == 0:
			c.l.drop(c)
			return
		case c.emptied(n < len(c.l.buf)):
			c.in = false
		}
	}
	c.l.giveWay(c)
}

// drop closes a client's connection.
func (l *loop) drop(c *client) {
	c.forgetSaved()
	l.close(&c.conn)
	l.crowd.Add(-1)
	l.e.left(c.visitor)
}
