package actual

import (
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
)

// Verdict is what all monitors together say of an instance. It lives as long as
// the instance is not forgotten: pointers to it stay good.
type Verdict struct {
	Healthy   bool
	Judged    bool      // a monitor spoke in this term; else it is assumed from the routes in force
	HealthyAt time.Time // since when it is healthy; zero while it is not
	SickAt    time.Time // since when it is unhealthy after having been healthy
	Evidence  string
	votes     []vote
}

// vote is one monitor's last word.
type vote struct {
	monitor string
	healthy bool
}

// Verdict returns the verdict on an instance, made when it is new: unhealthy,
// and not judged.
func (c *Cluster) Verdict(instanceID string) *Verdict {
	v := c.verdicts[instanceID]
	if v == nil {
		v = &Verdict{}
		c.verdicts[instanceID] = v
	}
	return v
}

// Judge takes a monitor's verdicts in and calls changed with each instance whose
// common verdict changed. An instance is healthy as long as one connected
// monitor says so: a monitor that is cut off sees everything dead.
func (c *Cluster) Judge(monitor string, verdicts []model.Verdict, now time.Time, changed func(id string)) {
	for _, v := range verdicts {
		if c.Verdict(v.InstanceID).take(vote{monitor, v.Healthy}, v.Evidence, &c.Sick, now) {
			changed(v.InstanceID)
		}
	}
}

func (v *Verdict) take(one vote, evidence string, sick *Sick, now time.Time) (changed bool) {
	v.vote(one)
	healthy := one.healthy || slices.ContainsFunc(v.votes, func(w vote) bool { return w.healthy })
	changed = !v.Judged || v.Healthy != healthy
	sick.leave(v)
	switch {
	case healthy && !v.Healthy:
		v.HealthyAt = now
	case !healthy && v.Healthy:
		v.HealthyAt, v.SickAt = time.Time{}, now
	}
	if healthy {
		v.SickAt = time.Time{}
	}
	if v.Healthy, v.Judged = healthy, true; healthy == one.healthy {
		v.Evidence = evidence
	}
	sick.enter(v)
	return changed
}

func (v *Verdict) vote(one vote) {
	for i := range v.votes {
		if v.votes[i].monitor == one.monitor {
			v.votes[i] = one
			return
		}
	}
	v.votes = append(v.votes, one)
}

// Assume gives an instance that routers serve the benefit of the doubt until a
// monitor speaks in this term.
func (c *Cluster) Assume(instanceID string, now time.Time) {
	if v := c.Verdict(instanceID); !v.Judged && !v.Healthy {
		v.Healthy, v.HealthyAt, v.Evidence = true, now, "routed by the leader before"
		c.Sick.enter(v)
	}
}

// MonitorGone drops a monitor's part in the verdicts; the common ones stay as
// they are until another monitor speaks.
func (c *Cluster) MonitorGone(monitor string) {
	for _, v := range c.verdicts {
		for i := range v.votes {
			if v.votes[i].monitor == monitor {
				v.votes = append(v.votes[:i], v.votes[i+1:]...)
				break
			}
		}
	}
}

// Sick counts the instances that are healthy, and those that were and are not
// any more, over all apps.
type Sick struct{ healthy, sick int }

func (s *Sick) enter(v *Verdict) { s.add(v, 1) }
func (s *Sick) leave(v *Verdict) { s.add(v, -1) }

func (s *Sick) add(v *Verdict, n int) {
	switch {
	case v.Healthy:
		s.healthy += n
	case !v.SickAt.IsZero():
		s.sick += n
	}
}

// Mass reports whether so many instances fell ill that the fault is more likely
// in what they share, or in the monitors, than in each of them (R12): more than
// ten, and more than a third. Nobody is replaced for his health then.
func (s Sick) Mass() bool { return s.sick > 10 && s.sick*3 > s.sick+s.healthy }
