package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// nodeRef is a node together with the session it speaks by.
type nodeRef struct {
	*actual.Node
	session dispatch.Session
}

// commit takes a plan that the database holds into memory.
func (c *Core) commit(d decided, now time.Time) {
	a := d.app
	for _, r := range d.plan.Reap {
		c.commitReap(a, r, now)
	}
	for _, s := range d.plan.Stop {
		r := c.rows[s.ID]
		r.Stopping, r.Reason, r.StoppedAt, r.sentTo = true, s.Reason, now, ""
		c.deps.Log.Info("instance to be stopped", "app", a.Name, "instance", s.ID, "why", s.Reason)
	}
	for id, role := range roles(d.plan) {
		c.rows[id].Role = role
	}
	for _, n := range d.plan.Calm {
		delete(a.slots, n)
	}
	for _, dep := range d.plan.Deploy {
		c.commitDeployment(a, dep)
	}
	for _, r := range d.starts {
		c.deps.Log.Info("instance placed", "app", a.Name, "instance", r.ID, "slot", r.Slot, "role", r.Role, "node", c.cluster.Node(r.NodeID).Name, "release", c.version(r.ReleaseID))
	}
	a.wake = d.plan.Wake
}

func (c *Core) commitReap(a *app, reap plan.Reap, now time.Time) {
	r := c.rows[reap.ID]
	n := c.cluster.Node(r.NodeID)
	o := n.Observed[reap.ID]
	if reap.Failed {
		a.slots[reap.Slot] = plan.Failed(c.cfg.Plan, a.slots[reap.Slot], now)
		if r.ReleaseID == a.ReleaseID {
			c.noteFailure(a, r.NodeID, o, now)
		}
	}
	c.removeRow(r)
	delete(n.Observed, reap.ID)
	if s := c.sessions[r.NodeID]; s != nil {
		s.Forget([]string{reap.ID})
	}
	c.deps.Log.Info("instance gone", "app", a.Name, "instance", reap.ID, "how", o.Gone, "code", o.Code, "exit", o.ExitCode)
}

// noteFailure counts an end of the wanted release's instances, for its deployment.
// The nodes they ended on are the last to be tried again.
func (c *Core) noteFailure(a *app, nodeID string, o model.Observed, now time.Time) {
	if a.failuresOf != a.ReleaseID {
		a.failures, a.failuresOf, a.failedOn = nil, a.ReleaseID, map[string]int{}
	}
	a.failedOn[nodeID]++
	code := o.Code
	if code == "" {
		code = model.CodeCrashed
	}
	a.failures = append(a.failures, plan.Failure{At: now, Code: code, Message: o.Message, Logs: o.Logs})
}

func (c *Core) commitDeployment(a *app, d model.Deployment) {
	a.deployments[d.ReleaseID] = d
	if d.Ended() {
		c.deps.Log.Info("deployment ended", "app", a.Name, "release", c.version(d.ReleaseID), "status", d.Status, "err", d.Error)
		a.unplaceable, a.refusal, a.tail = time.Time{}, nil, nil
	}
	if d.Status == model.DeploymentSucceeded {
		a.lastGood = d.ReleaseID
	}
	c.dirty[a.ID] = true // a deployment's end changes what is to be kept up
}

// act sends what an app's rows need: routes first, then starts, then stops of
// what the routers have let go.
func (c *Core) act(ctx context.Context, a *app, now time.Time) {
	c.publish(a, now)
	for _, r := range sortedRows(a.rows) {
		n := c.cluster.Node(r.NodeID)
		s := c.sessions[r.NodeID]
		if s == nil || !n.Synced || ctx.Err() != nil || r.sentTo == s.ID() {
			continue
		}
		_, known := n.Observed[r.ID]
		switch {
		case r.Stopping:
			c.sendStop(a, r, s)
		case !known:
			c.sendStart(a, r, s)
		}
	}
	c.syncTargets(a)
}

