package plan

import (
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
)

// A deployment goes through its release's stages (model.Stage), in which the new
// release runs beside the old one and gets a share of the requests, and then as
// a rolling one does, which has no stages. All there is to a stage is how many
// instances, which share, how long, and whether they are judged; so canary and
// bluegreen are lists of stages, and rolling is the empty one.

// Trial is what was counted since a stage was first complete, in this term: a
// new leader lets it begin anew.
type Trial struct {
	Key      string // Plan.Watch at that time
	Since    time.Time
	New, Old Counted
}

// Counted are a release's answers.
type Counted struct {
	Requests, Failed uint64 // failed: 5xx
	P95              time.Duration
}

func (c Counted) failing() float64 { return float64(c.Failed) / float64(max(c.Requests, 1)) }

// String is the counts in words, as people are shown them.
func (c Counted) String() string {
	if c.Requests == 0 {
		return "no requests"
	}
	return fmt.Sprintf("%d of %d requests failed (%.1f %%), p95 %s", c.Failed, c.Requests, 100*c.failing(), c.P95.Round(100*time.Microsecond))
}

// stages of an app's movement to a release: none where there is nothing it could
// run beside.
func stages(app model.App, d model.Deployment, r model.Release) []model.Stage {
	if d.FromReleaseID == "" || app.Singleton || app.Instances == 0 || !app.DeletedAt.IsZero() {
		return nil
	}
	return r.Stages()
}

// Split says which share of an app's requests its new release gets while a stage
// lasts.
type Split struct {
	Percent int
	Of      int // instances that are to share it: fewer get less
}

// SplitOf returns the split of a deployment to release r; ok is false when
// requests go to all alike. After a stage that gave the new release all requests
// the old one gets none any more.
func SplitOf(app model.App, d model.Deployment, r model.Release) (s Split, ok bool) {
	if d.Status != model.DeploymentRunning {
		return s, false
	}
	all := stages(app, d, r)
	n := min(d.Stage, len(all)-1)
	if n < 0 || d.Stage >= len(all) && all[n].Share < 100 {
		return s, false
	}
	return Split{Percent: all[n].Share, Of: all[n].Instances(app.Instances)}, true
}

// enter sets the stage that a running deployment is in.
func (p *planner) enter(d model.Deployment) {
	p.stage, p.beside = nil, 0
	all := stages(p.App, d, p.Releases[d.ReleaseID])
	if d.Status == model.DeploymentRunning && d.Stage < len(all) {
		p.stage, p.stages = &all[d.Stage], len(all)
		p.beside = p.stage.Instances(p.count)
	}
}

// key names the stage of a deployment.
func key(d model.Deployment) string { return fmt.Sprint(d.ReleaseID, "/", d.Stage) }

// advance brings a deployment to its next stage when this one is over. A stage
// with a share is watched from the moment it is complete.
func (p *planner) advance(d model.Deployment) model.Deployment {
	if p.stage == nil || p.App.Paused {
		return d
	}
	complete := p.complete(d)
	if p.stage.Share > 0 && (complete || p.trial(d) != nil) {
		p.out.Watch = key(d)
	}
	if !complete {
		return d
	}
	if p.App.Promoted == d.ReleaseID {
		return p.next(d, p.stages, "promoted by a person")
	}
	if p.stage.Share == 0 {
		return p.next(d, d.Stage+1, "")
	}
	out, why := p.judge(d)
	switch {
	case out == passed:
		return p.next(d, d.Stage+1, why)
	case out == held && !d.Held:
		d.Held, d.Judgement = true, why
		p.update(d)
	}
	return p.extend(d)
}

// next moves a deployment on.
func (p *planner) next(d model.Deployment, stage int, why string) model.Deployment {
	d.Stage, d.StageAt, d.Judgement, d.Held = stage, p.now, why, false
	d.Deadline = p.now.Add(p.deadline(d.ReleaseID))
	p.update(d)
	p.enter(d)
	p.out.Watch = ""
	return d
}

// extend keeps the deadline, which is for becoming ready, ahead of a stage that
// is complete. It is written rarely.
func (p *planner) extend(d model.Deployment) model.Deployment {
	limit := p.deadline(d.ReleaseID)
	if due := d.Deadline.Add(-limit / 2); p.now.Before(due) {
		p.wake(due)
		return d
	}
	d.Deadline = p.now.Add(limit)
	p.update(d)
	return d
}

func (p *planner) update(d model.Deployment) {
	p.Deployments = put(p.Deployments, d)
	p.replaceDeploy(d)
}

func (p *planner) trial(d model.Deployment) *Trial {
	if p.Trial == nil || p.Trial.Key != key(d) {
		return nil
	}
	return p.Trial
}

// complete reports whether a stage has all of its instances, and they serve; one
// that gets no requests has been ready for a while.
func (p *planner) complete(d model.Deployment) bool {
	n := 0
	for i := range p.Instances {
		i := &p.Instances[i]
		if i.ReleaseID != d.ReleaseID || i.Role == model.Suspect || !i.Ready() || p.stage.Share > 0 && !i.Routed {
			continue
		}
		if p.stage.Share == 0 {
			due := i.HealthyAt.Add(p.cfg.MinReady)
			if p.wake(due); p.now.Before(due) {
				continue
			}
		}
		n++
	}
	return n >= p.beside
}

// besides starts what a stage lacks, each beside the old instance of a slot. Once
// one has failed they are started one at a time.
func (p *planner) besides() {
	if p.stage == nil {
		return
	}
	missing, starting := p.beside, 0
	for n := range p.Instances {
		i := &p.Instances[n]
		if gone := i.Observed != nil && i.Observed.Phase == model.PhaseGone; i.ReleaseID != p.target || i.Stopping || gone || i.Role == model.Suspect {
			continue
		}
		missing--
		if !i.Ready() {
			starting++
		}
	}
	for n := range p.count {
		if missing <= 0 || len(p.Failures) > 0 && starting > 0 {
			return
		}
		v := p.view(n)
		if v.primary == nil || v.surge != nil || v.primary.ReleaseID == p.target || p.promoted(n) || p.waits(n) || p.crashing(n, p.target) {
			continue
		}
		p.out.Start = append(p.out.Start, Start{Slot: n, Role: model.Surge, ReleaseID: p.target, Avoid: p.avoid(v.primary)})
		missing--
		starting++
	}
}

// isBeside reports whether a slot's surge instance is of a stage, and not there
// to take the slot.
func (p *planner) isBeside(v *slotView) bool {
	return p.stage != nil && v.surge.ReleaseID == p.target && v.primary != nil && v.primary.ReleaseID != p.target
}

// successor is the release that replaces an instance: while a stage lasts the old
// release stays what it is.
func (p *planner) successor(i *Instance) string {
	if p.stage != nil && i.ReleaseID != p.target {
		return p.spare
	}
	return p.target
}
