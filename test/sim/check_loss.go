package sim

import (
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
)

// quiet is how many nodes a leader hears nothing of, of how many.
type quiet struct{ silent, all int }

// quiet counts them, all and by zone.
func (c *checker) quiet(m *term) (whole quiet, zones map[string]quiet) {
	zones = map[string]quiet{}
	for _, n := range c.w.nodes {
		if _, ok := c.w.db.nodes[n.name]; !ok {
			continue
		}
		z := zones[n.zone]
		z.all, whole.all = z.all+1, whole.all+1
		if m.silence(n.name) >= limits.UnknownAfter {
			z.silent, whole.silent = z.silent+1, whole.silent+1
		}
		zones[n.zone] = z
	}
	return whole, zones
}

// frozen is the breaker's rule (R9): it says of which nodes too many are silent for
// an accident, "" when that is not so.
func (c *checker) frozen(m *term) string {
	whole, zones := c.quiet(m)
	if whole.silent > max(3, whole.all*15/100) || whole.silent > 0 && whole.silent == whole.all {
		return fmt.Sprintf("%d of %d nodes are silent", whole.silent, whole.all)
	}
	for _, name := range sortedKeys(zones) {
		if z := zones[name]; z.silent > max(3, z.all*33/100) {
			return fmt.Sprintf("%d of %d nodes of zone %s are silent", z.silent, z.all, name)
		}
	}
	return ""
}

// silence is how long a leader has heard nothing of a node, at the beginning of its
// last round and by its own clock, which stands still while its machine sleeps: in
// that time it could hear nothing, and knows of none.
func (m *term) silence(node string) time.Duration {
	from := m.since
	if at, ok := m.heard[node]; ok {
		from = at
	}
	return m.round.Sub(from)
}

// lost: a loss needs the whole time of silence, and fewer silent nodes than
// would rather mean that the leader is cut off.
func (c *checker) lost(m *term, i model.Instance) {
	if d := m.silence(i.NodeID); d < limits.UnknownAfter+limits.LostAfter {
		c.fail("no loss before its time", "%s on %s is given up after %s of silence", i.ID, i.NodeID, d)
	}
	if why := c.frozen(m); why != "" {
		c.fail("no losses while frozen", "%s on %s is given up while %s", i.ID, i.NodeID, why)
	}
	if d := m.round.Sub(m.frozen); d < lostAfter && m.round.Sub(m.failed) > slack {
		c.fail("the time of silence begins anew after a freeze", "%s on %s is given up %s after so many nodes were silent that none was believed lost", i.ID, i.NodeID, d)
	}
	c.spent(m, i.NodeID)
}

// How many nodes may be lost at once, and how often one more.
const (
	lossBurst = 3
	lossEvery = 10 * time.Second
)

// spent: nodes are lost a few at a time, whatever the time. A node counts once for
// each of its silences, in the round that first gives up what is on it; after
// rounds that failed those of several come at once.
func (c *checker) spent(m *term, node string) {
	if at, was := m.lost[node]; was && !m.heard[node].After(at) {
		return
	}
	m.lost[node] = m.round
	if m.round.Sub(m.failed) < slack {
		return
	}
	for _, from := range m.lost {
		n := 0
		for _, at := range m.lost {
			if !at.Before(from) {
				n++
			}
		}
		if d := m.round.Sub(from); n > lossBurst+int(d/lossEvery) {
			c.fail("losses come a few at a time", "%d nodes are given up within %s", n, d)
		}
	}
}
