//go:build linux

package fast

import "time"

// deadline is what a connection waits for. Each has one length for all
// connections, so that those which wait for the same form a queue in the order
// of their ends: starting and stopping a timer is linking into a list.
type deadline uint8

const (
	noDeadline       deadline = iota
	untilHead                 // a client sends its request's head
	untilRequest              // a client that may send another request
	untilFirst                // a client that came while we leave, and has asked for nothing yet
	untilProgress             // a client that owes body bytes, or reads slowly
	untilGone                 // a client that was told to go
	untilConnected            // a peer
	untilAnswer               // a peer has the request
	untilReused               // a peer
	numberOfDeadline          //
)

// lingering is how long a client's unread bytes are swallowed after its last
// answer, which a reset would destroy.
const lingering = 2 * time.Second

// newcomer is how long a client that has connected, and has asked for nothing
// yet, is waited for when the engine leaves: it does not know that it should ask
// elsewhere, and unlike one whose connection was of use before, it will not ask again.
const newcomer = 5 * time.Second

// queue is a list of connections, those first whose time ends first.
type queue struct {
	length      time.Duration
	first, last *conn
}

// start makes a connection wait for d, and for nothing else.
func (l *loop) start(c *conn, d deadline) {
	l.halt(c)
	q := &l.queues[d]
	c.waits, c.ends = d, l.now+q.length
	c.before, c.after = q.last, nil
	if q.last != nil {
		q.last.after = c
	} else {
		q.first = c
	}
	q.last = c
}

// halt makes a connection wait for nothing.
func (l *loop) halt(c *conn) {
	if c.waits == noDeadline {
		return
	}
	q := &l.queues[c.waits]
	if c.before != nil {
		c.before.after = c.after
	} else {
		q.first = c.after
	}
	if c.after != nil {
		c.after.before = c.before
	} else {
		q.last = c.before
	}
	c.waits, c.before, c.after = noDeadline, nil, nil
}

// expire ends what is over, and returns the time to the next end, or -1.
func (l *loop) expire() time.Duration {
	next := time.Duration(-1)
	for d := range l.queues {
		q := &l.queues[d]
		for q.first != nil && q.first.ends <= l.now {
			c := q.first
			l.halt(c)
			l.late(c, deadline(d))
		}
		if q.first != nil && (next < 0 || q.first.ends-l.now < next) {
			next = q.first.ends - l.now
		}
	}
	return next
}

// late is what a missed deadline means.
func (l *loop) late(c *conn, d deadline) {
	switch d {
	case untilRequest:
		c.client.bye()
		l.drop(c.client)
	case untilHead, untilFirst, untilGone:
		l.drop(c.client)
	case untilProgress:
		c.client.x.stalled()
	case untilConnected:
		l.lateAnswer(c.peer.x, failDial)
	case untilAnswer:
		l.lateAnswer(c.peer.x, failTimeout)
	case untilReused:
		l.closePeer(c.peer)
	}
}

func (l *loop) lateAnswer(x *exchange, f failure) {
	if x.failed(f) != over {
		x.pump()
	}
}
