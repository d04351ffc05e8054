package plan

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/dinp/dinp/common/model"
)

// class is what an instance is at this moment. The rows of classes are tried
// in order and the first that matches decides.
type class struct {
	name  string
	match func(p *planner, i *Instance) bool
	do    func(p *planner, i *Instance)
}

var classes = []class{
	// Its agent says that it has no container and will not have one: proof.
	{"gone", func(p *planner, i *Instance) bool { return i.Observed != nil && i.Observed.Phase == model.PhaseGone }, (*planner).reap},
	// Decided already; it stays a row, and its memory reserved, until it is gone.
	{"stopping", func(p *planner, i *Instance) bool { return i.Stopping }, (*planner).ignore},
	// People deleted the app, or want fewer instances. Paused apps keep theirs.
	{"surplus", func(p *planner, i *Instance) bool { return !p.App.Paused && i.Slot >= p.count }, (*planner).surplus},
	// Its node came back while a replacement exists.
	{"suspect returned", func(p *planner, i *Instance) bool {
		return i.Role == model.Suspect && i.Node == model.NodeReady && i.Observed != nil
	}, (*planner).file},
	// Replaced already, and its node is still away: nothing can be done with it.
	{"suspect", func(p *planner, i *Instance) bool { return i.Role == model.Suspect }, (*planner).file},
	// Its node is lost for good: give the slot away, unless so many nodes are
	// away that more likely we are. A singleton may still run there: it is given
	// away only when people say that the node never returns (R11).
	{"lost", func(p *planner, i *Instance) bool {
		return i.Node == model.NodeLost && i.Role == model.Primary && !p.Frozen && !p.App.Paused && !p.App.Singleton
	}, (*planner).lose},
	// A surge instance on a lost node helps nobody; the slot tries elsewhere.
	{"surge lost", func(p *planner, i *Instance) bool {
		return i.Node == model.NodeLost && i.Role == model.Surge && !p.Frozen && !p.App.Paused
	}, (*planner).cancel},
	// Surge of a release that is not wanted any more.
	{"surge outdated", func(p *planner, i *Instance) bool {
		return i.Role == model.Surge && i.ReleaseID != p.target && !(p.stage != nil && i.ReleaseID == p.spare) && !p.App.Paused
	}, (*planner).cancel},
	// It was to replace something and never became ready: stopping it harms
	// nobody, and the slot tries again. A primary is never stopped for that; it
	// is replaced by surge, see mustLeave.
	{"surge never ready", func(p *planner, i *Instance) bool {
		return i.Role == model.Surge && !p.App.Paused && p.overdue(i)
	}, (*planner).giveUp},
	// Everything else keeps its place in its slot.
	{"kept", func(*planner, *Instance) bool { return true }, (*planner).file},
}

func (p *planner) classify() {
	for n := range p.Instances {
		if p.Instances[n].Ready() {
			p.serving++
		}
	}
	for n := range p.Instances {
		i := &p.Instances[n]
		for _, c := range classes {
			if c.match(p, i) {
				c.do(p, i)
				break
			}
		}
	}
}

func (p *planner) ignore(*Instance) {}

// reap removes the row. What ended without being asked to counts as a failure
// of its slot, unless the container was taken away behind our back or refused
// for lack of room: neither says anything about the app. An agent that cannot
// write its journal refuses everything at once; that counts. Whoever refuses, the
// slot waits: the leader believes that there is room, or it had not asked, so it
// would go back to the same node without a pause.
func (p *planner) reap(i *Instance) {
	g := i.Observed.Gone
	unable := g == model.GoneRejected && i.Observed.Code == model.CodeInternal
	failed := !i.Stopping && i.Role != model.Suspect && (g == model.GoneExited || g == model.GoneFailed || g == model.GoneOOM || unable)
	refused := !i.Stopping && g == model.GoneRejected && !unable && i.Observed.Code != ""
	r := Reap{ID: i.ID, Slot: i.Slot, Failed: failed, Refused: refused}
	p.out.Reap = append(p.out.Reap, r)
	if r.Waits() {
		s := p.Slots[i.Slot]
		p.Slots = with(p.Slots, i.Slot, Failed(p.cfg, s, i.Instance, p.now))
	}
}

// with returns a copy of m with one entry set: inputs are never changed.
func with(m map[int]Slot, k int, v Slot) map[int]Slot {
	out := make(map[int]Slot, len(m)+1)
	for i, s := range m {
		out[i] = s
	}
	out[k] = v
	return out
}

