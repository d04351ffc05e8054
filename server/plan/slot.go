package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
)

// slot decides for one wanted slot.
func (p *planner) slot(n int) {
	v := p.view(n)
	p.returned(v)
	p.calm(n, v.primary)
	switch {
	case v.primary == nil:
		p.fill(n, v)
	case v.surge != nil && p.App.Singleton:
		p.stop(v.surge, model.ReasonCancelled) // it became a singleton in the middle of a rollout
		v.surge = nil
	case v.surge != nil && p.mayPromote(v):
		p.out.Promote = append(p.out.Promote, Promotion{ID: v.surge.ID, Slot: n})
		p.stop(v.primary, p.replacedWhy(v.primary))
		v.primary, v.surge = v.surge, nil
	case v.surge != nil && !p.isBeside(v) && !p.mustLeave(v.primary) && (v.primary.Ready() || !v.surge.Ready()):
		// What it was to replace is well again. One that serves stays until that one
		// does: a node that falls silent makes its instances no better.
		p.stop(v.surge, model.ReasonCancelled)
		v.surge = nil
	}
}

// returned settles a slot whose lost node came back (R10): the original serves
// on if its replacement is not ready, else it is drained like any other. One of a
// release that is wanted no more, because its rollout has failed meanwhile, serves
// until its replacement does.
func (p *planner) returned(v *slotView) {
	s := v.suspect
	if s == nil || s.Node != model.NodeReady || s.Observed == nil {
		return
	}
	if v.primary != nil && v.primary.Ready() || s.Observed.Phase != model.PhaseRunning {
		p.stop(s, model.ReasonLost)
		v.suspect = nil
		return
	}
	if v.primary != nil {
		if s.ReleaseID != p.target && s.ReleaseID != p.spare {
			return
		}
		p.stop(v.primary, model.ReasonCancelled)
	}
	p.out.Keep = append(p.out.Keep, s.ID)
	v.primary, v.suspect = s, nil
}

// fill gives a slot without primary one: a surge instance that is ready takes
// it at once; otherwise a new one is started, at the last good release while a
// deployment runs (R14).
func (p *planner) fill(n int, v *slotView) {
	if v.surge != nil {
		if v.surge.Ready() && (p.stage == nil || v.surge.ReleaseID == p.spare) {
			p.out.Promote = append(p.out.Promote, Promotion{ID: v.surge.ID, Slot: n})
			v.primary, v.surge = v.surge, nil
			return
		}
		if p.spare == p.target {
			return // it is on its way, and nothing better could be started
		}
	}
	release := p.spare
	if p.App.Singleton { // nothing serves meanwhile, so the wanted release may as well be tried
		release = p.target
	}
	if p.waits(n) || p.crashing(n, release) || p.notAlone(n) {
		return
	}
	p.out.Start = append(p.out.Start, Start{Slot: n, Role: model.Primary, ReleaseID: release})
}

// notAlone reports whether a singleton has to wait until what was before it is
// gone, as its agent says (R11), and notes it.
func (p *planner) notAlone(slot int) bool {
	if !p.App.Singleton {
		return false
	}
	if p.Stray != "" {
		p.wake(p.now.Add(strayEvery))
		p.out.Pending = append(p.out.Pending, Pending{Slot: slot, Code: model.CodeAlone, Message: p.Stray})
		return true
	}
	for n := range p.Instances {
		if i := &p.Instances[n]; i.Observed == nil || i.Observed.Phase != model.PhaseGone {
			p.out.Pending = append(p.out.Pending, Pending{Slot: slot, Code: model.CodeAlone, Message: "a singleton runs once the instance before it is gone"})
			return true
		}
	}
	return false
}

// strayEvery is how often it is looked whether a singleton's stray is gone.
const strayEvery = time.Second

// crashing reports whether a slot may not be started because the release fails
// everywhere and one instance of it is being tried already (R13).
func (p *planner) crashing(n int, releaseID string) bool {
	nodes := p.failing()
	if nodes < min(crashingNodes, max(1, p.Nodes)) || !p.probing(releaseID) {
		return false
	}
	p.out.Pending = append(p.out.Pending, Pending{
		Slot: n, Code: model.CodeCrashed,
		Message: fmt.Sprintf("crashing: instances ended by themselves on %d nodes, so one at a time is tried", nodes),
	})
	return true
}

// crashingNodes is on how many nodes a release must fail to be at fault itself.
const crashingNodes = 3

// failing is the number of nodes on which slots failed last, of those slots that
// failed more often than accidents explain.
func (p *planner) failing() int {
	nodes := map[string]bool{}
	for _, s := range p.Slots {
		if s.Failures > p.cfg.QuickRestarts {
			nodes[s.Node] = true
		}
	}
	return len(nodes)
}

