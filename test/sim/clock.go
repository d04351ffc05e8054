package sim

import (
	"time"
	"unsafe"
)

// A process has two clocks, as every program has: one on the wall, which differs
// from the others' and jumps when somebody sets it, and one that only measures
// what has passed. A time.Time of a real program carries both, and so do those of
// the simulated ones: what is compared within a process is compared by the second,
// what was stored or sent by the first.

// now is the process's clock.
func (p *process) now() time.Time {
	return reading(p.s.now.Add(p.host.skew), p.s.now.Sub(epoch)-p.host.slept)
}

// clock is the wall clock of a host: all of its processes see the same.
type clock struct {
	skew  time.Duration
	slept time.Duration // how long the machine was suspended: what measures time stood still
}

// uptime is what a monotonic clock shows when a run begins: it is not zero.
const uptime = 24 * time.Hour

// The layout of a time.Time that carries a monotonic reading; clock_test.go sees
// to it that it is the one of the Go in use.
const (
	hasMonotonic  = 1 << 63
	secondsFrom   = 59453308800 // of the year 1885, since the year 1
	unixFrom      = 62135596800 // of 1970
	secondsShift  = 30
	internalWords = 3
)

// reading is a time that stands on the wall, read when so much had passed.
func reading(wall time.Time, passed time.Duration) time.Time {
	t := wall.UTC()
	words := (*[internalWords]uint64)(unsafe.Pointer(&t))
	words[0] = hasMonotonic | uint64(t.Unix()+unixFrom-secondsFrom)<<secondsShift | uint64(t.Nanosecond())
	words[1] = uint64(int64(uptime + passed))
	return t
}
