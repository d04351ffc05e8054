package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// decided is one app's plan together with what it becomes in the database.
type decided struct {
	app    *app
	plan   plan.Plan
	starts []*row
}

// planDirty plans every dirty app, writes all of it in one transaction, and only
// then acts.
func (c *Core) planDirty(ctx context.Context, now time.Time) error {
	ids := slices.Sorted(maps.Keys(c.dirty))
	if len(ids) == 0 && len(c.newNodes) == 0 {
		return nil
	}
	var batch store.Control
	c.writeNodes(&batch)
	todo := make([]decided, 0, len(ids))
	frozen := c.cluster.Frozen(c.cfg.Limits, now)
	for _, id := range ids {
		a := c.apps[id]
		if a == nil || a.Name == "" {
			continue
		}
		d, ok := c.decide(a, frozen, now)
		if ok {
			c.enter(&d, &batch, now)
			todo = append(todo, d)
		}
	}
	if !batch.Empty() {
		if err := c.deps.Store.Apply(ctx, c.lease, batch); err != nil {
			c.undo(todo)
			return err
		}
	}
	clear(c.newNodes)
	for _, id := range ids {
		delete(c.dirty, id)
	}
	for _, d := range todo {
		c.commit(d, now)
	}
	for _, id := range ids {
		if a := c.apps[id]; a != nil && a.Name != "" {
			c.act(ctx, a, now)
		}
	}
	return nil
}

func (c *Core) writeNodes(batch *store.Control) {
	for _, id := range slices.Sorted(maps.Keys(c.newNodes)) {
		batch.Nodes = append(batch.Nodes, c.cluster.Node(id).Node)
	}
}

// decide asks the planner. ok is false when the plan must wait for an
// instance's output, which its explanation is to show.
func (c *Core) decide(a *app, frozen bool, now time.Time) (decided, bool) {
	in := c.input(a, frozen, now)
	p := plan.Compute(c.cfg.Plan, in, now)
	if c.wantsTail(a, in, p) {
		return decided{}, false
	}
	return decided{app: a, plan: p}, true
}

// input puts together what the planner needs of one app.
func (c *Core) input(a *app, frozen bool, now time.Time) plan.Input {
	in := plan.Input{
		App: a.App, Releases: c.releases, Deployments: a.deployments, LastGood: a.lastGood, Slots: a.slots,
		Unplaceable: a.unplaceable, Refusal: a.refusal, Frozen: frozen,
	}
	if a.failuresOf == a.ReleaseID {
		in.Failures = a.failures
	}
	if a.tail != nil && a.tail.releaseID == a.ReleaseID {
		in.LastLogs = a.tail.lines
	}
	for _, r := range sortedRows(a.rows) {
		in.Instances = append(in.Instances, c.view(r, now))
	}
	return in
}

func sortedRows(m map[string]*row) []*row {
	return slices.SortedFunc(maps.Values(m), func(x, y *row) int {
		return cmp.Or(cmp.Compare(x.Slot, y.Slot), cmp.Compare(x.ID, y.ID))
	})
}

// view is one instance as the planner sees it.
func (c *Core) view(r *row, now time.Time) plan.Instance {
	n := c.cluster.Node(r.NodeID)
	v := c.cluster.Verdicts[r.ID]
	i := plan.Instance{
		Instance: r.Instance, Judged: v.Judged, Healthy: v.Healthy, HealthyAt: v.HealthyAt, SickAt: v.SickAt, Probe: v.Evidence,
		Node: c.cluster.Status(n, c.cfg.Limits, now), Draining: c.avail[r.NodeID] == model.Draining,
		Routed: r.inRoutes && c.deps.Routes.Served() >= r.routeRev, EverRouted: r.everRouted,
		Exposed: r.everRouted && (r.inRoutes || c.deps.Routes.Served() < r.routeRev),
	}
	if o, ok := n.Observed[r.ID]; ok {
		i.Observed = &o
	}
	r.seenRouted = r.seenRouted || i.Routed
	return i
}

