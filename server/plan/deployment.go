package plan

import (
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
)

// deployments works out which release is to be kept up, and begins or ends
// deployments. A failed one is never retried by itself, so an automatic
// rollback is never followed by another.
func (p *planner) deployments() {
	if !p.App.DeletedAt.IsZero() || p.App.ReleaseID == "" {
		p.supersede("")
		return
	}
	p.count = p.App.Instances
	d, ok := p.Deployments[p.App.ReleaseID]
	if !ok {
		d = p.begin()
	}
	p.supersede(d.ReleaseID)
	p.target = d.ReleaseID
	if p.enter(d); d.Status == model.DeploymentRunning && p.hopeless(d) {
		return
	}
	p.settle(p.advance(d))
}

// settle sets what is to be kept up according to a deployment's status.
func (p *planner) settle(d model.Deployment) {
	p.target, p.spare = d.ReleaseID, d.ReleaseID
	switch {
	case d.Status == model.DeploymentFailed:
		p.target, p.spare = d.FromReleaseID, d.FromReleaseID
		if p.target == "" {
			p.count = 0 // the first release failed: there is nothing to go back to
		}
	case d.Status == model.DeploymentRunning && d.FromReleaseID != "":
		p.spare = d.FromReleaseID
	}
}

func (p *planner) begin() model.Deployment {
	d := model.Deployment{
		ReleaseID: p.App.ReleaseID, AppID: p.App.ID, FromReleaseID: p.LastGood,
		Status: model.DeploymentRunning, StartedAt: p.now, Deadline: p.now.Add(p.deadline(p.App.ReleaseID)),
	}
	p.Deployments = put(p.Deployments, d)
	p.out.Deploy = append(p.out.Deploy, d)
	for n, s := range p.Slots { // a new release begins with a clean sheet
		if s.Failures > 0 {
			p.out.Calm = append(p.out.Calm, n)
		}
	}
	p.Slots = nil
	return d
}

func put(m map[string]model.Deployment, d model.Deployment) map[string]model.Deployment {
	out := make(map[string]model.Deployment, len(m)+1)
	for k, v := range m {
		out[k] = v
	}
	out[d.ReleaseID] = d
	return out
}

// supersede ends the running deployments of all releases but one.
func (p *planner) supersede(but string) {
	for id, d := range p.Deployments {
		if id == but || d.Ended() {
			continue
		}
		d.Status, d.EndedAt = model.DeploymentSuperseded, p.now
		d.Error = model.E(model.CodeSuperseded, "%s was replaced by a newer release before it served", p.version(id))
		p.out.Deploy = append(p.out.Deploy, d)
	}
}

// hopeless ends a running deployment that cannot succeed any more.
func (p *planner) hopeless(d model.Deployment) bool {
	why := p.verdict(d)
	if why == nil {
		return false
	}
	d.Status, d.EndedAt, d.Held = model.DeploymentFailed, p.now, false
	d.Error = why.WithStill("%s", p.still(d))
	p.update(d)
	p.enter(d)
	p.settle(d)
	return true
}

// verdict says why a deployment has failed, or nil.
func (p *planner) verdict(d model.Deployment) *model.Error {
	app, v := p.App.Name, p.version(d.ReleaseID)
	if n := len(p.Failures); n >= p.cfg.MaxFailures {
		f := p.Failures[n-1]
		return model.E(f.Code, "%s failed: %d of its instances ended by themselves; the last: %s", v, n, f.Message).
			WithEvidence(f.Logs...).WithNext("dinp logs %s --release %s", app, v)
	}
	if e := p.condemned(d); e != nil {
		return e
	}
	if !p.Unplaceable.IsZero() && p.Refusal != nil && !p.Awaited {
		due := p.Unplaceable.Add(p.cfg.UnplaceableFor)
		if p.wake(due); !p.now.Before(due) && !p.leaving() {
			return p.Refusal
		}
	}
	if p.wake(d.Deadline); p.now.Before(d.Deadline) || p.stage != nil && p.complete(d) || p.unheard(d) {
		return nil
	}
	return p.late(d)
}

// unheard reports whether too little was heard in this term to hold a deadline
// against a release: if it began before the term, the deadline may have passed while
// nobody led, and its instances may be ready on nodes that are still to speak. A
// node that stays silent is lost in the end, and then waited for no more.
func (p *planner) unheard(d model.Deployment) bool {
	if heard := p.Since.Add(p.cfg.HearWithin); d.StartedAt.Before(p.Since) && p.now.Before(heard) {
		p.wake(heard)
		return true
	}
	if p.Awaited && p.Refusal != nil {
		return true
	}
	for n := range p.Instances {
		if i := &p.Instances[n]; i.ReleaseID == d.ReleaseID && !i.Stopping && i.Observed == nil && i.Node == model.NodeUnknown {
			return true
		}
	}
	return false
}

