package sim

import (
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// reasoned: what a stop gives as its reason is so, or was so a moment ago.
func (c *checker) reasoned(i model.Instance, before tables) {
	w, was := c.w, before.instances[i.ID]
	a := w.db.apps[i.AppID]
	if was.ID == "" || w.now.Sub(w.db.failedOver) < slack {
		return
	}
	ok := true
	switch i.Reason {
	case model.ReasonDeleted:
		ok = !a.DeletedAt.IsZero()
	case model.ReasonScaled:
		ok = was.Slot >= c.least(i.AppID)
	case model.ReasonDrained:
		ok = w.db.avail[was.NodeID] == model.Draining || w.now.Sub(c.drained[was.NodeID]) < slack
	case model.ReasonReplaced:
		d, known := before.deployments[a.ReleaseID]
		ok = c.changed(i.AppID) || !known || !d.Ended() || was.ReleaseID != kept(a, d)
	case model.ReasonLost:
		ok = was.Role == model.Suspect || c.suspected(was, before)
	case model.ReasonUnhealthy:
		ok = !c.saysHealthy(i.ID)
	case model.ReasonCancelled:
		ok = was.Role == model.Surge || c.suspected(was, before)
	}
	if !ok {
		c.fail("a stop's reason is so", "%s of slot %d of %s on %s, %s, is stopped: %s", i.ID, was.Slot, a.Name, was.NodeID, was.Role, i.Reason)
	}
}

// saysHealthy reports whether a monitor has told the leader for a while that an
// instance is healthy, and is there to tell.
func (c *checker) saysHealthy(id string) bool {
	for _, h := range c.w.monitors {
		x := h.watch[id]
		told := x != nil && x.status.Healthy && c.w.now.Sub(x.status.Since) > 2*heardWithin
		if told && h.p.alive && !h.established.IsZero() && c.w.now.Sub(h.established) > 2*heardWithin && !c.w.now.Before(h.p.pausedUntil) {
			return true
		}
	}
	return false
}

// changed reports whether people have changed an app of late.
func (c *checker) changed(appID string) bool {
	all := c.desired[appID]
	return len(all) > 0 && c.w.now.Sub(all[len(all)-1].at) < slack
}

// suspected reports whether an instance's slot has one on a lost node.
func (c *checker) suspected(i model.Instance, t tables) bool {
	for _, j := range t.instances {
		if j.AppID == i.AppID && j.Slot == i.Slot && j.Role == model.Suspect {
			return true
		}
	}
	return false
}

// When a node may be cordoned by the leader (R13), and for how long it may not
// have heard of an end.
const (
	badApps   = 5
	badWithin = 5 * time.Minute
)

// ended notes the rows that end without having been asked to, by node and app.
func (c *checker) ended(ctl store.Control, before tables) {
	for _, id := range ctl.Delete {
		i := before.instances[id]
		if i.ID == "" || i.Stopping || i.Role == model.Suspect {
			continue
		}
		if c.ends[i.NodeID] == nil {
			c.ends[i.NodeID] = map[string]time.Time{}
		}
		c.ends[i.NodeID][i.AppID] = c.w.now
	}
}

// cordoned: a node is closed only when instances of many apps have ended by
// themselves on it of late, and when people want nothing else of it.
func (c *checker) cordoned(node string, before, after tables) {
	apps := 0
	for _, at := range c.ends[node] {
		if c.w.now.Sub(at) <= badWithin+slack {
			apps++
		}
	}
	if apps < badApps {
		c.fail("a node is cordoned for its failures", "%s is cordoned; instances of %d apps ended on it by themselves", node, apps)
	}
	if was, is := before.avail[node], after.avail[node]; was != "" && was != model.Active && is != was {
		c.fail("people's word counts", "%s was %s and is %s", node, was, is)
	}
	c.wished("")
}

// alone: a singleton's program runs once at most (R11). People who give a node up
// vouch for it; when more is wrong with it than the network, its agent cannot.
func (c *checker) alone() {
	w := c.w
	if !w.singles {
		return
	}
	runs := map[string]*node{}
	for _, n := range w.nodes {
		cs, specs := n.engine.All()
		for i, x := range cs {
			id := specs[i].AppID
			if x.State != runtime.Running || !w.db.apps[id].Singleton {
				continue
			}
			other, two := runs[id]
			if !two {
				runs[id] = n
				continue
			}
			if !c.vouched(n) && !c.vouched(other) {
				c.fail("a singleton runs once", "%s runs on %s and on %s", w.db.apps[id].Name, other.name, n.name)
			}
		}
	}
}

// vouched reports whether people have given a node up of which more was wrong
// than that nothing was heard of it.
func (c *checker) vouched(n *node) bool {
	at, is := c.givenUp[n.name]
	return is && c.w.now.Sub(at) < 2*ailing && c.w.now.Sub(n.ailed) < ailing
}
