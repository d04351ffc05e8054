package sim

import (
	"time"

	"github.com/dinp/dinp/agent/instance"
)

// What rule R17 says of a node, in numbers of its own.
var atOnce = map[instance.Op]int{instance.OpPull: 3, instance.OpStart: 4}

// maxWait is longer than any engine's hanging and any agent's pause keep a call
// waiting.
const maxWait = 10 * time.Minute

// like is what a call waits behind.
func like(op instance.Op) instance.Op {
	if op == instance.OpCreate {
		return instance.OpStart
	}
	return op
}

// lanes: an engine is asked for a few things at once, and who waits waits only
// behind what is of its kind.
func (c *checker) lanes(a *agent) {
	busy, images := map[instance.Op]int{}, map[string]bool{}
	for _, e := range a.errands {
		if !e.begun {
			continue
		}
		op := like(e.call.Op)
		if busy[op]++; atOnce[op] > 0 && busy[op] > atOnce[op] {
			c.fail("an engine is asked for a few things at once", "%s has %d of them under way: %v", a.n.name, busy[op], names[op])
		}
		if op != instance.OpPull {
			continue
		}
		if images[e.spec.Image] {
			c.fail("an image is pulled once", "%s is pulled twice at once on %s", e.spec.Image, a.n.name)
		}
		images[e.spec.Image] = true
	}
	for _, e := range a.errands {
		op := like(e.call.Op)
		if e.begun {
			continue
		}
		c.queued[op]++
		if busy[op] < max(1, atOnce[op]) && !(op == instance.OpPull && images[e.spec.Image]) {
			c.fail("nobody waits while there is room", "%s of %s waits on %s, and %d of its kind are under way", names[op], label(e.spec.InstanceID), a.n.name, busy[op])
		}
	}
}

var names = map[instance.Op]string{
	instance.OpPull: "a pull", instance.OpStart: "a start", instance.OpRemove: "a removal", instance.OpInspect: "an inspection",
	instance.OpStop: "a stop", instance.OpOutput: "reading the output",
}

// waiting: nothing waits for ever.
func (c *checker) waiting() {
	for _, n := range c.w.nodes {
		for _, e := range n.agent.errands {
			if d := c.w.now.Sub(e.since); !e.begun && d > maxWait {
				c.fail("nothing waits for ever", "%s of %s waits on %s for %s", names[like(e.call.Op)], label(e.spec.InstanceID), n.name, d)
			}
		}
	}
}
