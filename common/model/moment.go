package model

import "time"

// Moment is a point in the history that leaders have written, by their own clocks:
// so long after the term with that epoch began. Leaders tell agents how far the
// database had got when they gave an order, so that a database that was set back
// to an older state can be told from one that was not.
type Moment struct {
	Epoch int64 // of the term; no less than the time it began, in unix milliseconds
	Age   int64 // milliseconds of the term by the leader's monotonic clock
}

// Since is how much of history lies between an earlier moment and m; 0 when m is
// not the later one. Within one term it is exact. Between two it depends on
// the clocks of their leaders, and is no less than what is known of the later one.
func (m Moment) Since(earlier Moment) time.Duration {
	var ms int64
	switch {
	case m.Epoch == earlier.Epoch:
		ms = m.Age - earlier.Age
	case m.Epoch > earlier.Epoch:
		ms = max(m.Age, m.Epoch+m.Age-earlier.Epoch-earlier.Age)
	}
	return time.Duration(max(0, ms)) * time.Millisecond
}

// At is when m was, by the clock of its leader; the zero time for the zero Moment.
func (m Moment) At() time.Time {
	if m.Epoch == 0 {
		return time.Time{}
	}
	return time.UnixMilli(m.Epoch + m.Age).UTC()
}

// SafeMode is the time in which a leader changes nothing, because the database is
// older than what agents know: it was restored, or lost what it had acknowledged.
type SafeMode struct {
	Epoch  int64     // of the leader that noticed
	Since  time.Time // when that was
	Reason string    // what it noticed, in a sentence
}