// Failed returns what to remember of a slot after one more failure, of instance
// i: the first few restarts are immediate, then the pause doubles up to its
// maximum, give or take a fifth, so that what failed together does not start
// together (R13). The fifth comes from a hash, not from chance: same input, same
// plan.
func Failed(cfg Config, s Slot, i model.Instance, now time.Time) Slot {
	s.Failures++
	s.NextStart, s.Node = now, i.NodeID
	if n := s.Failures - cfg.QuickRestarts; n > 0 {
		d := min(cfg.BackoffBase<<min(n-1, 20), cfg.BackoffMax)
		h := fnv.New32a()
		fmt.Fprint(h, i.AppID, i.Slot, s.Failures)
		s.NextStart = now.Add(d*4/5 + d*2/5*time.Duration(h.Sum32()%1024)/1024)
	}
	return s
}

// surplus takes an instance of a slot that is not wanted any more away. One that
// serves goes only when enough others do: scaling down is no outage (R12).
func (p *planner) surplus(i *Instance) {
	why := model.ReasonScaled
	switch {
	case !p.App.DeletedAt.IsZero():
		why = model.ReasonDeleted
	case p.target == "":
		why = model.ReasonAborted
	}
	if i.Ready() && p.count > 0 && p.serving <= p.count {
		p.file(i)
		return
	}
	if i.Ready() {
		p.serving--
	}
	p.stop(i, why)
}

func (p *planner) lose(i *Instance) {
	if p.view(i.Slot).suspect != nil || p.hasSuspect(i.Slot) {
		p.stop(i, model.ReasonLost) // two losses in a row: the older suspect keeps the role
		return
	}
	p.out.Suspect = append(p.out.Suspect, i.ID)
}

func (p *planner) hasSuspect(slot int) bool {
	for n := range p.Instances {
		if i := &p.Instances[n]; i.Slot == slot && i.Role == model.Suspect && !i.Stopping {
			return true
		}
	}
	return false
}

func (p *planner) cancel(i *Instance) {
	why := model.ReasonCancelled
	if d, ok := p.Deployments[i.ReleaseID]; ok && d.Status == model.DeploymentFailed {
		why = model.ReasonAborted
	}
	p.stop(i, why)
}

// giveUp stops an instance that runs but never answered.
func (p *planner) giveUp(i *Instance) { p.stop(i, model.ReasonUnhealthy) }

// overdue reports whether an instance outside a running deployment had all the
// time its release gives to become ready. Inside one, the deployment's own
// deadline decides. Without a verdict nothing is known, so nothing is overdue; and
// no leader's verdicts are older than its term, so one that was placed before has
// all of its time again: it may have been started, or probed, only now.
func (p *planner) overdue(i *Instance) bool {
	if !i.Judged || i.Healthy || !i.HealthyAt.IsZero() || i.Node != model.NodeReady || i.Observed == nil || i.Observed.Phase != model.PhaseRunning {
		return false
	}
	if d, ok := p.Deployments[i.ReleaseID]; ok && d.Status == model.DeploymentRunning {
		return false
	}
	from := i.CreatedAt
	if from.Before(p.Since) {
		from = p.Since
	}
	due := from.Add(p.deadline(i.ReleaseID))
	p.wake(due)
	return !p.now.Before(due)
}

// file puts an instance in its slot's view.
func (p *planner) file(i *Instance) {
	v := p.view(i.Slot)
	switch i.Role {
	case model.Primary:
		v.primary = i
	case model.Surge:
		v.surge = i
	case model.Suspect:
		v.suspect = i
	}
}

func (p *planner) view(slot int) *slotView {
	v := p.slots[slot]
	if v == nil {
		p.views = append(p.views, slotView{}) // pointers into what it was before stay good
		v = &p.views[len(p.views)-1]
		p.slots[slot] = v
	}
	return v
}

// Ready reports whether an instance may get requests: it runs, it is not being
// stopped, and the health monitor's last word is good. A node that is unknown
// changes nothing of that.
func (i *Instance) Ready() bool {
	return !i.Stopping && i.Healthy && i.Observed != nil && i.Observed.Phase == model.PhaseRunning
}

// Rests reports whether this instance is all there is to a slot, serves the
// wanted release and gives no cause for any step. An app whose deployment has
// succeeded, whose slots have no failures, and whose wanted slots all rest needs
// no plan: Compute would return an empty one.
func (i *Instance) Rests(app *model.App, slot int) bool {
	return i.Slot == slot && i.Role == model.Primary && i.ReleaseID == app.ReleaseID && i.Ready() && i.Routed && i.Judged &&
		i.Node == model.NodeReady && !i.Draining
}

func (p *planner) version(releaseID string) string {
	r, ok := p.Releases[releaseID]
	if !ok {
		return fmt.Sprintf("release %.8s", releaseID)
	}
	return r.Version()
}