// late explains a deployment whose deadline passed, from the instance that has
// come furthest without being ready.
func (p *planner) late(d model.Deployment) *model.Error {
	v, app, limit := p.version(d.ReleaseID), p.App.Name, p.deadline(d.ReleaseID)
	if n := len(p.Failures); n > 0 {
		f := p.Failures[n-1]
		return model.E(f.Code, "%s was not ready within %s; its last instance: %s", v, limit, f.Message).
			WithEvidence(f.Logs...).WithNext("dinp logs %s --release %s", app, v)
	}
	if p.Refusal != nil {
		return p.Refusal
	}
	e := model.E(model.CodeNotReady, "%s did not become ready within %s", v, limit)
	if i := p.furthest(d.ReleaseID); i != nil && i.Observed != nil {
		e = model.E(model.CodeNotReady, "%s did not become ready within %s: an instance is %s but does not answer on port %d", v, limit, i.Observed.Phase, p.Releases[d.ReleaseID].Spec.Port)
		if i.Probe != "" {
			e = e.WithEvidence("last probe: " + i.Probe)
		}
		if i.Observed.Phase < model.PhaseRunning {
			e = model.E(model.CodeNotReady, "%s did not become ready within %s: an instance is still %s", v, limit, i.Observed.Phase)
		}
	}
	e = e.WithEvidence(p.LastLogs...)
	return e.WithNext("make the program listen on 0.0.0.0:$PORT, or set --port to the one it uses; see: dinp logs %s --release %s", app, v)
}

// furthest is the unready instance of a release in the latest phase.
func (p *planner) furthest(releaseID string) *Instance {
	var best *Instance
	for n := range p.Instances {
		i := &p.Instances[n]
		if i.ReleaseID != releaseID || i.Ready() || i.Stopping || i.Observed == nil || i.Observed.Phase == model.PhaseGone {
			continue
		}
		if best == nil || i.Observed.Phase > best.Observed.Phase {
			best = i
		}
	}
	return best
}

// Unready names the instance whose output explains why a release is not ready:
// the one that has come furthest; "" when there is none.
func (in Input) Unready(releaseID string) string {
	p := &planner{Input: in}
	if i := p.furthest(releaseID); i != nil {
		return i.ID
	}
	return ""
}

// leaving reports whether an instance of the app is being stopped: room may
// become free by itself.
func (p *planner) leaving() bool {
	for n := range p.Instances {
		if p.Instances[n].Stopping && p.Instances[n].Node == model.NodeReady {
			return true
		}
	}
	return false
}

// still says what keeps serving while a deployment fails.
func (p *planner) still(d model.Deployment) string {
	if d.FromReleaseID == "" {
		return "nothing of this app serves: it was its first release"
	}
	ready := 0
	for n := range p.Instances {
		if i := &p.Instances[n]; i.ReleaseID == d.FromReleaseID && i.Ready() {
			ready++
		}
	}
	return fmt.Sprintf("%s keeps serving %d of %d", p.version(d.FromReleaseID), ready, p.App.Instances)
}

// finish ends a deployment that has arrived, and moves a running one's deadline
// on with every slot it has won.
func (p *planner) finish() {
	d, ok := p.Deployments[p.App.ReleaseID]
	if !ok || d.Status != model.DeploymentRunning || p.count == 0 && p.App.Instances != 0 {
		return
	}
	if len(p.out.Promote) > 0 {
		d.Deadline = p.now.Add(p.deadline(d.ReleaseID))
		p.replaceDeploy(d)
	}
	for n := range p.count {
		i := p.view(n).primary
		if i == nil || i.ReleaseID != d.ReleaseID || !i.Ready() || !i.Routed {
			return
		}
	}
	if p.oldAnswers(d.ReleaseID) {
		return
	}
	d.Status, d.EndedAt = model.DeploymentSucceeded, p.now
	p.replaceDeploy(d)
}

// oldAnswers reports whether a request may still reach another release: who is
// told that a release serves must not be answered by the one before.
func (p *planner) oldAnswers(releaseID string) bool {
	for n := range p.Instances {
		if i := &p.Instances[n]; i.ReleaseID != releaseID && i.Exposed {
			return true
		}
	}
	return false
}

// replaceDeploy puts d among the deployments to write, in place of an earlier
// version of it.
func (p *planner) replaceDeploy(d model.Deployment) {
	for n := range p.out.Deploy {
		if p.out.Deploy[n].ReleaseID == d.ReleaseID {
			p.out.Deploy[n] = d
			return
		}
	}
	p.out.Deploy = append(p.out.Deploy, d)
}

// Backoff is how long a slot with so many failures still waits at now.
func (s Slot) Backoff(now time.Time) time.Duration { return max(0, s.NextStart.Sub(now)) }
