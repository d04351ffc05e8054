package whatif

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/plan"
)

// Answer is what a change would bring.
type Answer struct {
	Moves       []Move
	Misfits     []Misfit
	Waited      bool     // some moves find room only after others; where they go depends on which ends first
	Interrupted []string // apps that would not answer until an instance is replaced, by name
	Before      place.Room
	After       place.Room
	More        int // instances like the one asked about that would still fit; see most
}

// Misfit is a slot that would have no instance, or one that would stay where it
// must not.
type Misfit struct {
	App  string
	Slot int
	Why  *model.Error
}

// Drain answers for a node that is to be emptied.
func (w *World) Drain(nodeID string) Answer {
	out := Answer{Before: w.Index.Room()}
	w.set(nodeID, func(n *place.Node) { n.Availability = model.Draining })
	w.each(func(i *plan.Instance) {
		if i.NodeID == nodeID {
			i.Draining = true
		}
	})
	for _, a := range w.Apps {
		if a.Input.App.Singleton && a.interrupted(map[string]bool{nodeID: true}) { // it goes before its replacement starts
			out.Interrupted = append(out.Interrupted, a.Input.App.Name)
		}
	}
	slices.Sort(out.Interrupted)
	w.answer(&out)
	for _, a := range w.Apps {
		out.Misfits = append(out.Misfits, w.stays(a, nodeID)...)
	}
	return out
}

// stays are the instances that a drain does not move.
func (w *World) stays(a *App, nodeID string) (out []Misfit) {
	pending := map[int]plan.Pending{}
	for _, p := range plan.Compute(w.Config, a.Input, w.Now).Pending {
		pending[p.Slot] = p
	}
	for n := range a.Input.Instances {
		i := &a.Input.Instances[n]
		if i.NodeID != nodeID || i.Stopping || w.refused[slot{a.Input.App.ID, i.Slot}] != nil {
			continue
		}
		out = append(out, Misfit{App: a.Input.App.Name, Slot: i.Slot, Why: w.why(a, i, pending)})
	}
	return out
}

func (w *World) why(a *App, i *plan.Instance, pending map[int]plan.Pending) *model.Error {
	name := a.Input.App.Name
	if a.Input.App.Paused {
		return model.E(model.CodeConflict, "%s is paused: what runs of it is left where it is", name).WithNext("dinp pause %s off", name)
	}
	if p, waits := pending[i.Slot]; waits {
		return model.E(p.Code, "%s", p.Message).WithNext("dinp explain %s %d", name, i.Slot)
	}
	for _, key := range w.keys() { // one that would go first finds no room
		if key.app == a.Input.App.ID {
			return w.refused[key].Error(w.name(key.app))
		}
	}
	return model.E(model.CodeConflict, "it would not be moved as the app is now").WithNext("dinp explain %s %d", name, i.Slot)
}

// Lose answers for nodes that are gone for good.
func (w *World) Lose(nodeIDs ...string) Answer {
	out, lost := Answer{Before: w.Index.Room()}, map[string]bool{}
	for _, id := range nodeIDs {
		lost[id] = true
		w.set(id, func(n *place.Node) { n.Status = model.NodeLost })
	}
	w.each(func(i *plan.Instance) {
		if lost[i.NodeID] {
			i.Node = model.NodeLost
		}
	})
	for _, a := range w.Apps {
		a.Input.Frozen = false // it is known, not believed
		if a.interrupted(lost) {
			out.Interrupted = append(out.Interrupted, a.Input.App.Name)
		}
	}
	slices.Sort(out.Interrupted)
	w.answer(&out)
	return out
}

// Try answers as Lose does for one node, and leaves the index as it was: one copy
// of it serves for many nodes.
func (w *World) Try(nodeID string) Answer {
	at, ok := w.Index.Number(nodeID)
	if !ok {
		return Answer{}
	}
	before := w.Index.Node(at)
	out := w.Lose(nodeID)
	w.undo()
	w.Index.Set(before)
	return out
}

