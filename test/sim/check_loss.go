package sim

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

// silent counts the nodes of which a leader hears nothing, and all.
func (c *checker) silent(m *term) (silent, known int) {
	for _, n := range c.w.nodes {
		if _, ok := c.w.db.nodes[n.name]; !ok {
			continue
		}
		known++
		if m.silence(n.name) >= 3*heartbeat {
			silent++
		}
	}
	return silent, known
}

// frozen is the breaker's rule (R9).
func frozen(silent, known int) bool {
	return silent > max(3, known*15/100) || silent > 0 && silent == known
}

// silence is how long a leader has heard nothing of a node, at its last round.
func (m *term) silence(node string) time.Duration {
	heard := m.heard[node]
	if heard.Before(m.began) {
		heard = m.began
	}
	return m.round.Sub(heard)
}

// lost: a loss needs the whole time of silence, and fewer silent nodes than
// would rather mean that the leader is cut off.
func (c *checker) lost(m *term, i model.Instance) {
	if d := m.silence(i.NodeID); d < 3*heartbeat+lostAfter {
		c.fail("no loss before its time", "%s on %s is given up after %s of silence", i.ID, i.NodeID, d)
	}
	if silent, known := c.silent(m); frozen(silent, known) {
		c.fail("no losses while frozen", "%s on %s is given up while %d of %d nodes are silent", i.ID, i.NodeID, silent, known)
	}
	if d := c.w.now.Sub(m.frozen); d < lostAfter && c.w.now.Sub(m.failed) > slack {
		c.fail("the time of silence begins anew after a freeze", "%s on %s is given up %s after so many nodes were silent that none was believed lost", i.ID, i.NodeID, d)
	}
}