// sendStop ends an instance once no router sends it requests any more (R18).
func (c *Core) sendStop(a *app, r *row, s dispatch.Session) {
	if r.inRoutes || c.deps.Routes.Served() < r.routeRev || len(a.keys) == 0 && a.DeletedAt.IsZero() {
		return
	}
	spec := c.releases[r.ReleaseID].Spec.WithDefaults()
	m := &pb.Stop{InstanceId: r.ID, GraceMs: time.Duration(spec.Grace).Milliseconds(), Reason: string(r.Reason)}
	if r.everRouted || r.prior {
		m.DrainMs = time.Duration(spec.Drain).Milliseconds()
	}
	s.Stop(m)
	r.sentTo = s.ID()
}

func (c *Core) sendStart(a *app, r *row, s dispatch.Session) {
	rel, ok := c.releases[r.ReleaseID]
	if !ok {
		return
	}
	s.Start(&pb.Start{
		InstanceId: r.ID, AppId: a.ID, AppName: a.Name, ReleaseId: rel.ID, Release: int32(rel.Number), Slot: int32(r.Slot),
		Image: rel.Spec.Image, Command: rel.Spec.Command, Env: rel.Spec.Env, Port: int32(rel.Spec.Port),
		MemoryMib: rel.Spec.MemoryMiB, CpuMilli: rel.Spec.CPUMilli, SpecHash: rel.Spec.Hash(),
	})
	r.sentTo = s.ID()
}

func orphanEvent(id string) store.Control {
	return store.Control{Events: []model.Event{{Actor: "server", Verb: "instance.orphan", Subject: id, Message: "an instance without a row is stopped"}}}
}

// stopOrphans stops instances that agents have and nobody wants (R7): only
// after a complete look at the desired state, a full sync of the node, a time of
// patience, and another look for the row in the database.
func (c *Core) stopOrphans(ctx context.Context, now time.Time) error {
	for _, id := range slices.Sorted(maps.Keys(c.orphans)) {
		seen := c.orphans[id]
		if _, ours := c.rows[id]; ours {
			delete(c.orphans, id)
			continue
		}
		if now.Sub(seen) < c.cfg.OrphanAfter || c.reload || c.swept.Before(seen) {
			continue
		}
		there, err := c.deps.Store.HasInstance(ctx, id)
		if err != nil {
			return err
		}
		if there {
			c.reload = true
			continue
		}
		if err := c.deps.Store.Apply(ctx, c.lease, orphanEvent(id)); err != nil {
			return err
		}
		for _, nodeID := range slices.Sorted(maps.Keys(c.cluster.Nodes)) {
			n := c.cluster.Nodes[nodeID]
			if s := c.sessions[nodeID]; s != nil && n.Synced {
				if _, has := n.Observed[id]; has {
					s.Stop(&pb.Stop{InstanceId: id, GraceMs: 30_000, Reason: "nobody wants it"})
				}
			}
		}
		delete(c.orphans, id)
	}
	return nil
}

// wantsTail reports whether a plan is about to fail a deployment because an
// instance never answered, and its output has yet to be read. It is asked for
// once; what has come within tailWithin is what is shown.
func (c *Core) wantsTail(a *app, in plan.Input, p plan.Plan) bool {
	fails := false
	for _, d := range p.Deploy {
		fails = fails || d.Status == model.DeploymentFailed && d.Error != nil && d.Error.Code == model.CodeNotReady && d.ReleaseID == a.ReleaseID
	}
	if !fails {
		return false
	}
	if a.tail != nil && a.tail.releaseID == a.ReleaseID {
		return !a.tail.done
	}
	id := in.Unready(a.ReleaseID)
	r := c.rows[id]
	if r == nil || c.sessions[r.NodeID] == nil {
		return false
	}
	a.tail = &tail{releaseID: a.ReleaseID}
	asked := a.tail
	c.deps.Tail(c.sessions[r.NodeID], id, func(lines []string) {
		asked.lines, asked.done = lines, true
		c.dirty[a.ID] = true
	})
	return true
}
