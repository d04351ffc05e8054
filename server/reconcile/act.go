package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// commit takes a plan that the database holds into memory.
func (c *Core) commit(d decided, now time.Time) {
	a := d.app
	for _, r := range d.plan.Reap {
		c.commitReap(a, r, now)
	}
	for _, s := range d.plan.Stop {
		r := c.rows[s.ID]
		r.Stopping, r.Reason, r.StoppedAt, r.sentTo = true, s.Reason, now, 0
		c.countStarting(r)
		c.log().Info("instance to be stopped", "app", a.Name, "instance", s.ID, "why", s.Reason)
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
		c.log().Info("instance placed", "app", a.Name, "instance", r.ID, "slot", r.Slot, "role", r.Role, "node", r.node.Name, "release", c.version(r.ReleaseID))
	}
	c.watch(a, d.plan.Watch, now)
	c.wakes.set(a.ID, d.plan.Wake)
	if len(a.pending) > 0 {
		c.waiting[a.ID] = true
	} else {
		delete(c.waiting, a.ID)
	}
}

func (c *Core) commitReap(a *app, reap plan.Reap, now time.Time) {
	r := c.rows[reap.ID]
	o := r.observed(new(model.Observed))
	if reap.Failed {
		c.suspect(r, now)
		if r.ReleaseID == a.ReleaseID {
			c.noteFailure(a, r.NodeID, *o, now)
		}
	}
	if reap.Waits() {
		a.slots[reap.Slot] = plan.Failed(c.cfg.Plan, a.slots[reap.Slot], r.Instance, now)
	}
	c.removeRow(r)
	if s := r.node.session; s != nil {
		s.Forget([]string{reap.ID})
	}
	c.log().Info("instance gone", "app", a.Name, "instance", reap.ID, "how", o.Gone, "code", o.Code, "exit", o.ExitCode)
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
	if old := a.deployments[d.ReleaseID]; d.Stage != old.Stage || d.Held != old.Held {
		c.log().Info("deployment step", "app", a.Name, "release", c.version(d.ReleaseID), "stage", d.Stage, "held", d.Held, "why", d.Judgement)
	}
	a.deployments[d.ReleaseID] = d
	if r := c.resumed[d.ReleaseID]; r != nil {
		r.written = true
	}
	if d.Ended() {
		c.log().Info("deployment ended", "app", a.Name, "release", c.version(d.ReleaseID), "status", d.Status, "err", d.Error)
		a.unplaceable, a.refusal, a.awaited, a.tail = time.Time{}, nil, false, nil
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
	for _, r := range a.rows {
		s := r.node.session
		if s == nil || !r.node.Synced || ctx.Err() != nil {
			continue
		}
		c.retell(a, r, s)
		if r.sentTo == r.node.sitting {
			continue
		}
		switch {
		case r.Stopping:
			c.sendStop(a, r, s)
		case r.seen.Known:
		case c.stray(a) != "":
			c.wakes.set(a.ID, now.Add(time.Second))
		default:
			c.sendStart(a, r, s)
		}
	}
	c.syncTargets(a)
	if rev, awaits := awaitsRoutes(a, c.deps.Routes.Served()); awaits {
		c.awaiting[a.ID] = rev
	} else {
		delete(c.awaiting, a.ID)
	}
}

// sendStop ends an instance once no router sends it requests any more (R18).
func (c *Core) sendStop(a *app, r *row, s dispatch.Session) {
	if c.inForce == nil || r.inRoutes || c.deps.Routes.Served() < r.routeRev || len(a.keys) == 0 && a.DeletedAt.IsZero() {
		return
	}
	spec := c.releases[r.ReleaseID].Spec.WithDefaults()
	m := &pb.Stop{InstanceId: r.ID, GraceMs: time.Duration(spec.Grace).Milliseconds(), Reason: string(r.Reason)}
	if r.everRouted || r.prior {
		m.DrainMs = time.Duration(spec.Drain).Milliseconds()
	}
	s.Stop(m)
	r.sentTo = r.node.sitting
}

// stopAgain lets stops be sent again of whose instances their agents show no trace. An
// agent leaves a tombstone for one of which it has never heard; while it cannot write
// that, as when its disk is full, it has not obeyed and says nothing.
func (a *app) stopAgain() {
	for _, r := range a.rows {
		if r.Stopping && !r.seen.Known {
			r.sentTo = 0
		}
	}
}

// retold is what a session was told of an instance that it has already.
type retold struct {
	in        sitting
	singleton bool
}

// retell sends the start of a known instance again when its app became a
// singleton, or is none any more: the agent takes over what has changed.
func (c *Core) retell(a *app, r *row, s dispatch.Session) {
	now := retold{r.node.sitting, a.Singleton}
	if r.Stopping || !r.seen.Known || r.seen.Phase == model.PhaseGone || r.seen.Singleton == a.Singleton || r.retold == now {
		return
	}
	r.retold = now
	c.sendStart(a, r, s)
}

func (c *Core) sendStart(a *app, r *row, s dispatch.Session) {
	rel, ok := c.releases[r.ReleaseID]
	if !ok {
		return
	}
	s.Start(&pb.Start{
		InstanceId: r.ID, AppId: a.ID, AppName: a.Name, ReleaseId: rel.ID, Release: int32(rel.Number), Slot: int32(r.Slot),
		Image: rel.Spec.Image, Command: rel.Spec.Command, Env: rel.Spec.Env, Port: int32(rel.Spec.Port),
		MemoryMib: rel.Spec.MemoryMiB, CpuMilli: rel.Spec.CPUMilli, SpecHash: rel.Spec.Hash(), Singleton: a.Singleton,
	})
	r.sentTo = r.node.sitting
}

func orphanEvent(id string) store.Control {
	return store.Control{Events: []model.Event{{Actor: "server", Verb: "instance.orphan", Subject: id, Message: "an instance without a row is stopped"}}}
}

// stopOrphans stops instances that agents have and nobody wants (R7): only
// after a complete look at the desired state, a full sync of the node, a time of
// patience, another look for the row in the database, and once no router can send to it.
func (c *Core) stopOrphans(ctx context.Context, now time.Time) error {
	for _, id := range slices.Sorted(maps.Keys(c.orphans)) {
		o := c.orphans[id]
		if r := c.rows[id]; r != nil && r.node == o.node {
			delete(c.orphans, id)
			continue
		}
		if c.guests[id] != nil {
			continue
		}
		if now.Sub(o.since) < c.cfg.OrphanAfter || c.reload || c.swept.Before(o.since) || !c.isUnrouted(id, o) {
			continue
		}
		if err := c.stopOrphan(ctx, id, o, now); err != nil {
			return err
		}
	}
	return nil
}

// isUnrouted reports whether no router sends to an orphan (R18). It may have been routed before
// its row was lost, by this leader or the one before. Our table does not name it; so routers have
// to serve that, and it has to be the whole one: until then they keep what it says nothing about.
func (c *Core) isUnrouted(id string, o orphan) bool {
	if !c.open {
		return false
	}
	if o.unrouted == 0 {
		o.unrouted = c.deps.Routes.Revision()
		c.orphans[id] = o
	}
	return c.deps.Routes.Served() >= o.unrouted
}

func (c *Core) stopOrphan(ctx context.Context, id string, o orphan, now time.Time) error {
	n := o.node
	there, err := c.deps.Store.HasInstance(ctx, id)
	if err != nil {
		return err
	}
	if there && c.rows[id] == nil {
		c.reload = true
		return nil
	}
	o.since = now
	if n.session == nil || !n.Synced || !n.Seen(id).Known {
		if o.singleton && n.Seen(id).Known && !n.quiet {
			c.orphans[id] = o // it may still run
			return nil
		}
		delete(c.orphans, id) // it will be seen again in the next sync, if it is still there
		return nil
	}
	if err := c.deps.Store.Apply(ctx, c.lease, orphanEvent(id)); err != nil {
		return err
	}
	n.session.Stop(&pb.Stop{InstanceId: id, GraceMs: 30_000, Reason: "nobody wants it"})
	c.orphans[id] = o // until its agent says that it is gone
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
	if r == nil || r.node.session == nil {
		return false
	}
	a.tail = &tail{releaseID: a.ReleaseID}
	asked := a.tail
	c.deps.Tail(r.node.session, id, func(lines []string) {
		asked.lines, asked.done = lines, true
		c.dirty[a.ID] = true
	})
	return true
}
