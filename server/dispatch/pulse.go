package dispatch

import (
	"bytes"
	"sync/atomic"
	"time"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// Pulse is what a session's stream and the reconciler share of a node's
// heartbeats. Nearly every one says what the one before it said: it is noted
// here, and wakes nobody. The reconciler looks before it takes a node for silent,
// so a beat counts from when it came, however long the reconciler was busy.
type Pulse struct {
	began time.Time            // the times of the monotonic clock are counted from here
	last  atomic.Int64         // when a beat was last noted, in nanoseconds since began; 0: never
	calm  atomic.Pointer[Beat] // what a beat must say to be noted only; nil: each is an event
}

// NewPulse returns a pulse of which every beat is an event.
func NewPulse(now time.Time) *Pulse { return &Pulse{began: now} }

// Take notes a beat that came at now if it says nothing new, and reports whether
// it did; if not, the beat is an event. b may be nil, which is no beat.
func (p *Pulse) Take(b *pb.Heartbeat, now time.Time) bool {
	like := p.calm.Load()
	if b == nil || like == nil || !like.says(b) {
		return false
	}
	p.last.Store(max(1, int64(now.Sub(p.began))))
	return true
}

// Calm has beats that say the same as this one noted only, until Alert.
func (p *Pulse) Calm(like Beat) { p.calm.Store(&like) }

// Alert makes the next beat an event, because what it says is to be compared, or
// because it is waited for.
func (p *Pulse) Alert() { p.calm.Store(nil) }

// Heard is when a beat was last noted; zero when none was.
func (p *Pulse) Heard() time.Time {
	last := p.last.Load()
	if last == 0 {
		return time.Time{}
	}
	return p.began.Add(time.Duration(last))
}

// says reports whether a heartbeat says the same.
func (b *Beat) says(h *pb.Heartbeat) bool {
	return b.DockerOK == h.GetDockerOk() && b.Engine == h.GetEngine() && bytes.Equal(b.Digest, h.GetDigest()) &&
		b.DockerError == h.GetDockerError() && b.Disk == h.GetDisk()
}
