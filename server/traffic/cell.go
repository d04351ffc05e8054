package traffic

import (
	"time"

	"github.com/dinp/dinp/common/histogram"
)

// Tally is what was counted over some time.
type Tally struct {
	Requests uint64
	Failed   uint64        // of those, answered 5xx, by the router or the app
	Sum      time.Duration // of their times
	Latency  histogram.Counts
}

// Add adds other's counts.
func (t *Tally) Add(other *Tally) {
	t.Requests += other.Requests
	t.Failed += other.Failed
	t.Sum += other.Sum
	t.Latency.Merge(&other.Latency)
}

// The time of a release is cut into cells; those of the last minute are kept.
const (
	cellLength = 5 * time.Second
	cells      = int(Window/cellLength) + 1 // one is being filled
)

// cell is a Tally in the room it takes: most buckets are empty.
type cell struct {
	at       int64 // number of the cell since 1970
	requests uint64
	failed   uint64
	sum      time.Duration
	buckets  []bucket // sorted by index
}

type bucket struct {
	index uint8 // histogram.Buckets are fewer than 256
	n     uint32
}

const _ = uint8(histogram.Buckets - 1)

func (c *cell) tally() Tally {
	t := Tally{Requests: c.requests, Failed: c.failed, Sum: c.sum}
	for _, b := range c.buckets {
		t.Latency[b.index] = uint64(b.n)
	}
	return t
}

// add adds a tally to the cell, which keeps its memory.
func (c *cell) add(t *Tally) {
	whole := c.tally()
	whole.Add(t)
	c.requests, c.failed, c.sum, c.buckets = whole.Requests, whole.Failed, whole.Sum, c.buckets[:0]
	for i, n := range whole.Latency {
		if n > 0 {
			c.buckets = append(c.buckets, bucket{uint8(i), uint32(min(n, 1<<32-1))})
		}
	}
}

// ring is the last cells of a release.
type ring [cells]cell

func numberOf(now time.Time) int64 { return now.UnixNano() / int64(cellLength) }

func (r *ring) add(t *Tally, now time.Time) {
	n := numberOf(now)
	c := &r[n%int64(cells)]
	if c.at != n {
		*c = cell{at: n, buckets: c.buckets[:0]}
	}
	c.add(t)
}

// between adds up the cells with from ≤ at < to.
func (r *ring) between(from, to int64) (t Tally) {
	for i := range r {
		if c := &r[i]; c.at >= from && c.at < to {
			part := c.tally()
			t.Add(&part)
		}
	}
	return t
}