// probing reports whether an instance of a release is on its way, or is started
// by this plan.
func (p *planner) probing(releaseID string) bool {
	for _, s := range p.out.Start {
		if s.ReleaseID == releaseID {
			return true
		}
	}
	for n := range p.Instances {
		i := &p.Instances[n]
		gone := i.Observed != nil && i.Observed.Phase == model.PhaseGone
		if i.ReleaseID == releaseID && !i.Stopping && !gone && i.Role != model.Suspect && !i.Ready() {
			return true
		}
	}
	return false
}

// waits reports whether a slot's back-off is not over yet, and notes it.
func (p *planner) waits(n int) bool {
	s, ok := p.Slots[n]
	if !ok || !p.now.Before(s.NextStart) {
		return false
	}
	p.wake(s.NextStart)
	p.out.Pending = append(p.out.Pending, Pending{
		Slot: n, Code: model.CodeCrashed, Until: s.NextStart,
		Message: fmt.Sprintf("its instances ended by themselves or were refused %d times; the next start is in %s", s.Failures, s.NextStart.Sub(p.now).Round(time.Second)),
	})
	return true
}

// calm forgets a slot's failures once its primary was ready for long (R13).
func (p *planner) calm(n int, i *Instance) {
	if p.Slots[n].Failures == 0 || i == nil || !i.Ready() {
		return
	}
	due := i.HealthyAt.Add(p.cfg.CalmAfter)
	if p.wake(due); !p.now.Before(due) {
		p.out.Calm = append(p.out.Calm, n)
	}
}

// mustLeave reports whether a primary is to be replaced by surge: it is of
// another release and no stage keeps it, its node is to be emptied, or it has
// been unhealthy too long.
func (p *planner) mustLeave(i *Instance) bool {
	if i.ReleaseID != p.target && p.stage == nil || i.Draining || p.overdue(i) {
		return true
	}
	if i.SickAt.IsZero() || i.Healthy || i.Node != model.NodeReady || p.MassSick {
		return false
	}
	due := i.SickAt.Add(p.cfg.UnhealthyFor)
	p.wake(due)
	return !p.now.Before(due)
}

func (p *planner) replacedWhy(i *Instance) model.Reason {
	switch {
	case i.ReleaseID != p.target && p.stage == nil:
		return model.ReasonReplaced
	case i.Draining:
		return model.ReasonDrained
	}
	return model.ReasonUnhealthy
}

// mayPromote reports whether a surge instance may take its slot: it is of the
// wanted release, or of the old one while a stage lasts, gets requests from every
// router, and was ready long enough; the last does not matter when what it
// replaces is not ready itself.
func (p *planner) mayPromote(v *slotView) bool {
	s := v.surge
	if s.ReleaseID != p.target && s.ReleaseID != p.successor(v.primary) || !s.Ready() || !s.Routed || !p.mustLeave(v.primary) {
		return false
	}
	if !v.primary.Ready() {
		return true
	}
	due := s.HealthyAt.Add(p.cfg.MinReady)
	p.wake(due)
	return !p.now.Before(due)
}

// surge starts replacements for primaries that must leave, within the budget.
// One failing new instance brings the budget down to one at a time.
func (p *planner) surge() {
	p.besides()
	budget := p.budget()
	for n := range p.count {
		if v := p.slots[n]; v != nil && v.surge != nil && !p.isBeside(v) {
			budget--
		}
	}
	for n := range p.count {
		v := p.view(n)
		if budget <= 0 {
			return
		}
		if p.App.Singleton {
			p.stopFirst(v)
			continue
		}
		if v.primary == nil || v.surge != nil || !p.mustLeave(v.primary) || p.promoted(n) || p.started(n) || p.waits(n) || p.crashing(n, p.successor(v.primary)) {
			continue
		}
		p.out.Start = append(p.out.Start, Start{Slot: n, Role: model.Surge, ReleaseID: p.successor(v.primary), Avoid: p.avoid(v.primary)})
		budget--
	}
}

// stopFirst ends a singleton's instance that is to be replaced: the next one is
// started when it is gone.
func (p *planner) stopFirst(v *slotView) {
	if v.primary != nil && !v.primary.Stopping && p.mustLeave(v.primary) {
		p.stop(v.primary, p.replacedWhy(v.primary))
	}
}

func (p *planner) avoid(i *Instance) string {
	if i.Draining {
		return i.NodeID
	}
	return ""
}

func (p *planner) promoted(slot int) bool {
	for _, m := range p.out.Promote {
		if m.Slot == slot {
			return true
		}
	}
	return false
}

func (p *planner) started(slot int) bool {
	return slices.ContainsFunc(p.out.Start, func(s Start) bool { return s.Slot == slot })
}

func (p *planner) budget() int {
	if len(p.Failures) > 0 {
		return 1
	}
	return max(1, (p.count*p.cfg.SurgePercent+99)/100)
}

func (p *planner) deadline(releaseID string) time.Duration {
	if r, ok := p.Releases[releaseID]; ok && r.Spec.Deadline > 0 {
		return time.Duration(r.Spec.Deadline)
	}
	return time.Duration(model.DefaultDeadline)
}
