package lease

import (
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/sql/store"
)

// Overtaken ends the term of a leader that was told of an epoch above its own. Most
// often another server leads by now. If none does, the database was set back while
// this server's clock was behind the leaders before it: agents and Redis refuse all
// it says, and would until its clock has passed that epoch. Either way it stops, and
// whoever takes the lease next takes it above what was told.
type Overtaken struct {
	Epoch int64  // that was told
	By    string // who told it
}

// Error implements error.
func (o *Overtaken) Error() string {
	return fmt.Sprintf("%s has obeyed epoch %d, which is above this leader's", o.By, o.Epoch)
}

const (
	// maxTold is the highest epoch that is believed: whoever lies about it must leave
	// enough for all leaders to come. As a time it is in the year 144,683.
	maxTold = 1 << 52
	// stepEvery is how long a leader that has stepped over an epoch leads before it does
	// so again: one agent that lies can trouble all the others no more often.
	stepEvery = time.Minute
)

// Overtakes reports whether a leader that has held its lease for so long has to step
// down because somebody has obeyed epoch.
func Overtakes(epoch int64, held store.Lease, led time.Duration) bool {
	return epoch > held.Epoch && epoch <= maxTold && (held.Below == 0 || led >= stepEvery)
}

// History is what a server remembers from one of its terms to the next.
type History struct {
	told int64       // the highest epoch that it was told of
	low  store.Lease // its last term, if that ended for being told
}

// Floor is the least epoch that the server may take the lease with, which reads seen.
// It is the time, but no less than the end of the history that seen knows, so that
// clocks that were set back make no history look shorter, and above all that the
// server was told of.
func (h *History) Floor(seen store.Lease, now time.Time) int64 {
	return max(now.UnixMilli(), seen.Epoch+seen.Age+1, h.told+1)
}

// Ended takes in why a term has ended.
func (h *History) Ended(held store.Lease, why error) {
	h.low = store.Lease{}
	if o := (*Overtaken)(nil); errors.As(why, &o) {
		h.told, h.low = max(h.told, o.Epoch), held
	}
}

// Took completes a lease that was just taken. If it goes on from a term that was
// overtaken, what the database lacks is measured from where that one began: what
// it wrote itself in between hides nothing of it.
func (h *History) Took(l store.Lease) store.Lease {
	if h.low.Epoch != 0 && l.Before.Epoch == h.low.Epoch {
		l.Before, l.Below = h.low.Before, h.low.Epoch
	}
	return l
}
