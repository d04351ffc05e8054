// Package whatif answers what a change would bring, without making it: a node
// that is drained or lost, a lost zone, another release, more instances.
//
// It asks the real planner and the real placement, on a copy of what the leader
// knows, and lets whatever they decide come true at once: what is started runs
// and is healthy, what is stopped is gone. So its moves are those that the leader
// would make if nothing else happened meanwhile. It is a pure package.
package whatif

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/plan"
)

// World is the copy. Index and what Apps hold are changed by Run.
type World struct {
	Config plan.Config
	Now    time.Time
	Index  *place.Index
	Apps   []*App // those that the change touches, by ID

	made    int // instances, for their IDs
	moves   []Move
	refused map[slot]*place.Refused
	left    map[slot]string // node of the instance of a slot that was stopped last
	waited  bool            // something found room only after something else had gone
	journal []entry
	view    place.View
}

// App is one app of the copy.
type App struct {
	Input    plan.Input     // its maps, instances and what they point to are the copy's own
	Failed   map[string]int // recent failures of the wanted release, by node ID
	FailedOf string         // the release that Failed is about
}

// Move is one instance that would be placed.
type Move struct {
	App     string
	Slot    int
	Release string // version
	From    string // ID of the node of the one it replaces; "" for none
	To      string // node ID
}

// slot names one slot of one app.
type slot struct {
	app string // ID
	n   int
}

// entry is one change of the index, to be undone.
type entry struct {
	node        int
	memory, cpu int64
	starting    int
}

// limit bounds the steps of one Run. Every step starts, ends or moves something;
// the largest app has a thousand instances that are replaced one at a time in
// four steps each.
const limit = 10 * model.MaxInstances

// run lets the planner and placement work until nothing moves any more.
func (w *World) run() {
	w.refused, w.left = map[slot]*place.Refused{}, map[slot]string{}
	slices.SortFunc(w.Apps, func(a, b *App) int { return cmp.Compare(a.Input.App.ID, b.Input.App.ID) })
	for range limit {
		moved := false
		for _, a := range w.Apps {
			moved = w.round(a) || moved
		}
		for _, a := range w.Apps {
			moved = w.settle(a) || moved
		}
		if !moved {
			return
		}
	}
}

// round plans one app and carries the plan out.
func (w *World) round(a *App) (moved bool) {
	p := plan.Compute(w.Config, a.Input, w.Now)
	for _, r := range p.Reap {
		w.reap(a, r)
	}
	started := w.start(a, p)
	for _, s := range p.Stop {
		i := &a.Input.Instances[a.find(s.ID)]
		w.left[slot{a.Input.App.ID, i.Slot}] = i.NodeID
	}
	a.apply(p)
	return started || len(p.Reap)+len(p.Stop)+len(p.Suspect)+len(p.Promote)+len(p.Keep)+len(p.Deploy) > 0
}

func (w *World) reap(a *App, r plan.Reap) {
	n := a.find(r.ID)
	i := a.Input.Instances[n]
	if spec, ok := a.Input.Releases[i.ReleaseID]; ok {
		if at, known := w.Index.Number(i.NodeID); known {
			w.reserve(at, -spec.Spec.MemoryMiB, -spec.Spec.CPUMilli, 0)
		}
	}
	if r.Waits() {
		a.Input.Slots[r.Slot] = plan.Failed(w.Config, a.Input.Slots[r.Slot], i.Instance, w.Now)
	}
	if r.Failed && i.ReleaseID == a.Input.App.ReleaseID {
		a.fail(i.NodeID)
	}
	a.Input.Instances = slices.Delete(a.Input.Instances, n, n+1)
}

func (a *App) fail(node string) {
	if a.FailedOf != a.Input.App.ReleaseID {
		a.Failed, a.FailedOf = map[string]int{}, a.Input.App.ReleaseID
	}
	a.Failed[node]++
}

func (a *App) find(id string) int {
	return slices.IndexFunc(a.Input.Instances, func(i plan.Instance) bool { return i.ID == id })
}

// start places what a plan starts.
func (w *World) start(a *App, p plan.Plan) (moved bool) {
	seen := ""
	for _, s := range p.Start {
		rel, ok := a.Input.Releases[s.ReleaseID]
		if !ok {
			continue
		}
		if seen != s.ReleaseID {
			seen = s.ReleaseID
			w.lookFrom(a, seen)
		}
		req := place.For(a.Input.App, rel.Spec, s.Avoid)
		at, refused := w.Index.Pick(&req, &w.view)
		key := slot{a.Input.App.ID, s.Slot}
		if at < 0 {
			w.refused[key] = refused
			continue
		}
		w.waited = w.waited || w.refused[key] != nil
		delete(w.refused, key)
		w.reserve(at, rel.Spec.MemoryMiB, rel.Spec.CPUMilli, 1)
		w.view.Add(w.Index, at, 1)
		w.move(a, s, rel, w.Index.Node(at).ID)
		moved = true
	}
	return moved
}