// enter turns a plan into database writes, placing what is to start. The ledger
// already counts what this round placed.
func (c *Core) enter(d *decided, batch *store.Control, now time.Time) {
	a := d.app
	for _, r := range d.plan.Reap {
		batch.Delete = append(batch.Delete, r.ID)
		c.enterReap(a, r, batch, now)
	}
	for _, s := range d.plan.Stop {
		i := c.rows[s.ID].Instance
		i.Stopping, i.Reason, i.StoppedAt = true, s.Reason, now
		batch.Stop = append(batch.Stop, i)
	}
	for id, role := range roles(d.plan) {
		i := c.rows[id].Instance
		i.Role = role
		batch.Role = append(batch.Role, i)
	}
	for _, n := range d.plan.Calm {
		batch.Slots = append(batch.Slots, store.Slot{AppID: a.ID, Slot: n})
	}
	batch.Deployments = append(batch.Deployments, d.plan.Deploy...)
	for _, dep := range d.plan.Deploy {
		batch.Events = append(batch.Events, c.deploymentEvent(a, dep)...)
	}
	c.enterStarts(d, batch, now)
}

// roles lists the role changes of a plan, those that free a role first.
func roles(p plan.Plan) func(yield func(string, model.Role) bool) {
	return func(yield func(string, model.Role) bool) {
		for _, id := range p.Suspect {
			if !yield(id, model.Suspect) {
				return
			}
		}
		for _, m := range p.Promote {
			if !yield(m.ID, model.Primary) {
				return
			}
		}
		for _, id := range p.Keep {
			if !yield(id, model.Primary) {
				return
			}
		}
	}
}

func (c *Core) enterReap(a *app, r plan.Reap, batch *store.Control, now time.Time) {
	i := c.view(c.rows[r.ID], now)
	if r.Failed {
		s := plan.Failed(c.cfg.Plan, a.slots[r.Slot], now)
		batch.Slots = append(batch.Slots, store.Slot{AppID: a.ID, Slot: r.Slot, Failures: s.Failures, NextStart: s.NextStart.UnixMilli()})
	}
	if i.Stopping {
		return
	}
	o := i.Observed
	detail, err := json.Marshal(map[string]any{"node": c.cluster.Node(i.NodeID).Name, "exit_code": o.ExitCode, "logs": o.Logs})
	if err != nil {
		detail = []byte("{}")
	}
	batch.Events = append(batch.Events, model.Event{
		Actor: "server", Verb: "instance.gone", AppID: a.ID, AppName: a.Name, Subject: i.ID, Detail: string(detail), Outcome: string(cmp.Or(o.Code, model.Code(o.Gone))),
		Message: fmt.Sprintf("instance %d of %s on %s: %s", i.Slot, c.version(i.ReleaseID), c.cluster.Node(i.NodeID).Name, cmp.Or(o.Message, string(o.Gone))),
	})
}

// enterStarts places new instances one by one, so that each sees what the ones
// before it took.
func (c *Core) enterStarts(d *decided, batch *store.Control, now time.Time) {
	a := d.app
	a.pending = d.plan.Pending
	var refusal *model.Error
	for _, s := range d.plan.Start {
		rel, ok := c.releases[s.ReleaseID]
		if !ok {
			c.swept = time.Time{} // it will be read in the next sweep
			continue
		}
		nodes := c.placeNodes(a, d, s.ReleaseID, now)
		at, refused := place.PickOf(nodes, place.Request{MemoryMiB: rel.Spec.MemoryMiB, CPUMilli: rel.Spec.CPUMilli, Avoid: s.Avoid})
		if at < 0 {
			e := refused.Error()
			a.pending = append(a.pending, plan.Pending{Slot: s.Slot, Code: e.Code, Message: e.Message})
			if s.ReleaseID == a.ReleaseID {
				refusal = e
			}
			continue
		}
		r := &row{Instance: model.Instance{
			ID: c.deps.NewID(), AppID: a.ID, ReleaseID: s.ReleaseID, Slot: s.Slot, Role: s.Role,
			NodeID: nodes[at].ID, Epoch: c.lease.Epoch, CreatedAt: now.UTC(),
		}, memory: rel.Spec.MemoryMiB, cpu: rel.Spec.CPUMilli}
		c.addRow(r)
		d.starts = append(d.starts, r)
		batch.Insert = append(batch.Insert, r.Instance)
	}
	c.refused(a, refusal, now)
}

