package reconcile

import (
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/plan"
)

// row is one placement and how far its commands and routes are.
type row struct {
	model.Instance
	app     *app
	node    *node
	verdict *actual.Verdict
	seen    *actual.Seen // on its node
	at      int          // in node.rows

	prior      bool // it is older than this term
	freed      bool // a plan that is being written removes it: its room is given away
	starting   bool // counted so in the index
	inRoutes   bool // as last Set
	everRouted bool
	seenRouted bool    // the planner has seen it routed everywhere
	routeRev   uint64  // revision at which inRoutes took its value
	routeAt    int64   // and when, in unix milliseconds; 0: before this term
	told       uint64  // what the monitors were told of it; 0: nothing
	sentTo     sitting // that got its Start, or its Stop once stopping; 0: none
	retold     retold  // see retell
	memory     int32   // MiB, in the ledger; 0: not known yet
	cpu        int32   // thousandths of a core
}

// addRow enters a row everywhere. Its strings are shared with what it belongs
// to: there may be a million.
func (c *Core) addRow(r *row) {
	r.app, r.node = c.app(r.AppID), c.node(r.NodeID)
	r.AppID, r.NodeID = r.app.ID, r.node.ID
	r.seen, r.verdict = r.node.Seen(r.ID), c.cluster.Verdict(r.ID)
	r.ID = r.seen.ID
	c.rows[r.ID] = r
	r.app.add(r)
	if !r.node.EverSynced {
		r.app.unheard++
	}
	r.at = len(r.node.rows)
	r.node.rows = append(r.node.rows, r)
	c.index.Reserve(r.node.number, int64(r.memory), int64(r.cpu))
	c.countStarting(r)
}

// reserve enters a row's needs into the ledger, by its release; that has no ID when it
// is not known yet.
func (c *Core) reserve(r *row, rel *model.Release) {
	if rel.ID == "" || r.memory != 0 {
		return
	}
	r.ReleaseID = rel.ID
	r.memory, r.cpu = int32(rel.Spec.MemoryMiB), int32(rel.Spec.CPUMilli)
	c.index.Reserve(r.node.number, int64(r.memory), int64(r.cpu))
}

// free gives a row's room away while its removal is being written.
func (c *Core) free(r *row) {
	if !r.freed {
		r.freed = true
		c.index.Release(r.node.number, int64(r.memory), int64(r.cpu))
	}
}

// unfree takes the room back when it could not be written.
func (c *Core) unfree(r *row) {
	if r.freed {
		r.freed = false
		c.index.Reserve(r.node.number, int64(r.memory), int64(r.cpu))
	}
}

// countStarting keeps the index's count of what is being pulled or started.
func (c *Core) countStarting(r *row) {
	is := !r.Stopping && r.seen.Phase < model.PhaseRunning
	if is == r.starting {
		return
	}
	r.starting = is
	if is {
		c.index.Starting(r.node.number, 1)
	} else {
		c.index.Starting(r.node.number, -1)
	}
}

// removeRow takes a row that is gone out of everything.
func (c *Core) removeRow(r *row) {
	c.detach(r)
	c.forget(r)
}

// detach takes a row out of the indexes; what was observed of it stays.
func (c *Core) detach(r *row) {
	if r.starting {
		r.starting = false
		c.index.Starting(r.node.number, -1)
	}
	c.free(r)
	delete(c.rows, r.ID)
	r.app.remove(r)
	if !r.node.EverSynced {
		r.app.unheard--
	}
	rows := r.node.rows
	last := rows[len(rows)-1]
	rows[r.at], last.at = last, r.at
	rows[len(rows)-1] = nil
	r.node.rows = rows[:len(rows)-1]
}

// forget drops what was observed of an instance, and its monitors' target.
func (c *Core) forget(r *row) {
	c.unsee(r.node, r.ID)
	if r.told != 0 {
		c.toMonitors(&pb.HealthTargets{Remove: []string{r.ID}})
	}
}

// phantom is what is known of an instance whose node came back without it.
var phantom = &model.Observed{Phase: model.PhaseGone, Gone: model.GoneLost, Message: "the agent came back without it"}

// observed is what is known of an instance, for which into has the room; nil when
// its agent has not spoken of it.
func (r *row) observed(into *model.Observed) *model.Observed {
	switch {
	case r.node.given() && (r.node.quiet || !r.app.Singleton):
		return left
	case r.seen.Known:
		*into = r.seen.Observed()
		return into
	case r.Role == model.Suspect && r.node.Synced:
		return phantom
	}
	return nil
}

// rests is plan.Instance.Rests of a row whose node is connected, without putting
// together all that the planner sees: a sweep asks it of a million. served is what
// all routers serve.
func (r *row) rests(slot int, served uint64) bool {
	n, v, o := r.node, r.verdict, r.seen
	is := r.Slot == slot && r.Role == model.Primary && !r.Stopping && r.ReleaseID == r.app.ReleaseID &&
		o.Known && o.Phase == model.PhaseRunning && v.Healthy && v.Judged && r.inRoutes && served >= r.routeRev &&
		n.session != nil && n.Status == model.NodeReady && n.wanted != model.Draining
	r.seenRouted = r.seenRouted || is
	return is
}

// seeRouted notes which of an app's instances all routers serve, as a view does.
func (c *Core) seeRouted(a *app) {
	served := c.deps.Routes.Served()
	for _, r := range a.rows {
		r.seenRouted = r.seenRouted || r.inRoutes && served >= r.routeRev
	}
}

// view is one instance as the planner sees it; told has the room for what was
// observed of it.
func (c *Core) view(r *row, told *model.Observed) plan.Instance {
	served := c.deps.Routes.Served()
	i := plan.Instance{
		Instance: r.Instance, Observed: r.observed(told), Node: r.node.Status, Draining: r.node.wanted == model.Draining,
		Judged: r.verdict.Judged, Healthy: r.verdict.Healthy, HealthyAt: r.verdict.HealthyAt(), SickAt: r.verdict.SickAt(), Probe: r.verdict.Evidence,
		Routed: r.inRoutes && served >= r.routeRev, EverRouted: r.everRouted,
		Exposed: r.everRouted && (r.inRoutes || served < r.routeRev),
	}
	if r.Role == model.Suspect && !r.node.Synced && i.Node == model.NodeReady {
		i.Node = model.NodeUnknown // it is back, and has yet to tell everything (R10)
	}
	r.seenRouted = r.seenRouted || i.Routed
	return i
}
