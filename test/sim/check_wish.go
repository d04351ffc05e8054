package sim

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

type wish struct {
	at time.Time
	n  int
}

// wished notes what people want of an app, or of nodes.
func (c *checker) wished(appID string) {
	if a, ok := c.w.db.apps[appID]; ok {
		n := a.Instances
		if !a.DeletedAt.IsZero() {
			n = 0
		}
		c.desired[appID] = append(c.desired[appID], wish{c.w.now, n})
	}
	for _, n := range c.w.nodes {
		v := c.w.db.avail[n.name]
		if c.was[n.name] == model.Draining {
			c.drained[n.name] = c.w.now
		}
		if v == model.Forgotten && c.was[n.name] != v {
			c.givenUp[n.name] = c.w.now
		}
		c.was[n.name] = v
		if v == "" || v == model.Active {
			delete(c.away, n.name)
		} else if _, is := c.away[n.name]; !is {
			c.away[n.name] = c.w.now
		}
	}
}

// slack is how long the leader may not know of a change of the desired state:
// the sweep's period, and what a database may stall.
const slack = 2 * time.Minute

// most is the largest number of instances that somebody may still believe to be
// wanted, least the smallest.
func (c *checker) most(appID string) int {
	n := 0
	c.eachWish(appID, func(v int) { n = max(n, v) })
	return n
}

func (c *checker) least(appID string) int {
	n := 1 << 30
	c.eachWish(appID, func(v int) { n = min(n, v) })
	return n
}

func (c *checker) eachWish(appID string, f func(n int)) {
	all := c.desired[appID]
	for i, d := range all {
		if i+1 == len(all) || c.w.now.Sub(all[i+1].at) < slack {
			f(d.n)
		}
	}
}
