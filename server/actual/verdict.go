package actual

import (
	"cmp"
	"time"

	"github.com/dinp/dinp/common/model"
)

// Verdict is what all monitors together say of an instance. It lives as long as
// the instance is not forgotten: pointers to it stay good.
type Verdict struct {
	Healthy  bool
	Judged   bool // a monitor spoke in this term; else it is assumed from the routes in force
	Evidence string
	since    time.Time // when Healthy last changed; zero: it never was healthy
	good     *choir    // monitors that say it is healthy; nil: none
	answered int64     // nanoseconds from the term's begin to when it first answered a monitor, less than 0 when that was before; 0: it has not
}

// HealthyAt is since when it is healthy; zero while it is not.
func (v *Verdict) HealthyAt() time.Time {
	if v.Healthy {
		return v.since
	}
	return time.Time{}
}

// SickAt is since when it is unhealthy after having been healthy; else zero.
func (v *Verdict) SickAt() time.Time {
	if v.Healthy {
		return time.Time{}
	}
	return v.since
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
	for _, word := range verdicts {
		v := c.Verdict(word.InstanceID)
		if word.Healthy {
			v.good = c.choirs.with(v.good, monitor)
		} else {
			v.good = c.choirs.without(v.good, monitor)
		}
		v.hear(word, now.Sub(c.began))
		if v.take(word, &c.Sick, now) {
			changed(word.InstanceID)
		}
	}
}

// take takes a monitor's word in, once good holds it. That what was assumed to be
// healthy is so is no change: when a term begins that is said of all there is.
func (v *Verdict) take(word model.Verdict, sick *Sick, now time.Time) (changed bool) {
	healthy := v.good != nil
	changed = v.Healthy != healthy || !v.Judged && !healthy
	sick.leave(v)
	if healthy != v.Healthy {
		v.since = now
	}
	if v.Healthy, v.Judged = healthy, true; healthy == word.Healthy {
		v.Evidence = word.Evidence
	}
	sick.enter(v)
	return changed
}

// hear takes in since when it answers, as a monitor says so long into the term. What
// counts is the first answer to any of them.
func (v *Verdict) hear(word model.Verdict, into time.Duration) {
	if word.Answers <= 0 {
		return
	}
	if at := int64(into - word.Answers); v.answered == 0 || at < v.answered {
		v.answered = cmp.Or(at, -1)
	}
}

// AnsweredAt is when an instance first answered a monitor in any way; zero when
// that is not known.
func (c *Cluster) AnsweredAt(v *Verdict) time.Time {
	if v.answered == 0 {
		return time.Time{}
	}
	at := c.began.Add(time.Duration(v.answered))
	if v.Healthy && at.After(v.since) {
		return v.since // it was routed when leaders changed, and this monitor is new
	}
	return at
}

// Assume gives an instance that routers serve the benefit of the doubt until a
// monitor speaks in this term.
func (c *Cluster) Assume(instanceID string, now time.Time) {
	if v := c.Verdict(instanceID); !v.Judged && !v.Healthy {
		v.Healthy, v.since, v.Evidence = true, now, "routed by the leader before"
		c.Sick.enter(v)
	}
}

// MonitorGone drops a monitor's part in the verdicts; the common ones stay as
// they are until another monitor speaks.
func (c *Cluster) MonitorGone(monitor string) {
	for _, v := range c.verdicts {
		v.good = c.choirs.without(v.good, monitor)
	}
	c.choirs.drop(monitor)
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
	case !v.since.IsZero():
		s.sick += n
	}
}

// Mass reports whether so many instances fell ill that the fault is more likely
// in what they share, or in the monitors, than in each of them (R12): more than
// ten, and more than a third. Nobody is replaced for his health then.
func (s Sick) Mass() bool { return s.sick > 10 && s.sick*3 > s.sick+s.healthy }
