//go:build linux

package fast

import (
	"strconv"
	"syscall"

	"github.com/dinp/dinp/router/http1"
	"github.com/dinp/dinp/router/proxy"
)

// downstream moves the response by one read of the peer.
func (x *exchange) downstream() step {
	p, l := x.peer, x.l
	if len(x.down) > 0 {
		if s := x.drain(); s != moved {
			return s
		}
	}
	if x.phase == complete {
		return x.finish()
	}
	if !p.connected || !p.in {
		return stuck
	}
	had := len(x.part)
	n, errno := sysRead(p.fd, l.buf[had:])
	switch {
	case errno != 0 && again(errno):
		p.in = false
		return stuck
	case errno != 0 || n == 0:
		return x.peerEnded(errno)
	}
	x.answered = true
	l.read += n
	if had+n < len(l.buf) {
		p.in = p.hup
	}
	if had > 0 {
		copy(l.buf, x.part)
		l.spare.give(x.part)
		x.part = nil
	}
	return x.respond(l.buf[:had+n])
}

// drain sends what the client had no room for.
func (x *exchange) drain() step {
	c := x.c
	if !c.out {
		return stuck
	}
	n, errno := sysWrite(c.fd, x.down[x.downSent:])
	switch {
	case errno != 0 && again(errno):
		c.out = false
		return stuck
	case errno != 0:
		return x.clientGone()
	}
	if x.downSent += n; x.downSent < len(x.down) {
		c.out = false
		return stuck
	}
	x.l.spare.give(x.down)
	x.down, x.downSent = nil, 0
	return moved
}

// respond goes on with the response; b lies in the loop's buffer.
func (x *exchange) respond(b []byte) step {
	l := x.l
	l.out = l.out[:0]
	for x.phase == beforeHead {
		if len(b) == 0 {
			return x.toClient(nil, "") // an interim answer
		}
		v, _ := l.resp.Parse(b, x.bodiless)
		switch {
		case v == http1.Refuse, v == http1.More && len(b) >= maxAnswer, l.resp.Size > maxAnswer:
			return x.failed(failProtocol)
		case v == http1.More:
			x.part = append(l.spare.take(len(b)), b...)
			return x.toClient(nil, "")
		}
		l.out = l.resp.AppendHead(l.out, b)
		b = b[l.resp.Size:]
		if l.resp.Status < 200 {
			l.out = append(l.out, '\r', '\n')
			continue
		}
		x.accept()
	}
	return x.body(b)
}

// accept takes the response's head and writes what the router adds.
func (x *exchange) accept() {
	l, r := x.l, &x.l.resp
	x.at.Answered(r.Status, l.now)
	l.halt(&x.peer.conn)
	x.phase, x.status, x.framed, x.rest = inBody, r.Status, r.Body, r.Length
	x.spent = r.Close
	if r.Body == http1.Chunked || r.Body == http1.UntilClose {
		l.out = append(l.out, "Transfer-Encoding: chunked\r\n"...)
	}
	if x.c.secure != nil && l.e.cfg.AltSvc != nil {
		if s := l.e.cfg.AltSvc(); s != "" {
			l.out = append(append(append(l.out, "Alt-Svc: "...), s...), '\r', '\n')
		}
	}
	if !r.Date {
		l.out = append(l.out, l.dateLine()...)
	}
	// With the request unfinished, nobody can say where the next one begins
	// once the endpoint has stopped reading this one.
	if x.closes = x.closes || !x.asked || l.e.closing.Load(); x.closes {
		l.out = append(l.out, "Connection: close\r\n"...)
	}
	l.out = append(l.out, '\r', '\n')
}

// body goes on with the response's body.
func (x *exchange) body(b []byte) step {
	l := x.l
	switch x.framed {
	case http1.NoBody:
		x.complete(len(b) > 0)
		return x.toClient(nil, "")
	case http1.ByLength:
		n := int(min(x.rest, int64(len(b))))
		if x.rest -= int64(n); x.rest == 0 {
			x.complete(n < len(b))
		}
		return x.toClient(b[:n], "")
	case http1.Chunked:
		kept, used, part := x.pieces.Filter(b)
		switch {
		case part == http1.Broken:
			return x.peerBroke()
		case x.pieces.Done():
			x.complete(used < len(b))
		case used < len(b):
			x.part = append(l.spare.take(len(b)-used), b[used:]...)
		}
		return x.toClient(kept, "")
	}
	if len(b) == 0 {
		return x.toClient(nil, "")
	}
	l.out = strconv.AppendInt(l.out, int64(len(b)), 16)
	l.out = append(l.out, '\r', '\n')
	return x.toClient(b, "\r\n")
}

// complete notes that the response has ended. A peer that says more than that
// cannot be believed again.
func (x *exchange) complete(surplus bool) {
	x.phase = complete
	x.spent = x.spent || surplus
}

// toClient sends l.out, b and tail as one. What does not fit waits in x.down,
// and with it the peer.
func (x *exchange) toClient(b []byte, tail string) step {
	l := x.l
	x.bytes += int64(len(b))
	size := len(l.out) + len(b) + len(tail)
	if size == 0 {
		return x.arrived()
	}
	sent, errno := x.write(b, tail)
	switch {
	case errno != 0 && !again(errno):
		return x.clientGone()
	case errno != 0:
		sent = 0
	}
	if sent == size && len(x.down) == 0 {
		return x.arrived()
	}
	if x.c.secure != nil {
		return moved // what is left waits in x.down already
	}
	x.c.out = false
	rest := l.spare.take(size - sent)
	for _, part := range [...][]byte{l.out, b, []byte(tail)} {
		rest = append(rest, part[min(sent, len(part)):]...)
		sent -= min(sent, len(part))
	}
	x.down = rest
	return moved
}

// write makes one call of it. Copying a little is cheaper than a second part.
func (x *exchange) write(b []byte, tail string) (int, syscall.Errno) {
	l, fd := x.l, x.c.fd
	if x.c.secure != nil {
		return x.seal(b, tail)
	}
	if len(l.out) == 0 && tail == "" {
		return sysWrite(fd, b)
	}
	if len(b) <= smallBuffer {
		whole := append(append(l.out, b...), tail...)
		return sysWrite(fd, whole)
	}
	parts := [3]syscall.Iovec{vector(l.out), vector(b), vector([]byte(tail))}
	n := 2
	if tail != "" {
		n = 3
	}
	return sysWritev(fd, parts[:n])
}

// seal is write in TLS.
func (x *exchange) seal(b []byte, tail string) (int, syscall.Errno) {
	l, size := x.l, len(x.l.out)+len(b)+len(tail)
	if len(b) <= smallBuffer {
		return size, x.c.seal(append(append(l.out, b...), tail...))
	}
	return size, x.c.seal(l.out, b, []byte(tail))
}

// arrived is after a write that took everything.
func (x *exchange) arrived() step {
	if x.phase == complete {
		return x.finish()
	}
	return moved
}

// peerEnded is the end of the peer's stream.
func (x *exchange) peerEnded(errno syscall.Errno) step {
	switch {
	case x.phase == beforeHead:
		return x.failed(failDied)
	case x.framed == http1.UntilClose && errno == 0:
		x.complete(false)
		x.l.out = append(x.l.out[:0], "0\r\n\r\n"...)
		return x.toClient(nil, "")
	}
	return x.peerBroke()
}

// peerBroke is an answer that stops in the middle.
func (x *exchange) peerBroke() step {
	x.why = proxy.WhyBackendBroke
	return x.cut()
}
