package reconcile

import (
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
)

// resumed is the deadline of a rollout that began before the term, or before its
// safe mode ended.
type resumed struct {
	from, to time.Time // as the leader before left it, and as it is now
	written  bool      // the database has it: the next leader goes on from there
}

// tick is how much of a leader's time its last write in the lease may lack.
const tick = 5 * time.Second

// resumeDeadlines takes the time in which nobody led off the clocks of rollouts:
// nothing was started, probed or routed in it, which is no release's fault. It is
// asked after each reading of what the leader alone writes, since until it is
// written the database has the old deadline.
func (c *Core) resumeDeadlines() {
	first := c.resumed == nil
	if first {
		c.resumed = map[string]*resumed{}
	}
	for _, a := range c.apps {
		for id, d := range a.deployments {
			if d.Ended() {
				continue
			}
			if to := c.resumeAt(d); first && to.Sub(d.Deadline) > tick {
				c.resumed[id] = &resumed{from: d.Deadline, to: to}
			}
			if r := c.resumed[id]; r != nil && d.Deadline.Equal(r.from) {
				d.Deadline, r.written = r.to, false
				a.deployments[id] = d
			}
		}
	}
}

// resumeAt is the deadline of a rollout that has as much time left in this term as
// it had when the leader before wrote last. Both of those times are by that one's
// clock: no two servers' clocks are compared.
func (c *Core) resumeAt(d model.Deployment) time.Time {
	ended := c.lease.Before.At()
	if ended.IsZero() {
		return d.Deadline
	}
	left := min(max(0, d.Deadline.Sub(ended)), c.limit(d))
	return c.began.Add(left).Round(0).UTC()
}

// resumeHeld gives the rollouts that a safe mode holds up, and what is to become
// ready outside them, all of their time again: nothing can become ready in it. Those
// of a backup began long ago.
func (c *Core) resumeHeld(now time.Time) {
	c.acts = now
	if c.resumed == nil {
		return // nothing was read yet
	}
	for _, a := range c.apps {
		for id, d := range a.deployments {
			if d.Ended() {
				continue
			}
			r := c.resumed[id]
			if r == nil || r.written {
				r = &resumed{from: d.Deadline}
				c.resumed[id] = r
			}
			r.to = now.Add(c.limit(d)).Round(0).UTC()
			d.Deadline = r.to
			a.deployments[id] = d
		}
	}
}

// limit is how long a release may take to become ready.
func (c *Core) limit(d model.Deployment) time.Duration {
	return time.Duration(c.releases[d.ReleaseID].Spec.WithDefaults().Deadline)
}

// withResumed adds the deadlines that are still to be written to what a plan writes
// of an app's deployments.
func (c *Core) withResumed(a *app, writes []model.Deployment) []model.Deployment {
	if len(c.resumed) == 0 {
		return writes
	}
	for _, id := range slices.Sorted(maps.Keys(a.deployments)) {
		d, r := a.deployments[id], c.resumed[id]
		if r == nil || r.written || !d.Deadline.Equal(r.to) || slices.ContainsFunc(writes, func(w model.Deployment) bool { return w.ReleaseID == id }) {
			continue
		}
		writes = append(writes, d)
	}
	return writes
}
