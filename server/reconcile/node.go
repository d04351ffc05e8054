package reconcile

import (
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/place"
)

// node is one host, and what the leader does on it.
type node struct {
	*actual.Node
	number  int                // in the index
	session dispatch.Session   // nil while its agent is away
	pulse   *dispatch.Pulse    // of the session, or of the last one
	sitting sitting            // the session's number, or the last one's
	wanted  model.Availability // by people; "" is active
	rows    []*row
	quiet   bool                 // silent for so long that no singleton runs on it any more
	blamed  map[string]time.Time // apps whose instances ended by themselves here of late, by ID
	badAt   time.Time            // when there were enough of them; with bad[ID]
	turns   uint32               // of its engine, as last told
}

// sitting is a session's number, unique in a term: there may be a million rows
// that name one.
type sitting uint32

// node returns a node, made when it is new.
func (c *Core) node(id string) *node {
	n := c.nodes[id]
	if n == nil {
		n = &node{Node: c.cluster.Node(id), pulse: dispatch.NewPulse(c.began)}
		c.nodes[id], c.mum[id] = n, n
		n.number = c.index.Set(place.Node{ID: id, Status: n.Status})
		c.looks.set(id, c.began)
	}
	return n
}

// reindex tells placement what a node is now.
func (c *Core) reindex(n *node) {
	c.index.Set(place.Node{
		ID: n.ID, Name: n.Name, Zone: n.Zone, Pool: n.Pool, Labels: n.Labels, Status: n.Status, Availability: n.wanted, Away: !n.Placeable(), DiskPressure: n.DiskShort != "",
		MemoryMiB: n.MemoryMiB, CPUMilli: n.CPUMilli,
	})
}

// watchNodes notes which nodes changed their status, and plans their apps. It
// costs what is due, not what there is. Who is due to be lost is looked at again
// when the breaker has counted all who are silent.
func (c *Core) watchNodes(now time.Time) {
	c.askAhead(now)
	c.lookAtDue(now)
	if c.cluster.Breaker(now) {
		c.breakerChanged(now)
	}
	c.lookAtDue(now)
}

// lookAtDue looks at the nodes that are due, once at each.
func (c *Core) lookAtDue(now time.Time) {
	var all []*node
	for due, ok := c.looks.pop(now); ok; due, ok = c.looks.pop(now) {
		if n := c.nodes[due.key]; n != nil {
			all = append(all, n)
		}
	}
	for _, n := range all {
		c.look(n, now)
	}
}

func (c *Core) breakerChanged(now time.Time) {
	say := c.log().Warn
	if now.Sub(c.began) < c.cfg.Limits.UnknownAfter {
		say = c.log().Info // every term begins so: the agents are only just coming back
	}
	say("breaker changed: silent nodes are not believed to be lost while it is open", "open", c.cluster.Frozen())
	for id, n := range c.nodes {
		if n.Status == model.NodeUnknown || n.Status == model.NodeLost {
			c.looks.set(id, now)
		}
		if n.Status == model.NodeLost { // of one that is unknown nothing changes until it is lost
			c.dirtyNode(n)
		}
	}
}

// askAhead looks at nodes that would be due soon and were heard meanwhile, now and
// then: or the due time of each would be a wakeup of its own, to find that it lives.
func (c *Core) askAhead(now time.Time) {
	ahead := c.cfg.Limits.UnknownAfter / 15
	if now.Sub(c.asked) < ahead {
		return
	}
	c.asked = now
	var silent []alarm
	for due, ok := c.looks.pop(now.Add(ahead)); ok; due, ok = c.looks.pop(now.Add(ahead)) {
		if n := c.nodes[due.key]; n != nil && c.ask(n) {
			c.look(n, now)
		} else if n != nil {
			silent = append(silent, due)
		}
	}
	for _, due := range silent {
		c.looks.set(due.key, due.at)
	}
}

// ask takes in when a node was last heard, and reports whether that is news.
func (c *Core) ask(n *node) bool {
	heard := n.pulse.Heard()
	if !heard.After(n.Heard) {
		return false
	}
	n.Heard = heard
	return true
}

func (c *Core) look(n *node, now time.Time) {
	c.ask(n)
	old := n.Status
	changed, next := c.cluster.Advance(n.Node, now)
	if c.listen(n, now) {
		c.dirtyNode(n)
	}
	if until := c.cluster.SilentUntil(n.Node); !n.quiet && (next.IsZero() || until.Before(next)) {
		next = until
	}
	c.looks.set(n.ID, next)
	if !changed {
		return
	}
	n.pulse.Alert() // whatever is heard of it next may change that again
	c.log().Info("node status changed", "node", n.Name, "from", old, "to", n.Status)
	if old == model.NodeLost && n.Synced && n.session != nil {
		n.Synced = false // what it was given has been given away: all of it is to be told anew (R10)
		n.session.Resync()
	}
	c.reindex(n)
	if old == model.NodeUnknown && n.Status == model.NodeReady {
		c.dirtyUnquiet(n)
	} else {
		c.dirtyNode(n)
	}
	c.dirtyWaiting()
}

// listen notes whether a node has been silent for so long that its singletons have
// ended themselves, and reports whether that is new.
func (c *Core) listen(n *node, now time.Time) (changed bool) {
	quiet := !now.Before(c.cluster.SilentUntil(n.Node))
	changed, n.quiet = quiet != n.quiet, quiet
	return changed
}

// turnedAway is why a node's agent, which is not here, was not let in; "" when it
// was not turned away.
func (c *Core) turnedAway(n *node) string {
	if n.session != nil || c.deps.TurnedAway == nil {
		return ""
	}
	if err := c.deps.TurnedAway(n.ID); err != nil {
		return "its agent was turned away: " + err.Error()
	}
	return ""
}

// dirtyNode plans the apps that have instances on a node.
func (c *Core) dirtyNode(n *node) {
	for _, r := range n.rows {
		c.dirty[r.AppID] = true
	}
}

// dirtyWaiting plans the apps that wait for room.
func (c *Core) dirtyWaiting() {
	for id := range c.waiting {
		c.dirty[id] = true
	}
}

// want takes in what people want of nodes.
func (c *Core) want(wanted map[string]model.Availability) {
	clear(c.forgotten)
	for id, w := range wanted {
		if w == model.Forgotten {
			c.forgotten[id] = true
			continue // perhaps there is nothing left of it but that
		}
		c.node(id)
	}
	for id, n := range c.nodes {
		if w := wanted[id]; n.wanted != w {
			n.wanted = w
			c.reindex(n)
			c.dirtyNode(n)
			c.dirtyWaiting()
		}
	}
}
