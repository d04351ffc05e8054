//go:build linux

package fast

import (
	"net/netip"

	"github.com/dinp/dinp/router/balance"
)

// maxIdlePeers is how many unused connections a loop keeps for an endpoint.
const maxIdlePeers = 512

// peer is a connection to an endpoint.
type peer struct {
	conn
	l         *loop
	of        *peers
	x         *exchange // whose turn it is; nil when unused
	connected bool
	reused    bool // it has served before

	above, below *peer // in the stack of unused ones
}

// peers are the engine's connections to one endpoint: a stack of unused ones a
// loop, each touched by its loop alone.
type peers struct {
	e      *Engine
	to     netip.AddrPort
	stacks []stack
}

type stack struct {
	top *peer
	n   int
}

func (e *Engine) openPeers(at *balance.Endpoint) balance.Conns {
	to, _ := netip.ParseAddrPort(at.Addr) // the table has checked it
	return &peers{e: e, to: to, stacks: make([]stack, e.cfg.Loops)}
}

// CloseIdleConnections has every loop close its unused connections to the endpoint.
func (ps *peers) CloseIdleConnections() {
	for _, l := range ps.e.loops {
		l.post(func() {
			for p := ps.stacks[l.index].top; p != nil; p = ps.stacks[l.index].top {
				l.closePeer(p)
			}
		})
	}
}

// attempt takes or makes a connection to the claimed endpoint. Sending begins
// anew with the next pump.
func (x *exchange) attempt() step {
	l := x.l
	ps := x.at.Endpoint.Conns(l.e.slot).(*peers)
	x.sent, x.asked, x.deaf, x.answered = 0, false, false, false
	if p := ps.stacks[l.index].top; p != nil && !x.fresh {
		p.unstack(l.index)
		l.halt(&p.conn)
		p.x, x.peer, p.reused = x, p, true
		return moved
	}
	fd, err := sysConnect(ps.to)
	if err != nil {
		return x.failed(failDial)
	}
	p := &peer{l: l, of: ps, x: x}
	p.conn = conn{fd: fd, peer: p}
	if l.watch(&p.conn, anyChange) != nil {
		l.close(&p.conn)
		return x.failed(failDial)
	}
	x.peer = p
	l.start(&p.conn, untilConnected)
	return moved
}

// woken is told by epoll. An unused connection that says something, or is
// ended by the app, is of no more use.
func (p *peer) woken() {
	switch {
	case p.x != nil:
		p.x.woken()
	case p.in:
		p.l.closePeer(p)
	}
}

func (p *peer) push(index int) {
	s := &p.of.stacks[index]
	p.below, p.above = s.top, nil
	if s.top != nil {
		s.top.above = p
	}
	s.top = p
	s.n++
}

func (p *peer) unstack(index int) {
	s := &p.of.stacks[index]
	if p.above != nil {
		p.above.below = p.below
	} else {
		s.top = p.below
	}
	if p.below != nil {
		p.below.above = p.above
	}
	p.above, p.below = nil, nil
	s.n--
}

// keep puts a connection on the stack, unless its endpoint has left the table:
// then nobody would take it from there.
func (l *loop) keep(p *peer, at *balance.Endpoint) {
	p.x = nil
	l.halt(&p.conn)
	p.push(l.index)
	if p.in || p.hup || at.Gone() || p.of.stacks[l.index].n > maxIdlePeers {
		l.closePeer(p)
		return
	}
	l.start(&p.conn, untilReused)
}

// closePeer closes a connection, used or unused.
func (l *loop) closePeer(p *peer) {
	if p.x == nil {
		p.unstack(l.index)
	}
	p.x = nil
	l.close(&p.conn)
}
