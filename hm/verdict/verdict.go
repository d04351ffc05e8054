// Package verdict turns probes into verdicts. It is pure: the state of one
// instance and one more probe in, the next state out.
//
// One failed probe proves nothing, and a program that is still starting has not
// failed yet: that is what the thresholds are for.
package verdict

import "time"

// The thresholds.
const (
	FirstSuccesses = 1 // while starting: the sooner it serves, the better
	Successes      = 2 // after it was unhealthy: it must show that it stays up
	Failures       = 3
)

// Status is what is known of one instance.
type Status struct {
	Known   bool      // there is a verdict
	Healthy bool      // the verdict
	Ever    bool      // it has been healthy before: it is not starting any more
	Since   time.Time // when the verdict last changed
	Run     int       // probes in a row that contradict the verdict
}

// From returns the status of an instance whose verdict is known from before.
func From(healthy bool, now time.Time) Status {
	return Status{Known: true, Healthy: healthy, Ever: healthy, Since: now}
}

// Starting reports whether the instance has never been healthy.
func (s Status) Starting() bool { return !s.Ever }

// Next returns the status after one more probe, and whether the verdict changed.
func Next(s Status, ok bool, now time.Time) (Status, bool) {
	if s.Known && ok == s.Healthy {
		s.Run = 0
		return s, false
	}
	if ok && !s.Known {
		s.Run = 0 // failures do not count against the first success
	}
	s.Run++
	if s.Run < s.threshold(ok) {
		return s, false
	}
	return Status{Known: true, Healthy: ok, Ever: s.Ever || ok, Since: now}, true
}

func (s Status) threshold(ok bool) int {
	switch {
	case !ok:
		return Failures
	case s.Ever:
		return Successes
	}
	return FirstSuccesses
}