// refused remembers since when the wanted release finds no room.
func (c *Core) refused(a *app, e *model.Error, now time.Time) {
	a.refusal = e
	switch {
	case e == nil:
		a.unplaceable = time.Time{}
	case a.unplaceable.IsZero():
		a.unplaceable = now
	}
}

// placeNodes is the cluster as placement sees it for a release of one app.
func (c *Core) placeNodes(a *app, d *decided, releaseID string, now time.Time) []place.Standing {
	reaped := map[string]plan.Reap{}
	for _, r := range d.plan.Reap {
		reaped[r.ID] = r
	}
	nodes := make([]place.Standing, 0, len(c.cluster.Nodes))
	for _, id := range slices.Sorted(maps.Keys(c.cluster.Nodes)) {
		n := c.placeNode(c.cluster.Nodes[id], now)
		if a.failuresOf == releaseID {
			n.Failures = a.failedOn[id]
		}
		for _, r := range c.byNode[id] {
			reap, gone := reaped[r.ID]
			c.countRow(&n, r, a, gone)
			if reap.Failed && r.ReleaseID == releaseID {
				n.Failures++ // not in failedOn before the plan is committed
			}
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// placeNode is a node without regard to what runs on it, but for the ledger.
func (c *Core) placeNode(n *actual.Node, now time.Time) place.Standing {
	p := place.Standing{
		ID: n.ID, Name: n.Name, Zone: n.Zone, Status: c.cluster.Status(n, c.cfg.Limits, now), Availability: c.avail[n.ID],
		MemoryMiB: n.MemoryMiB, CPUMilli: n.CPUMilli,
	}
	if p.Status == model.NodeReady && !n.Placeable() {
		p.Status = model.NodeUnknown // its stream has ended: no new placements there (R8)
	}
	if led := c.ledger[n.ID]; led != nil {
		p.ReservedMiB, p.ReservedMilli = led.memory, led.cpu
	}
	return p
}

// countRow adds what one instance on a node means for placing another of app a.
func (c *Core) countRow(n *place.Standing, r *row, a *app, gone bool) {
	switch {
	case gone: // its row goes with this very plan
		n.ReservedMiB, n.ReservedMilli = n.ReservedMiB-r.memory, n.ReservedMilli-r.cpu
	case r.Stopping:
	default:
		if r.AppID == a.ID {
			n.OfApp++
		}
		if c.cluster.Node(r.NodeID).Observed[r.ID].Phase < model.PhaseRunning {
			n.Starting++
		}
	}
}

// undo takes the placements of plans back that could not be written.
func (c *Core) undo(todo []decided) {
	for _, d := range todo {
		for _, r := range d.starts {
			c.removeRow(r)
		}
	}
}

func (c *Core) version(releaseID string) string {
	if r, ok := c.releases[releaseID]; ok {
		return r.Version()
	}
	return "a release"
}

func (c *Core) deploymentEvent(a *app, d model.Deployment) []model.Event {
	old, had := a.deployments[d.ReleaseID]
	if had && old.Status == d.Status {
		return nil
	}
	e := model.Event{Actor: "server", Verb: "deployment." + string(d.Status), AppID: a.ID, AppName: a.Name, Subject: c.version(d.ReleaseID)}
	switch d.Status {
	case model.DeploymentRunning:
		e.Message = fmt.Sprintf("rollout of %s begins", c.version(d.ReleaseID))
	case model.DeploymentSucceeded:
		e.Message = fmt.Sprintf("%s serves on %d of %d", c.version(d.ReleaseID), a.Instances, a.Instances)
	default:
		e.Message = fmt.Sprintf("rollout of %s %s", c.version(d.ReleaseID), d.Status)
		if d.Error != nil {
			e.Message, e.Outcome = d.Error.Message, string(d.Error.Code)
		}
	}
	return []model.Event{e}
}
