package reconcile

import (
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/routes"
)

// A guest is a stray (see stray) that serves its app, beside the app's own
// instances, until there are enough of them.

// dismiss lets an app's guests go when as many of its own instances are ready as
// are wanted; then they are orphans as any other.
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
	if ready < a.wanted() {
		return
	}
	for _, id := range a.guests {
		delete(c.guests, id)
		if o, ok := c.orphans[id]; ok {
			o.since, o.unrouted = now, 0
			c.orphans[id] = o
		}
	}
	a.guests = nil
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
