package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A stray is an instance that a node has and the database does not know: it was
// set back to before. Of a singleton that is one too many: nothing is started
// beside it (R11), and it is not left to serve as a guest.

// letGo is how long routers have to let a singleton's stray go before it is stopped.
const letGo = 10 * time.Second

// stray says why an instance of an app may run that the database does not know, so
// that a singleton must wait; "" when none does.
func (c *Core) stray(a *app) string {
	if !a.Singleton {
		return ""
	}
	for _, id := range slices.Sorted(maps.Keys(c.orphans)) {
		// Which app it is of only routes tell, and that it is a singleton its agent.
		if o := c.orphans[id]; !o.node.quiet && (o.singleton || slices.Contains(a.strays, id)) {
			return fmt.Sprintf("a singleton waits: %s runs an instance that the database does not know, perhaps of this app; it is stopped first", o.node.Name)
		}
	}
	return c.unheard()
}

// unheard says which node may run what the database has forgotten; "" when each has
// told in this term what it has, or has been silent for so long that its agent has
// ended singletons. Whether the database was set back only nodes can tell, so this
// holds at the beginning of every term. A node that the database does not know
// either has the time in which it would have come: after a restore that is believed,
// and as long as none that has come vouches for the end of what the database knows.
func (c *Core) unheard() string {
	if n := c.untold(); n != nil {
		return fmt.Sprintf("a singleton waits: node %s has not told this leader what it runs, perhaps an instance of it; it is waited for until %s",
			cmp.Or(n.Name, n.ID), c.cluster.SilentUntil(n.Node).UTC().Format(time.TimeOnly))
	}
	wait := c.began.Add(c.cfg.Limits.UnknownAfter + c.cfg.Limits.LostAfter).Sub(c.deps.Now())
	switch {
	case wait <= 0:
	case c.believed:
		return fmt.Sprintf("a singleton waits: the database was restored, and a node that it does not know may come back within %s", wait.Round(time.Second))
	case !c.vouched:
		return fmt.Sprintf("a singleton waits: no node that has come was there in the last leader's term, and one that the database does not know may come back within %s", wait.Round(time.Second))
	}
	return ""
}

// untold is the first of the nodes that are waited for. It is asked for each
// singleton, so what was found last is looked at before all others.
func (c *Core) untold() *node {
	waits := func(n *node) bool { return c.mum[n.ID] == n && !n.quiet }
	if c.awaited != nil && waits(c.awaited) {
		return c.awaited
	}
	c.awaited = nil
	for _, n := range c.mum {
		if waits(n) && (c.awaited == nil || strings.Compare(n.ID, c.awaited.ID) < 0) {
			c.awaited = n
		}
	}
	return c.awaited
}

// keepStray notes a stray of an app: a guest that serves until the app's own
// instances do, or, of a singleton, what is to end before.
func (c *Core) keepStray(a *app, id string) {
	if !a.Singleton {
		c.guests[id] = a
		a.guests = append(a.guests, id)
		return
	}
	a.strays = append(a.strays, id)
}

// orphanSince is from when the patience with an orphan is counted once a database
// that was set back is believed (R7): anew, as for all that it may know later; of
// a singleton from when it was first seen, since its app is down until then.
func (c *Core) orphanSince(o orphan, now time.Time) time.Time {
	if first := now.Add(letGo - c.cfg.OrphanAfter); o.singleton && o.since.Before(now) {
		if o.since.Before(first) {
			return first
		}
		return o.since
	}
	return now
}
