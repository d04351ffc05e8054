package sim

import (
	"errors"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// made: a container comes of a durable intent, once, where it was meant to be,
// and fits.
func (c *checker) made(n *node, s runtime.Spec) {
	id := s.InstanceID
	row, meant := c.w.db.everRows[id]
	if !meant {
		c.fail("intent before command", "a container of %s was made on %s, and no row of it was ever committed", id, n.name)
		return
	}
	if row.NodeID != n.name {
		c.fail("one node an instance", "%s was placed on %s and has a container on %s", id, row.NodeID, n.name)
	}
	total := 0
	for _, m := range c.w.nodes {
		total += m.made[id]
	}
	if total > 1 {
		c.fail("one container an instance", "%d containers of %s were made", total, id)
	}
	memory := int64(0)
	cs, _ := n.engine.All()
	for _, x := range cs {
		if x.State == runtime.Running || x.State == runtime.Created && !n.agent.over(x.InstanceID) {
			memory += x.MemoryMiB
		}
	}
	if memory > n.memory {
		c.fail("limits within capacity", "%d MiB are promised on %s, which has %d", memory, n.name, n.memory)
	}
}

// stops: nothing that runs is ended without an order that the database holds.
func (c *checker) stops(n *node, id string) {
	w := c.w
	row, has := w.db.instances[id]
	switch {
	case n.halted[id]: // a singleton of which no leader hears
	case row.Stopping || w.db.everRows[id].Stopping:
	case has:
		c.fail("no stop without an order", "%s on %s is ended, and its row wants it", id, n.name)
	case w.db.goneRows[id].IsZero():
		since, seen := c.orphanAt[id]
		if at, lost := w.db.lostRows[id]; lost {
			since, seen = at, true
		}
		if !seen || w.now.Sub(since) < orphanAfter {
			c.fail("no stop without an order", "%s on %s is ended; it has no row, and was not left alone for %s", id, n.name, orphanAfter)
		}
	}
}

// phase: phases only move forward, and who is told gone has left nothing behind,
// unless the engine refuses to remove it. An agent that has lost its phases to a power
// cut tells of such a one again, also when the engine refuses no more.
func (c *checker) phase(a *agent, o model.Observed) {
	if was := a.phases[o.ID]; o.Phase < was {
		c.fail("phases never go back", "%s on %s went from %s to %s", o.ID, a.n.name, was, o.Phase)
	}
	if o.Phase == model.PhaseGone && a.phases[o.ID] < o.Phase && !c.left[o.ID] {
		c.left[o.ID] = a.n.refusing > 0
		if x, err := a.n.rt.Inspect(c.w.ctx, o.ID); !c.left[o.ID] && err == nil && x.State != runtime.Exited {
			c.fail("who is gone has no container", "%s is gone from %s (%s), and its container is there", o.ID, a.n.name, o.Gone)
		}
	}
	a.phases[o.ID] = o.Phase
}

// serves reports whether an instance's program answers, in truth.
func (c *checker) serves(i model.Instance) bool {
	_, x, s, ok := c.w.container(i.ID)
	return ok && c.w.healthy(x, s)
}

// deleted: a row goes after its container.
func (c *checker) deleted(id string) {
	if n, x, _, ok := c.w.container(id); ok && x.State == runtime.Running && c.w.db.lostRows[id].IsZero() && c.w.db.avail[n.name] != model.Forgotten {
		c.fail("a row outlives its container", "the row of %s is deleted while it runs on %s", id, n.name)
	}
}

// step checks what can be seen of the whole after an event.
func (c *checker) step() {
	w := c.w
	for _, n := range w.nodes {
		if id := c.foreign[n.name]; id != "" {
			if _, err := n.rt.Inspect(w.ctx, id); !errors.Is(err, runtime.ErrForeign) {
				c.fail("no foreign container is touched", "the container in the place of %s on %s is gone", id, n.name)
			}
		}
		cs, specs := n.engine.All()
		for i, x := range cs {
			if specs[i].InstanceID == "" {
				continue
			}
			_, has := w.db.instances[x.InstanceID]
			if _, seen := c.orphanAt[x.InstanceID]; has || x.State != runtime.Running {
				delete(c.orphanAt, x.InstanceID)
			} else if !seen {
				c.orphanAt[x.InstanceID] = w.now
			}
		}
	}
	c.alone()
	for _, r := range w.routers {
		r.watch()
	}
}
