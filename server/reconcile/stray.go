package reconcile

import (
	"fmt"
	"maps"
	"slices"
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
	if c.believed {
		return c.unheard()
	}
	return ""
}

// unheard says which node may run what a database has forgotten that was set back
// in this term; "" when each has told all, or has been silent for so long that its
// agent has ended singletons. A node that is forgotten itself has the time in which
// it would have come.
func (c *Core) unheard() string {
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		if n := c.nodes[id]; !n.Synced && !n.quiet {
			return fmt.Sprintf("a singleton waits: the database was restored, and node %s has not told what it runs", n.Name)
		}
	}
	wait := c.began.Add(c.cfg.Limits.UnknownAfter + c.cfg.Limits.LostAfter).Sub(c.deps.Now())
	if wait > 0 {
		return fmt.Sprintf("a singleton waits: the database was restored, and a node that it does not know may come back within %s", wait.Round(time.Second))
	}
	return ""
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
