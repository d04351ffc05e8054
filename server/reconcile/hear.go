package reconcile

import (
	"slices"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// runs reports whether a row runs as wished, and its agent needs not be told
// anything of it.
func (r *row) runs() bool {
	o := r.seen
	return r.Role == model.Primary && !r.Stopping && r.ReleaseID == r.app.ReleaseID &&
		o.Known && o.Phase == model.PhaseRunning && o.Singleton == r.app.Singleton && r.node.wanted != model.Draining && r.node.wanted != model.Forgotten
}

// settled reports whether a row gives no cause for a step, whatever becomes of its
// node but for its loss. The planner makes no difference between those whose nodes
// have yet to speak and those whose nodes are ready
// (plan.TestCompute_WhetherTheNodeOfWhatServesHasSpokenChangesNothing).
func (r *row) settled() bool { return r.runs() && r.verdict.Healthy }

// begins reports whether all that an app needs is its routes, which this term has
// not set yet. It is not to be planned before all is known that they depend on.
func (c *Core) begins(a *app) bool { return c.unrouted[a.ID] && a.complete() }

// quiet reports whether a row gives no cause for a plan of its app: it is settled,
// or runs and is yet to be judged, as is all that no routes in force vouch for.
func (c *Core) quiet(r *row) bool {
	return r.settled() || !r.verdict.Judged && r.runs() && c.begins(r.app)
}

// unsure reports whether the routes of an app that begins cannot be set yet, because
// a node has yet to speak, or a monitor.
func (a *app) unsure() bool {
	return a.unheard > 0 || slices.ContainsFunc(a.rows, func(r *row) bool {
		return r.prior && !r.Stopping && r.seen.Phase == model.PhaseRunning && !r.verdict.Judged && !r.verdict.Healthy
	})
}

// running lists where each of a node's rows runs, as far as is known; "" for one
// that does not. It is good until the next call.
func (c *Core) running(n *node) []string {
	c.ran = slices.Grow(c.ran[:0], len(n.rows))[:len(n.rows)]
	for at, r := range n.rows {
		if c.ran[at] = ""; r.seen.Known && r.seen.Phase == model.PhaseRunning {
			c.ran[at] = r.seen.Addr
		}
	}
	return c.ran
}

// heardAll plans what a node's word on all that it runs changes. An app whose
// instance runs where it was known to, or was routed when the term began, has no
// step to take for that; but its routes are not touched before the last of its
// nodes has told (Assured), so then it is planned. When leaders change that is
// nearly all that nodes say: an app of fifty instances is planned once for it, and
// not fifty times.
func (c *Core) heardAll(n *node, ran []string, first bool) {
	if first {
		c.came = c.deps.Now()
		if c.spoke.IsZero() {
			c.spoke = c.came
		}
	}
	m := &pb.HealthTargets{}
	for at, r := range n.rows {
		if first {
			r.app.unheard--
		}
		asKnown := ran[at] == r.seen.Addr || ran[at] == "" && c.begins(r.app)
		switch {
		case !asKnown || !c.quiet(r) || first && r.app.unheard == 0:
			c.dirty[r.AppID] = true
		case ran[at] == "":
			c.aim(m, r) // monitors need not wait for the plan
		}
	}
	c.toMonitors(m)
}

// dirtyUnquiet plans the apps of a node that is silent no more, but for those for
// which that changes nothing.
func (c *Core) dirtyUnquiet(n *node) {
	for _, r := range n.rows {
		if !c.quiet(r) {
			c.dirty[r.AppID] = true
		}
	}
}

// dirtyInstance plans the app of an instance of which a monitor has changed its
// mind, but not before each of them has been heard of that its routes wait for.
func (c *Core) dirtyInstance(id string) {
	if r := c.rows[id]; r != nil && !(c.begins(r.app) && c.quiet(r) && r.app.unsure()) {
		c.dirty[r.AppID] = true
	}
}
