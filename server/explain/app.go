package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/dinp/dinp/common/model"
)

// desired is what people want of the app, and what stands against it as a whole.
func (c *Case) desired() Step {
	a := c.App
	switch d := c.Deployments[a.ReleaseID]; {
	case !a.DeletedAt.IsZero():
		return not(Desired, Deleted, "the app was deleted; its %d instances are being stopped", len(c.Instances)).since(a.DeletedAt).next("dinp undelete %s", a.Name)
	case a.ReleaseID == "":
		return not(Desired, Undeployed, "nothing was deployed yet").since(a.CreatedAt).next("dinp deploy %s FILE", a.Name)
	case a.Paused:
		return not(Desired, Paused, "%s wanted, but the app is paused: what runs is left as it is", c.wish()).since(a.UpdatedAt).next("dinp pause %s off", a.Name)
	case d.Status == model.DeploymentFailed:
		return c.failed(d)
	case a.Maintenance:
		return not(Desired, Hidden, "%s wanted; visitors see the maintenance page", c.wish()).since(a.UpdatedAt).next("dinp maintenance %s off", a.Name)
	case a.Instances == 0:
		return not(Desired, ScaledDown, "scaled to 0: no instance is wanted").since(a.UpdatedAt).next("dinp scale %s 1", a.Name)
	case d.Status == model.DeploymentRunning:
		if c.Progress != "" {
			return c.staged(d)
		}
		return Step{Link: Desired, OK: true, Text: fmt.Sprintf("%s wanted; its rollout has until %s", c.wish(), d.Deadline.UTC().Format("15:04:05 MST")), At: d.StartedAt}
	default:
		return Step{Link: Desired, OK: true, Text: c.wish() + " wanted", At: d.StartedAt}
	}
}

func (c *Case) wish() string {
	return fmt.Sprintf("%d × %s", c.App.Instances, c.version(c.App.ReleaseID))
}

// staged is a wish on its way by steps, or held at one.
func (c *Case) staged(d model.Deployment) Step {
	since := d.StartedAt
	if !d.StageAt.IsZero() {
		since = d.StageAt
	}
	if d.Held && c.App.Promoted != d.ReleaseID {
		return not(Desired, Held, "%s wanted; %s", c.wish(), c.Progress).since(since).code(model.CodeHeld).next("dinp promote %s", c.App.Name)
	}
	return Step{Link: Desired, OK: true, Text: c.wish() + " wanted; " + c.Progress, At: since}
}

// failed is a wish that could not be had.
func (c *Case) failed(d model.Deployment) Step {
	kept := "nothing runs: no release served before"
	if d.FromReleaseID != "" {
		kept = "the app is kept at " + c.version(d.FromReleaseID)
	}
	s := not(Desired, Failed, "%s wanted, but its deployment failed; %s", c.wish(), kept).since(d.EndedAt).next("dinp logs %s --release %s", c.App.Name, c.version(d.ReleaseID))
	if e := d.Error; e != nil {
		s = s.code(e.Code).shows(e.Message).shows(e.Evidence...)
		if e.Next != "" {
			s.Next = e.Next
		}
	}
	return s
}

// leader says when the leader itself cannot carry its decisions out.
func (c *Case) leader() []Step {
	if m := c.Safe; m != nil {
		s := not(Placed, SafeMode, "nothing is started, stopped or routed anew: the database is older than what runs")
		return []Step{s.since(m.Since).shows(m.Reason).next("dinp safe-mode")}
	}
	if c.Trouble.IsZero() {
		return nil
	}
	s := not(Placed, Trouble, "the leader could write nothing for %s, and tries again every second; what runs keeps running", c.ago(c.Trouble))
	return []Step{s.since(c.Trouble).code(model.CodeUnavailable).next("see whether the database answers: the leader's log has its errors, its /readyz the verdict")}
}

// slots explains the slots that have no instance and are to have one.
func (c *Case) slots() []Step {
	var out []Step
	for _, p := range c.Outlook.Plan.Pending {
		s := not(Placed, BackOff, "%s", p.Message).since(p.Until)
		switch {
		case p.Code == model.CodeAlone:
			s.Why = Alone
		case p.Until.IsZero():
			s.Why = Crashing
		}
		s.Slot = p.Slot
		if n := len(c.Failures); n > 0 {
			f := c.Failures[n-1]
			s = s.shows("the last: " + f.Message).shows(f.Logs...).since(f.At)
		}
		out = append(out, s.code(p.Code).next("dinp logs %s", c.App.Name))
	}
	for _, slot := range slices.Sorted(maps.Keys(c.Refused)) {
		r := c.Refused[slot]
		e := r.Error(c.App.Name)
		s := not(Placed, NoRoom, "%s", e.Message).code(e.Code).shows(e.Evidence...).since(cmp.Or(c.Roomless[slot], c.Now)).next("%s", e.Next)
		s.Slot, s.Counts, s.Misses = slot, r.Counts, r.Misses
		out = append(out, s)
	}
	for _, slot := range slices.Sorted(maps.Keys(c.Room)) {
		s := not(Placed, Planned, "there is room on %s; the next round places it", c.Room[slot])
		s.Slot = slot
		out = append(out, s)
	}
	return out
}
