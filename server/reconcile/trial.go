package reconcile

import (
	"time"

	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/server/routes"
	"github.com/dinp/dinp/server/traffic"
)

// Traffic counts an app's answers by release while somebody watches;
// *traffic.Log does.
type Traffic interface {
	Watch(app string) // anew
	Unwatch(app string)
	Watched(app string, release int) traffic.Tally
}

// trial is the observation of a stage, in this term.
type trial struct {
	key   string
	since time.Time
}

// watch begins or ends the observation that a plan asks for.
func (c *Core) watch(a *app, key string, now time.Time) {
	if a.trial.key == key {
		return
	}
	if a.trial = (trial{}); key == "" {
		c.deps.Traffic.Unwatch(a.Name)
		return
	}
	a.trial = trial{key, now}
	c.deps.Traffic.Watch(a.Name)
}

// trialOf is what was counted of a stage; nil when none is watched.
func (c *Core) trialOf(a *app) *plan.Trial {
	if a.trial.key == "" {
		return nil
	}
	d := a.deployments[a.ReleaseID]
	return &plan.Trial{Key: a.trial.key, Since: a.trial.since, New: c.counted(a, d.ReleaseID), Old: c.counted(a, d.FromReleaseID)}
}

func (c *Core) counted(a *app, releaseID string) plan.Counted {
	t := c.deps.Traffic.Watched(a.Name, c.releases[releaseID].Number)
	return plan.Counted{Requests: t.Requests, Failed: t.Failed, P95: t.Latency.Quantile(.95)}
}

// split is the share of an app's requests that its new release gets.
func (c *Core) split(a *app) routes.Split {
	d, ok := a.deployments[a.ReleaseID]
	if !ok {
		return routes.Split{}
	}
	s, ok := plan.SplitOf(a.App, d, c.releases[d.ReleaseID])
	if !ok {
		return routes.Split{}
	}
	return routes.Split{Release: c.releases[d.ReleaseID].Number, Percent: s.Percent, Of: s.Of}
}