// reserve takes room on a node, and notes it.
func (w *World) reserve(at int, memory, cpu int64, starting int) {
	w.Index.Reserve(at, memory, cpu)
	w.Index.Starting(at, starting)
	w.journal = append(w.journal, entry{at, memory, cpu, starting})
}

// move adds an instance that is on its way.
func (w *World) move(a *App, s plan.Start, rel model.Release, to string) {
	from := w.left[slot{a.Input.App.ID, s.Slot}] // of a singleton nothing is there any more
	for _, i := range a.Input.Instances {
		if i.Slot == s.Slot && !i.Stopping {
			from = i.NodeID
		}
	}
	w.made++
	w.moves = append(w.moves, Move{App: a.Input.App.Name, Slot: s.Slot, Release: rel.Version(), From: from, To: to})
	a.Input.Instances = append(a.Input.Instances, plan.Instance{
		Instance: model.Instance{ID: fmt.Sprintf("new-%06d", w.made), AppID: a.Input.App.ID, ReleaseID: rel.ID, Slot: s.Slot, Role: s.Role, NodeID: to, CreatedAt: w.Now},
		Node:     model.NodeReady,
	})
}

// lookFrom sets the view by which placement sees an app and a release of it.
func (w *World) lookFrom(a *App, releaseID string) {
	w.view.Reset()
	for n := range a.Input.Instances {
		i := &a.Input.Instances[n]
		at, known := w.Index.Number(i.NodeID)
		if i.Stopping || !known {
			continue
		}
		w.view.Add(w.Index, at, 1)
		if i.ReleaseID == releaseID && i.Observed != nil && i.Observed.Phase >= model.PhaseCreated {
			w.view.Image(at)
		}
	}
	for _, s := range a.Input.Slots {
		if at, known := w.Index.Number(s.Node); known {
			w.view.Fail(at, 1)
		}
	}
	if a.FailedOf != releaseID {
		return
	}
	for id, n := range a.Failed {
		if at, known := w.Index.Number(id); known {
			w.view.Fail(at, n)
		}
	}
}

// apply takes the rest of a plan into the copy.
func (a *App) apply(p plan.Plan) {
	for _, s := range p.Stop {
		i := &a.Input.Instances[a.find(s.ID)]
		i.Stopping, i.Reason = true, s.Reason
	}
	for _, id := range p.Suspect {
		a.Input.Instances[a.find(id)].Role = model.Suspect
	}
	for _, m := range p.Promote {
		a.Input.Instances[a.find(m.ID)].Role = model.Primary
	}
	for _, id := range p.Keep {
		a.Input.Instances[a.find(id)].Role = model.Primary
	}
	for _, n := range p.Calm {
		delete(a.Input.Slots, n)
	}
	for _, d := range p.Deploy {
		a.Input.Deployments[d.ReleaseID] = d
		if d.Status == model.DeploymentSucceeded {
			a.Input.LastGood = d.ReleaseID
		}
	}
}

// settle lets what was started run, and what is being stopped be gone.
func (w *World) settle(a *App) (moved bool) {
	for n := range a.Input.Instances {
		i := &a.Input.Instances[n]
		if i.Node != model.NodeReady {
			continue
		}
		phase := model.PhaseAssigned
		if i.Observed != nil {
			phase = i.Observed.Phase
		}
		switch {
		case i.Stopping && phase != model.PhaseGone:
			i.Observed = &model.Observed{ID: i.ID, Phase: model.PhaseGone, Gone: model.GoneExited}
			i.Routed, i.Exposed = false, false
			w.began(i, phase)
			moved = true
		case !i.Stopping && phase < model.PhaseRunning:
			i.Observed = &model.Observed{ID: i.ID, Phase: model.PhaseRunning, StartedAt: w.Now}
			i.Judged, i.Healthy, i.Routed, i.EverRouted, i.Exposed = true, true, true, true, true
			i.HealthyAt = w.Now.Add(-w.Config.MinReady)
			w.began(i, phase)
			moved = true
		}
	}
	return moved
}

// began counts an instance no more among those that are being started.
func (w *World) began(i *plan.Instance, was model.Phase) {
	if at, known := w.Index.Number(i.NodeID); known && was < model.PhaseRunning && !i.Stopping {
		w.reserve(at, 0, 0, -1)
	}
}

// undo gives the index back as it was before Run.
func (w *World) undo() {
	for _, e := range slices.Backward(w.journal) {
		w.Index.Release(e.node, e.memory, e.cpu)
		w.Index.Starting(e.node, -e.starting)
	}
	w.journal = w.journal[:0]
}
