package sim

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// network connects hosts. A connection is two ordered streams that can break,
// as TCP's: what is lost, is lost to its end. Cuts are one-way; what is sent into
// one waits, as in a kernel's retransmissions, until it heals or an end gives up.
type network struct {
	w     *World
	cuts  map[[2]string]time.Time // from, to → since when
	slow  map[[2]string]time.Duration
	conns []*conn
}

func newNetwork(w *World) *network {
	return &network{w: w, cuts: map[[2]string]time.Time{}, slow: map[[2]string]time.Duration{}}
}

func (n *network) cut(from, to string) bool {
	_, is := n.cuts[[2]string{from, to}]
	return is
}

// reaches reports whether a question and its answer get through.
func (n *network) reaches(a, b string) bool { return !n.cut(a, b) && !n.cut(b, a) }

// latency draws how long a message takes.
func (n *network) latency(from, to string) time.Duration {
	d := n.w.between("net/"+from+"/"+to, 100*time.Microsecond, 3*time.Millisecond)
	if slow := n.slow[[2]string{from, to}]; slow > 0 {
		d += n.w.between("net/"+from+"/"+to, 0, slow)
	}
	return d
}

// setCut begins or ends a one-way cut.
func (n *network) setCut(from, to string, on bool) {
	key := [2]string{from, to}
	if !on {
		delete(n.cuts, key)
		for _, c := range n.conns {
			c.healed(from, to)
		}
		return
	}
	if n.cut(from, to) {
		return
	}
	n.cuts[key] = n.w.now
	for _, c := range n.conns {
		if c.joins(from, to) {
			c.doubt()
		}
	}
}

// reset breaks the connections of a host; both of their ends learn it at once.
func (n *network) reset(host string) {
	for _, c := range slices.Clone(n.conns) {
		if c.ends[client].p.name == host || c.ends[server].p.name == host {
			c.drop(server, errBroken)
			c.drop(client, errBroken)
		}
	}
}

// paused makes the other ends of a paused process's connections doubt it.
func (n *network) paused(p *process) {
	for _, c := range n.conns {
		if c.ends[0].p == p || c.ends[1].p == p {
			c.doubt()
		}
	}
}

// How long an end waits for a sign of life before it gives a connection up, as
// the gRPC keepalive of both sides is set.
const (
	clientKeepalive = 20 * time.Second
	serverKeepalive = 40 * time.Second
)

// Whose end of a connection it is.
const (
	client = 0
	server = 1
)

// conn is a connection; ends[client] has opened it.
type conn struct {
	n    *network
	ends [2]*end
}

// end is one side of a connection.
type end struct {
	p      *process
	open   bool
	take   func(any)   // what has arrived
	broken func(error) // the connection is over; not called for who closed it
	inbox  []any       // on the way here, in order
	stuck  int         // of those, how many a cut holds up
}

var errBroken = errors.New("the connection broke")

// connect opens a connection; take and broken of the ends are set by their
// owners. nil when the other side is not there or cannot be reached.
func (n *network) connect(from, to *process) *conn {
	if to == nil || !to.alive || !n.reaches(from.name, to.name) {
		return nil
	}
	c := &conn{n: n}
	c.ends[client], c.ends[server] = &end{p: from, open: true}, &end{p: to, open: true}
	n.conns = append(n.conns, c)
	return c
}

func (c *conn) joins(a, b string) bool {
	x, y := c.ends[0].p.name, c.ends[1].p.name
	return x == a && y == b || x == b && y == a
}

// send puts a message on its way from one side.
func (c *conn) send(side int, m any) {
	from, to := c.ends[side], c.ends[1-side]
	if !from.open || !to.open || !from.p.alive {
		return
	}
	to.inbox = append(to.inbox, m)
	if c.n.cut(from.p.name, to.p.name) {
		to.stuck++
		return
	}
	c.deliver(side)
}

// deliver lets the first message that waits arrive after the way's latency; the
// order is that of sending, whichever arrival comes first.
func (c *conn) deliver(side int) {
	from, to := c.ends[side], c.ends[1-side]
	c.n.w.after(to.p, c.n.latency(from.p.name, to.p.name), func() {
		if !to.open || len(to.inbox) == 0 {
			return
		}
		if c.n.cut(from.p.name, to.p.name) { // it was cut while under way
			to.stuck++
			return
		}
		m := to.inbox[0]
		to.inbox = to.inbox[1:]
		to.take(m)
	})
}

