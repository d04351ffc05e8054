package reconcile

import (
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/routes"
)

// A guest is a stray (see stray) that serves its app, beside the app's own
// instances, until there are enough of them.

// dismiss lets those of an app's guests go that it does not need beside its own
// instances that are ready: they may have the room that those wait for which are not.
// All are needed while none is, since nobody probes guests; and none is once as many
// are ready as are wanted. Then they are orphans as any other.
func (c *Core) dismiss(a *app, now time.Time) {
	if len(a.guests) == 0 {
		return
	}
	ready := 0
	for _, r := range a.rows {
		if i := c.view(r, &c.told); i.Ready() {
			ready++
		}
	}
	lacks := a.wanted() - ready
	if ready == 0 && lacks > 0 {
		return
	}
	var keep []string
	for _, id := range a.guests {
		o, known := c.orphans[id]
		if lacks > 0 {
			keep = append(keep, id)
			if known && o.node.Seen(id).Phase == model.PhaseRunning { // of others it may be told yet
				lacks--
			}
			continue
		}
		delete(c.guests, id)
		if known {
			o.since, o.unrouted = now, 0
			c.orphans[id] = o
		}
	}
	a.guests = keep
}

// guestViews are an app's guests as routing sees them. No monitor is told of what
// has no row: they are well as long as their agents say that they run. Of which
// release they are nobody knows.
func (c *Core) guestViews(a *app) (out []routes.Instance) {
	for _, id := range a.guests {
		if o, ok := c.orphans[id]; ok {
			seen := o.node.Seen(id)
			runs := seen.Phase == model.PhaseRunning
			out = append(out, routes.Instance{ID: id, Addr: seen.Addr, Running: runs, Ready: runs, Assured: true, WasRouted: true})
		}
	}
	return out
}
