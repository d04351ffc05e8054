package actual

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

// breaker decides whether silence is believed to be loss (R9).
type breaker struct {
	frozen bool
	asOf   time.Time // how many are silent was last asked then
	thawed time.Time // when it last closed: the loss time of silent nodes is counted from there
	silent int       // nodes unknown or lost
	all    int
	zones  map[string]*zone
	credit time.Duration // since losses were believed: one of them costs lossEvery
	filled time.Time     // when credit was that
}

type zone struct{ silent, all int }

// The breaker's measures.
const (
	silentFew     = 3  // so many silent nodes are never too many, unless they are all
	silentPercent = 15 // of all nodes
	zonePercent   = 33 // of a zone's nodes
	lossBurst     = 3  // nodes that may be lost at once
	lossEvery     = 10 * time.Second
)

// count enters or takes out a node of a zone.
func (b *breaker) count(zoneName string, s model.NodeStatus, n int) {
	z := b.zones[zoneName]
	if z == nil {
		z = &zone{}
		b.zones[zoneName] = z
	}
	b.all, z.all = b.all+n, z.all+n
	if s == model.NodeUnknown || s == model.NodeLost {
		b.silent, z.silent = b.silent+n, z.silent+n
	}
}

// Silent is how many nodes are unknown or lost.
func (c *Cluster) Silent() int { return c.breaker.silent }

// Trips reports whether the breaker would open if these nodes fell silent, too.
func (c *Cluster) Trips(nodeIDs []string) bool {
	b := breaker{silent: c.breaker.silent, all: c.breaker.all, zones: map[string]*zone{}}
	for name, z := range c.breaker.zones {
		b.zones[name] = &zone{z.silent, z.all}
	}
	for _, id := range nodeIDs {
		if n := c.Nodes[id]; n != nil && n.Status != model.NodeUnknown && n.Status != model.NodeLost {
			b.silent++
			b.zones[n.Zone].silent++
		}
	}
	return b.tripped()
}

// tripped reports whether more nodes are silent than accidents explain. When all
// are, it is we who are cut off. A zone of few nodes does not trip it: losing
// one of two hosts is an accident.
func (b *breaker) tripped() bool {
	if b.silent > max(silentFew, b.all*silentPercent/100) || b.silent > 0 && b.silent == b.all {
		return true
	}
	for _, z := range b.zones {
		if z.silent > max(silentFew, z.all*zonePercent/100) {
			return true
		}
	}
	return false
}

// update opens or closes the breaker. What was silent while it was open has its
// loss time begin anew when it closes.
func (b *breaker) update(now time.Time) (changed bool) {
	is := b.tripped()
	b.asOf = now
	if is == b.frozen {
		return false
	}
	if b.frozen = is; !is {
		b.thawed = now
	}
	return true
}

// spend takes the right to believe one loss, or says when there will be one.
func (b *breaker) spend(now time.Time) (ok bool, retry time.Time) {
	const most = lossBurst * lossEvery
	if b.filled.IsZero() {
		b.credit = most
	} else {
		b.credit = min(most, b.credit+now.Sub(b.filled))
	}
	b.filled = now
	if b.credit >= lossEvery {
		b.credit -= lossEvery
		return true, time.Time{}
	}
	return false, now.Add(lossEvery - b.credit) // later than now: whoever asks again by then gets on
}
