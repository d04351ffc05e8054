//go:build linux

package fast

import (
	"github.com/dinp/dinp/router/http1"
)

// upstream moves the request: the head, then the body as it comes.
func (x *exchange) upstream() step {
	p := x.peer
	if p == nil || x.deaf || x.asked {
		return stuck
	}
	if !p.connected {
		if s := x.connected(); s != moved || x.peer != p {
			return s // another connection was taken in its place: it is looked at in its own turn
		}
	}
	if x.sent < len(x.head) && !x.push(x.head, &x.sent) {
		return stuck
	}
	if len(x.up) > 0 {
		if !x.push(x.up, &x.upSent) {
			return stuck
		}
		x.l.spare.give(x.up)
		x.up, x.upSent = nil, 0
	}
	if !x.read {
		return x.moveBody()
	}
	x.asked = true
	if x.phase == beforeHead {
		x.l.start(&p.conn, untilAnswer)
	}
	return moved
}

func (x *exchange) connected() step {
	p := x.peer
	if !p.out {
		return stuck
	}
	if connectError(p.fd) != nil {
		return x.failed(failDial)
	}
	p.connected = true
	x.l.halt(&p.conn)
	return moved
}

// push writes what is unsent of b, and reports whether all of it went. A peer
// that takes no more may have answered already: then its answer counts.
func (x *exchange) push(b []byte, sent *int) bool {
	p := x.peer
	if !p.out {
		return false
	}
	n, errno := sysWrite(p.fd, b[*sent:])
	switch {
	case errno != 0 && again(errno):
		p.out = false
		return false
	case errno != 0:
		x.deaf, p.in = true, true
		return false
	}
	*sent += n
	if *sent < len(b) {
		p.out = false // the buffer is full: epoll tells when it is not
		return false
	}
	return true
}

// moveBody moves one buffer of the body.
func (x *exchange) moveBody() step {
	c, p := x.c, x.peer
	if !p.out {
		return stuck
	}
	var b []byte
	switch {
	case len(c.saved) > 0 && !c.wants:
		b = c.reread()
	case !c.in:
		return stuck
	default:
		var gone bool
		if b, gone = c.fill(); gone {
			return x.clientGone()
		}
		if b == nil {
			return stuck
		}
	}
	kept, used, part := x.advance(b)
	if part == http1.Broken {
		return x.badBody()
	}
	c.save(b[used:], part == http1.Wait)
	if len(kept) == 0 {
		return moved
	}
	if sent := 0; !x.push(kept, &sent) && !x.deaf {
		x.up = append(x.l.spare.take(len(kept)-sent), kept[sent:]...)
	}
	return moved
}
