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

// batchInserts is how many placements go into one transaction.
const batchInserts = 500

// planDirty plans the dirty apps, some at a time: each lot is written in one
// transaction, and only then acted upon.
func (c *Core) planDirty(ctx context.Context, now time.Time) error {
	ids := slices.Sorted(maps.Keys(c.dirty))
	for len(ids) > 0 || len(c.newNodes) > 0 {
		n, err := c.planLot(ctx, ids, now)
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	if err := c.cordonBad(ctx, now); err != nil {
		return err
	}
	return c.dropForgotten(ctx)
}

// planLot plans apps until there is enough to write, and returns how many.
func (c *Core) planLot(ctx context.Context, ids []string, now time.Time) (n int, err error) {
	var batch store.Control
	var todo []decided
	c.writeNodes(&batch)
	for n < len(ids) && len(batch.Insert) < batchInserts {
		a := c.apps[ids[n]]
		n++
		if a == nil || a.Name == "" {
			continue
		}
		c.planned++
		if d, ok := c.decide(a, now); ok {
			c.enter(&d, &batch, now)
			todo = append(todo, d)
		}
	}
	if !batch.Empty() {
		if err := c.deps.Store.Apply(ctx, c.lease, batch); err != nil {
			c.undo(todo)
			return 0, err
		}
	}
	clear(c.newNodes)
	for _, id := range ids[:n] {
		delete(c.dirty, id)
	}
	for _, d := range todo {
		c.commit(d, now)
	}
	for _, id := range ids[:n] {
		if a := c.apps[id]; a != nil && a.Name != "" {
			c.act(ctx, a, now)
		}
	}
	return n, nil
}

func (c *Core) writeNodes(batch *store.Control) {
	for _, id := range slices.Sorted(maps.Keys(c.newNodes)) {
		batch.Nodes = append(batch.Nodes, c.nodes[id].Node.Node)
	}
}

// decide asks the planner. ok is false when the plan must wait for an
// instance's output, which its explanation is to show.
func (c *Core) decide(a *app, now time.Time) (decided, bool) {
	if a.idle() { // most are when a term begins
		c.seeRouted(a)
		return decided{app: a}, true
	}
	in := c.input(a, &c.room)
	p := plan.Compute(c.cfg.Plan, in, now)
	if c.wantsTail(a, in, p) {
		return decided{}, false
	}
	p.Deploy = c.withResumed(a, p.Deploy)
	return decided{app: a, plan: p}, true
}

// room is where an app's instances are put together for the planner, one app's
// after the other's.
type room struct {
	instances []plan.Instance
	told      []model.Observed // what was observed of each
}

// input puts together what the planner needs of one app, in a room that is used
// again, or in its own if that is nil.
func (c *Core) input(a *app, at *room) plan.Input {
	in := plan.Input{
		App: a.App, Releases: c.releases, Deployments: a.deployments, LastGood: a.lastGood, Slots: a.slots,
		Unplaceable: a.unplaceable, Refusal: a.refusal, Awaited: a.awaited, Frozen: c.cluster.Frozen(), MassSick: c.cluster.Sick.Mass(), Nodes: len(c.nodes),
		Since: c.acts, Trial: c.trialOf(a), Stray: c.stray(a),
	}
	if a.failuresOf == a.ReleaseID {
		in.Failures = a.failures
	}
	if a.tail != nil && a.tail.releaseID == a.ReleaseID {
		in.LastLogs = a.tail.lines
	}
	if at == nil {
		at = new(room)
	}
	at.told = slices.Grow(at.told[:0], len(a.rows))[:len(a.rows)]
	at.instances = slices.Grow(at.instances[:0], len(a.rows))
	for n, r := range a.rows {
		at.instances = append(at.instances, c.view(r, &at.told[n]))
	}
	in.Instances = at.instances
	return in
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
	row := c.rows[r.ID]
	c.free(row)
	if r.Waits() {
		s := plan.Failed(c.cfg.Plan, a.slots[r.Slot], row.Instance, now)
		batch.Slots = append(batch.Slots, store.Slot{AppID: a.ID, Slot: r.Slot, Failures: s.Failures, NextStart: s.NextStart.UnixMilli(), Node: s.Node})
	}
	if row.Stopping {
		return
	}
	i, o := row.Instance, row.observed(new(model.Observed))
	detail, err := json.Marshal(map[string]any{"node": row.node.Name, "exit_code": o.ExitCode, "logs": o.Logs})
	if err != nil {
		detail = []byte("{}")
	}
	batch.Events = append(batch.Events, model.Event{
		Actor: "server", Verb: "instance.gone", AppID: a.ID, AppName: a.Name, Subject: i.ID, Detail: string(detail), Outcome: string(cmp.Or(o.Code, model.Code(o.Gone))),
		Message: fmt.Sprintf("instance %d of %s on %s: %s", i.Slot, c.version(i.ReleaseID), row.node.Name, cmp.Or(o.Message, string(o.Gone))),
	})
}

// enterStarts places new instances one by one, so that each sees what the ones
// before it took.
func (c *Core) enterStarts(d *decided, batch *store.Control, now time.Time) {
	a := d.app
	a.pending = d.plan.Pending
	var refusal *place.Refused
	said := map[*place.Refused]*model.Error{} // most starts of an app are refused alike
	var roomless map[int]time.Time
	search := c.search(d)
	for _, s := range d.plan.Start {
		rel, ok := c.releases[s.ReleaseID]
		if !ok {
			c.swept = time.Time{} // it will be read in the next sweep
			continue
		}
		at, refused := search.node(s, rel.Spec)
		if at < 0 {
			e := said[refused]
			if e == nil {
				e = refused.Error(a.Name)
				said[refused] = e
			}
			a.pending = append(a.pending, plan.Pending{Slot: s.Slot, Code: e.Code, Message: e.Message})
			if roomless == nil {
				roomless = map[int]time.Time{}
			}
			roomless[s.Slot] = cmp.Or(a.roomless[s.Slot], now)
			if s.ReleaseID == a.ReleaseID {
				refusal = refused
			}
			continue
		}
		r := &row{Instance: model.Instance{
			ID: c.deps.NewID(), AppID: a.ID, ReleaseID: rel.ID, Slot: s.Slot, Role: s.Role,
			NodeID: c.index.Node(at).ID, Epoch: c.lease.Epoch, CreatedAt: now.UTC(),
		}, memory: int32(rel.Spec.MemoryMiB), cpu: int32(rel.Spec.CPUMilli)}
		c.addRow(r)
		search.took(at)
		d.starts = append(d.starts, r)
		batch.Insert = append(batch.Insert, r.Instance)
	}
	a.roomless = roomless
	c.refused(a, refusal, now)
}

// refused remembers since when the wanted release finds no room.
func (c *Core) refused(a *app, r *place.Refused, now time.Time) {
	if r == nil {
		a.refusal, a.awaited, a.unplaceable = nil, false, time.Time{}
		return
	}
	a.refusal, a.awaited = r.Error(a.Name), r.Silent() > 0
	if a.unplaceable.IsZero() {
		a.unplaceable = now
	}
}

// undo takes the placements of plans back that could not be written.
func (c *Core) undo(todo []decided) {
	for _, d := range todo {
		for _, r := range d.starts {
			c.removeRow(r)
		}
		for _, r := range d.plan.Reap {
			c.unfree(c.rows[r.ID])
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
		return c.stageEvent(a, old, d)
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

// stageEvent tells of a step that a deployment has passed, or that it is held at.
func (c *Core) stageEvent(a *app, old, d model.Deployment) []model.Event {
	e := model.Event{Actor: "server", AppID: a.ID, AppName: a.Name, Subject: c.version(d.ReleaseID)}
	switch {
	case d.Stage != old.Stage:
		e.Verb, e.Message = "deployment.step", fmt.Sprintf("%s has passed step %d", e.Subject, max(d.Stage, 1))
		if d.Judgement != "" {
			e.Message += ": " + d.Judgement
		}
	case d.Held && !old.Held:
		e.Verb, e.Outcome, e.Message = "deployment.held", string(model.CodeHeld), e.Subject+" is held "+d.Judgement
	default:
		return nil
	}
	return []model.Event{e}
}