// healed lets go what a cut held up.
func (c *conn) healed(from, to string) {
	for side := range c.ends {
		if c.ends[side].p.name == from && c.ends[1-side].p.name == to {
			stuck := c.ends[1-side].stuck
			c.ends[1-side].stuck = 0
			for range stuck {
				c.deliver(side)
			}
		}
	}
}

// doubt makes both ends look for a sign of life.
func (c *conn) doubt() {
	c.watch(client, clientKeepalive)
	c.watch(server, serverKeepalive)
}

// watch breaks one end when the other could not be heard for the limit.
func (c *conn) watch(side int, limit time.Duration) {
	e, other := c.ends[side], c.ends[1-side]
	c.n.w.after(e.p, limit, func() {
		if !e.open {
			return
		}
		for _, key := range [][2]string{{e.p.name, other.p.name}, {other.p.name, e.p.name}} {
			if since, is := c.n.cuts[key]; is && c.n.w.now.Sub(since) >= limit {
				c.drop(side, errBroken)
				return
			}
		}
		if other.p.pausedUntil.After(c.n.w.now) {
			c.drop(side, errBroken)
		}
	})
}

// close ends the connection from one side; the other learns it if it can be told.
func (c *conn) close(side int) {
	e, other := c.ends[side], c.ends[1-side]
	if !e.open {
		return
	}
	e.open = false
	c.forget()
	if !other.open {
		return
	}
	if c.n.cut(e.p.name, other.p.name) {
		c.unanswered(1 - side)
		return
	}
	c.n.w.after(other.p, c.n.latency(e.p.name, other.p.name)+time.Millisecond, func() {
		// What was sent before the end arrives before it.
		for other.open && len(other.inbox) > 0 {
			m := other.inbox[0]
			other.inbox = other.inbox[1:]
			other.take(m)
		}
		c.drop(1-side, errBroken)
	})
}

// drop tells one side that the connection is over.
func (c *conn) drop(side int, err error) {
	e := c.ends[side]
	if !e.open {
		return
	}
	e.open = false
	c.forget()
	if e.broken != nil {
		e.broken(err)
	}
	c.close2(1 - side)
}

// close2 lets the other side know, too, when it can be.
func (c *conn) close2(side int) {
	other := c.ends[side]
	if !other.open {
		return
	}
	if c.n.cut(c.ends[1-side].p.name, other.p.name) {
		c.unanswered(side)
		return
	}
	c.n.w.after(other.p, c.n.latency(c.ends[1-side].p.name, other.p.name), func() { c.drop(side, errBroken) })
}

// unanswered lets one end find out that the other, which could not say so, is there
// no more: nobody answers its keepalive, whether the cut lasts or not.
func (c *conn) unanswered(side int) {
	limit := clientKeepalive
	if side == server {
		limit = serverKeepalive
	}
	c.n.w.after(c.ends[side].p, limit, func() { c.drop(side, errBroken) })
}

func (c *conn) forget() {
	if c.ends[0].open || c.ends[1].open {
		return
	}
	c.n.conns = slices.DeleteFunc(c.n.conns, func(x *conn) bool { return x == c })
}

// died closes the connections of a process that was killed: its kernel says so,
// unless the power is gone as well.
func (n *network) died(p *process, silent bool) {
	for _, c := range slices.Clone(n.conns) {
		for side := range c.ends {
			if c.ends[side].p != p || !c.ends[side].open {
				continue
			}
			c.ends[side].open = false
			other := c.ends[1-side]
			c.forget()
			if !other.open {
				continue
			}
			if silent || n.cut(p.name, other.p.name) {
				c.unanswered(1 - side)
				continue
			}
			n.w.after(other.p, n.latency(p.name, other.p.name), func() { c.drop(1-side, errBroken) })
		}
	}
}

func (n *network) cutKeys() [][2]string {
	var out [][2]string
	for k := range n.cuts {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) })
	return out
}
