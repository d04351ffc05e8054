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
func (l *Loop) planDirty(ctx context.Context, now time.Time) error {
	ids := slices.Sorted(maps.Keys(l.dirty))
	if len(ids) == 0 && len(l.newNodes) == 0 {
		return nil
	}
	var batch store.Control
	l.writeNodes(&batch)
	todo := make([]decided, 0, len(ids))
	frozen := l.cluster.Frozen(l.cfg.Limits, now)
	for _, id := range ids {
		a := l.apps[id]
		if a == nil || a.Name == "" {
			continue
		}
		d, ok := l.decide(a, frozen, now)
		if ok {
			l.enter(&d, &batch, now)
			todo = append(todo, d)
		}
	}
	if !batch.Empty() {
		if err := l.store.Apply(ctx, l.lease, batch); err != nil {
			l.undo(todo)
			return err
		}
	}
	clear(l.newNodes)
	for _, id := range ids {
		delete(l.dirty, id)
	}
	for _, d := range todo {
		l.commit(d, now)
	}
	for _, id := range ids {
		if a := l.apps[id]; a != nil && a.Name != "" {
			l.act(ctx, a, now)
		}
	}
	return nil
}

func (l *Loop) writeNodes(batch *store.Control) {
	for _, id := range slices.Sorted(maps.Keys(l.newNodes)) {
		batch.Nodes = append(batch.Nodes, l.cluster.Node(id).Node)
	}
}

// decide asks the planner. ok is false when the plan must wait for an
// instance's output, which its explanation is to show.
func (l *Loop) decide(a *app, frozen bool, now time.Time) (decided, bool) {
	in := l.input(a, frozen, now)
	p := plan.Compute(l.cfg.Plan, in, now)
	if l.wantsTail(a, in, p) {
		return decided{}, false
	}
	return decided{app: a, plan: p}, true
}

// input puts together what the planner needs of one app.
func (l *Loop) input(a *app, frozen bool, now time.Time) plan.Input {
	in := plan.Input{
		App: a.App, Releases: l.releases, Deployments: a.deployments, LastGood: a.lastGood, Slots: a.slots,
		Unplaceable: a.unplaceable, Refusal: a.refusal, Frozen: frozen,
	}
	if a.failuresOf == a.ReleaseID {
		in.Failures = a.failures
	}
	if a.tail != nil && a.tail.releaseID == a.ReleaseID {
		in.LastLogs = a.tail.lines
	}
	for _, r := range sortedRows(a.rows) {
		in.Instances = append(in.Instances, l.view(r, now))
	}
	return in
}

func sortedRows(m map[string]*row) []*row {
	return slices.SortedFunc(maps.Values(m), func(x, y *row) int {
		return cmp.Or(cmp.Compare(x.Slot, y.Slot), cmp.Compare(x.ID, y.ID))
	})
}

// view is one instance as the planner sees it.
func (l *Loop) view(r *row, now time.Time) plan.Instance {
	n := l.cluster.Node(r.NodeID)
	v := l.cluster.Verdicts[r.ID]
	i := plan.Instance{
		Instance: r.Instance, Judged: v.Judged, Healthy: v.Healthy, HealthyAt: v.HealthyAt, SickAt: v.SickAt, Probe: v.Evidence,
		Node: l.cluster.Status(n, l.cfg.Limits, now), Draining: l.avail[r.NodeID] == model.Draining,
		Routed: r.inRoutes && l.pub.Served() >= r.routeRev, EverRouted: r.everRouted,
		Exposed: r.everRouted && (r.inRoutes || l.pub.Served() < r.routeRev),
	}
	if o, ok := n.Observed[r.ID]; ok {
		i.Observed = &o
	}
	r.seenRouted = r.seenRouted || i.Routed
	return i
}