// interrupted reports whether an app that serves does so on these nodes alone.
func (a *App) interrupted(lost map[string]bool) bool {
	serves := false
	for n := range a.Input.Instances {
		i := &a.Input.Instances[n]
		if !i.Ready() {
			continue
		}
		if !lost[i.NodeID] {
			return false
		}
		serves = true
	}
	return serves
}

// Deploy answers for a new release of the only app, of which change says what is
// not as in the present one; with 0 instances their number stays. A release that
// goes by stages has passed them all unjudged: what counts is the room they take.
func (w *World) Deploy(change model.DeployRequest, instances int) Answer {
	in := &w.Apps[0].Input
	next := in.Releases[in.App.ReleaseID]
	next.ID, next.Number, next.Cause = "whatif", next.Number+1, model.CauseDeploy
	next.Spec = change.Apply(next.Spec)
	in.Releases[next.ID] = next
	in.App.Promoted = next.ID
	in.App.ReleaseID, in.Failures, in.Refusal, in.Awaited, in.Unplaceable = next.ID, nil, nil, false, time.Time{}
	if instances > 0 {
		in.App.Instances = instances
	}
	down := in.App.Singleton && slices.ContainsFunc(in.Instances, func(i plan.Instance) bool { return i.Ready() })
	out := w.answerFor(next.Spec)
	if down {
		out.Interrupted = []string{in.App.Name}
	}
	return out
}

// Add answers for n more instances of the only app.
func (w *World) Add(n int) Answer {
	in := &w.Apps[0].Input
	in.App.Instances += n
	return w.answerFor(in.Releases[in.App.ReleaseID].Spec)
}

func (w *World) set(nodeID string, change func(*place.Node)) {
	at, ok := w.Index.Number(nodeID)
	if !ok {
		return
	}
	n := w.Index.Node(at)
	change(&n)
	w.Index.Set(n)
}

func (w *World) each(f func(*plan.Instance)) {
	for _, a := range w.Apps {
		for n := range a.Input.Instances {
			f(&a.Input.Instances[n])
		}
	}
}

// answer lets the change come true.
func (w *World) answer(out *Answer) {
	w.run()
	out.Moves, out.Waited, out.After = w.moves, w.waited, w.Index.Room()
	for _, key := range w.keys() {
		out.Misfits = append(out.Misfits, Misfit{App: w.name(key.app), Slot: key.n, Why: w.refused[key].Error(w.name(key.app))})
	}
}

// most is how far is counted what would still fit.
const most = model.MaxInstances

// answerFor counts also what would still fit of a size.
func (w *World) answerFor(spec model.Spec) Answer {
	out := Answer{Before: w.Index.Room()}
	w.answer(&out)
	a := w.Apps[0]
	w.lookFrom(a, a.Input.App.ReleaseID)
	req := place.For(a.Input.App, spec, "")
	for out.More < most {
		at, _ := w.Index.Pick(&req, &w.view)
		if at < 0 {
			break
		}
		w.Index.Take(at, &req, &w.view)
		out.More++
	}
	return out
}

// keys are the slots that found no room, in order.
func (w *World) keys() []slot {
	var out []slot
	for key := range w.refused {
		out = append(out, key)
	}
	slices.SortFunc(out, func(a, b slot) int {
		if a.app == b.app {
			return a.n - b.n
		}
		return strings.Compare(a.app, b.app)
	})
	return out
}

func (w *World) name(appID string) string {
	for _, a := range w.Apps {
		if a.Input.App.ID == appID {
			return a.Input.App.Name
		}
	}
	return appID
}

// Sentence is an answer in one line.
func (a *Answer) Sentence(what string) string {
	s := fmt.Sprintf("%s: %s would be placed", what, model.Count(len(a.Moves), "instance"))
	if n := len(a.Misfits); n > 0 {
		return fmt.Sprintf("%s, and %d would not fit", s, n)
	}
	return s + ", and all would fit"
}
