package lease

import (
	"time"

	"github.com/dinp/dinp/sql/store"
)

// Right is when a leader must have stopped acting whose last successful write
// to the lease began at before, by the leader's own monotonic clock.
func (c Config) Right(before time.Time) time.Time { return before.Add(c.TTL - c.Margin) }

// Candidate judges from looks at the lease whether its server may take it. It
// compares no clocks: a lease whose beat stands still for the TTL, by the
// candidate's own monotonic clock, is nobody's.
type Candidate struct {
	cfg    Config
	looked bool
	seen   store.Lease
	still  time.Time // since when seen has not changed
}

// NewCandidate has not looked yet.
func NewCandidate(cfg Config) *Candidate { return &Candidate{cfg: cfg} }

// May reports whether the lease, which reads row at now, may be taken.
func (c *Candidate) May(row store.Lease, now time.Time) bool {
	if !c.looked || row != c.seen {
		c.looked, c.seen, c.still = true, row, now
	}
	// Our own row is that of the process before us: it is dead, or we could not
	// have its ID.
	return row.Owner == "" || row.Owner == c.cfg.ID || now.Sub(c.still) >= c.cfg.TTL
}

// Vacant reports whether nobody is known to lead, as of the last look: the lease is
// free, or its holder should have renewed it by now. That is not to be relied on, only to
// be waited for: it may turn out at the next look that the holder was a little late.
func (c *Candidate) Vacant(now time.Time) bool {
	return c.looked && (c.seen.Owner == "" || c.seen.Owner == c.cfg.ID || now.Sub(c.still) >= c.cfg.Renew+c.cfg.Renew/looks)
}