// enter turns a plan into database writes, placing what is to start. The ledger
// already counts what this round placed.
func (l *Loop) enter(d *decided, batch *store.Control, now time.Time) {
	a := d.app
	for _, r := range d.plan.Reap {
		batch.Delete = append(batch.Delete, r.ID)
		l.enterReap(a, r, batch, now)
	}
	for _, s := range d.plan.Stop {
		i := l.rows[s.ID].Instance
		i.Stopping, i.Reason, i.StoppedAt = true, s.Reason, now
		batch.Stop = append(batch.Stop, i)
	}
	for id, role := range roles(d.plan) {
		i := l.rows[id].Instance
		i.Role = role
		batch.Role = append(batch.Role, i)
	}
	for _, n := range d.plan.Calm {
		batch.Slots = append(batch.Slots, store.Slot{AppID: a.ID, Slot: n})
	}
	batch.Deployments = append(batch.Deployments, d.plan.Deploy...)
	for _, dep := range d.plan.Deploy {
		batch.Events = append(batch.Events, l.deploymentEvent(a, dep)...)
	}
	l.enterStarts(d, batch, now)
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

func (l *Loop) enterReap(a *app, r plan.Reap, batch *store.Control, now time.Time) {
	i := l.view(l.rows[r.ID], now)
	if r.Failed {
		s := plan.Failed(l.cfg.Plan, a.slots[r.Slot], now)
		batch.Slots = append(batch.Slots, store.Slot{AppID: a.ID, Slot: r.Slot, Failures: s.Failures, NextStart: s.NextStart.UnixMilli()})
	}
	if i.Stopping {
		return
	}
	o := i.Observed
	detail, err := json.Marshal(map[string]any{"node": l.cluster.Node(i.NodeID).Name, "exit_code": o.ExitCode, "logs": o.Logs})
	if err != nil {
		detail = []byte("{}")
	}
	batch.Events = append(batch.Events, model.Event{
		Actor: "server", Verb: "instance.gone", AppID: a.ID, AppName: a.Name, Subject: i.ID, Detail: string(detail), Outcome: string(cmp.Or(o.Code, model.Code(o.Gone))),
		Message: fmt.Sprintf("instance %d of %s on %s: %s", i.Slot, l.version(i.ReleaseID), l.cluster.Node(i.NodeID).Name, cmp.Or(o.Message, string(o.Gone))),
	})
}

// enterStarts places new instances one by one, so that each sees what the ones
// before it took.
func (l *Loop) enterStarts(d *decided, batch *store.Control, now time.Time) {
	a := d.app
	a.pending = d.plan.Pending
	var refusal *model.Error
	for _, s := range d.plan.Start {
		rel, ok := l.releases[s.ReleaseID]
		if !ok {
			l.swept = time.Time{} // it will be read in the next sweep
			continue
		}
		nodes := l.placeNodes(a, d, s.ReleaseID, now)
		at, refused := place.Pick(nodes, place.Request{MemoryMiB: rel.Spec.MemoryMiB, CPUMilli: rel.Spec.CPUMilli, Avoid: s.Avoid})
		if at < 0 {
			e := refused.Error()
			a.pending = append(a.pending, plan.Pending{Slot: s.Slot, Code: e.Code, Message: e.Message})
			if s.ReleaseID == a.ReleaseID {
				refusal = e
			}
			continue
		}
		r := &row{Instance: model.Instance{
			ID: store.NewID(), AppID: a.ID, ReleaseID: s.ReleaseID, Slot: s.Slot, Role: s.Role,
			NodeID: nodes[at].ID, Epoch: l.lease.Epoch, CreatedAt: now.UTC(),
		}, memory: rel.Spec.MemoryMiB, cpu: rel.Spec.CPUMilli}
		l.addRow(r)
		d.starts = append(d.starts, r)
		batch.Insert = append(batch.Insert, r.Instance)
	}
	l.refused(a, refusal, now)
}

// refused remembers since when the wanted release finds no room.
func (l *Loop) refused(a *app, e *model.Error, now time.Time) {
	a.refusal = e
	switch {
	case e == nil:
		a.unplaceable = time.Time{}
	case a.unplaceable.IsZero():
		a.unplaceable = now
	}
}

// placeNodes is the cluster as placement sees it for a release of one app.
func (l *Loop) placeNodes(a *app, d *decided, releaseID string, now time.Time) []place.Node {
	reaped := map[string]plan.Reap{}
	for _, r := range d.plan.Reap {
		reaped[r.ID] = r
	}
	nodes := make([]place.Node, 0, len(l.cluster.Nodes))
	for _, id := range slices.Sorted(maps.Keys(l.cluster.Nodes)) {
		n := l.placeNode(l.cluster.Nodes[id], now)
		if a.failuresOf == releaseID {
			n.Failures = a.failedOn[id]
		}
		for _, r := range l.byNode[id] {
			reap, gone := reaped[r.ID]
			l.countRow(&n, r, a, gone)
			if reap.Failed && r.ReleaseID == releaseID {
				n.Failures++ // not in failedOn before the plan is committed
			}
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// placeNode is a node without regard to what runs on it, but for the ledger.
func (l *Loop) placeNode(n *actual.Node, now time.Time) place.Node {
	p := place.Node{
		ID: n.ID, Name: n.Name, Zone: n.Zone, Status: l.cluster.Status(n, l.cfg.Limits, now), Availability: l.avail[n.ID],
		MemoryMiB: n.MemoryMiB, CPUMilli: n.CPUMilli,
	}
	if p.Status == model.NodeReady && !n.Placeable() {
		p.Status = model.NodeUnknown // its stream has ended: no new placements there (R8)
	}
	if led := l.ledger[n.ID]; led != nil {
		p.ReservedMiB, p.ReservedMilli = led.memory, led.cpu
	}
	return p
}

// countRow adds what one instance on a node means for placing another of app a.
func (l *Loop) countRow(n *place.Node, r *row, a *app, gone bool) {
	switch {
	case gone: // its row goes with this very plan
		n.ReservedMiB, n.ReservedMilli = n.ReservedMiB-r.memory, n.ReservedMilli-r.cpu
	case r.Stopping:
	default:
		if r.AppID == a.ID {
			n.OfApp++
		}
		if l.cluster.Node(r.NodeID).Observed[r.ID].Phase < model.PhaseRunning {
			n.Starting++
		}
	}
}

// undo takes the placements of plans back that could not be written.
func (l *Loop) undo(todo []decided) {
	for _, d := range todo {
		for _, r := range d.starts {
			l.removeRow(r)
		}
	}
}

func (l *Loop) version(releaseID string) string {
	if r, ok := l.releases[releaseID]; ok {
		return r.Version()
	}
	return "a release"
}

func (l *Loop) deploymentEvent(a *app, d model.Deployment) []model.Event {
	old, had := a.deployments[d.ReleaseID]
	if had && old.Status == d.Status {
		return nil
	}
	e := model.Event{Actor: "server", Verb: "deployment." + string(d.Status), AppID: a.ID, AppName: a.Name, Subject: l.version(d.ReleaseID)}
	switch d.Status {
	case model.DeploymentRunning:
		e.Message = fmt.Sprintf("rollout of %s begins", l.version(d.ReleaseID))
	case model.DeploymentSucceeded:
		e.Message = fmt.Sprintf("%s serves on %d of %d", l.version(d.ReleaseID), a.Instances, a.Instances)
	default:
		e.Message = fmt.Sprintf("rollout of %s %s", l.version(d.ReleaseID), d.Status)
		if d.Error != nil {
			e.Message, e.Outcome = d.Error.Message, string(d.Error.Code)
		}
	}
	return []model.Event{e}
}
