package source

import (
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// guardedFrom is the number of routes above which a withdrawal of more than
// half of them is doubted: below it, half is an everyday change.
const guardedFrom = 5

// verdict says what became of a list or a batch.
type verdict string

const (
	accepted  verdict = "accepted"
	unchanged verdict = "unchanged"
	repeated  verdict = "repeated"         // a batch that the list had already
	held      verdict = "withdrawal"       // taken, but nothing it removes was removed
	refused   verdict = "older"            // a stale replica, or a leader that was replaced
	versionNo verdict = "no_version"       // a flushed Redis: not the same as "no routes"
	forgetful verdict = "forgetful"        // a term that has begun on less than what is served
	doubted   verdict = "same_but_differs" // Redis changed without a new version
	gap       verdict = "gap"              // batches are missing: list again
)

// Outcome is a verdict with its facts for the log.
type Outcome struct {
	verdict
	gone, of int // of a withdrawal
	bad      []table.Bad
}

// Reasons returns the keys of Status.Refusals.
func Reasons() []string {
	return []string{string(held), string(refused), string(versionNo), string(forgetful), string(doubted), string(gap)}
}

// Gap reports whether batches are missing: all is to be listed.
func (o Outcome) Gap() bool { return o.verdict == gap }

func (o Outcome) fine() bool {
	return o.verdict == accepted || o.verdict == unchanged || o.verdict == repeated
}

// Keeper decides which of the things read from Redis are served. It has no
// I/O, so that every decision is a plain test.
type Keeper struct {
	wanted *table.Table // Redis as last followed; its version is the cursor
	served *table.Table // wanted, plus what is held; its version is acknowledged
	doubt  route.Version
}

// NewKeeper has an empty table.
func NewKeeper() *Keeper { return &Keeper{wanted: table.Empty(), served: table.Empty()} }

// Restore starts from a table that was served before.
func (k *Keeper) Restore(t *table.Table) { k.wanted, k.served = t, t }

// Served is the table to be served now, and Wanted what Redis held when it was
// last followed; they differ while a withdrawal is held back.
func (k *Keeper) Served() *table.Table { return k.served }

// Wanted is Redis as last followed.
func (k *Keeper) Wanted() *table.Table { return k.wanted }

// List judges the whole content of Redis. A zero head means that there is none.
// meant is asked, only when it matters, for the batches in Redis that said that
// their withdrawals are on purpose.
func (k *Keeper) List(h route.Head, entries map[string]string, meant func() []route.Batch) Outcome {
	if no := k.past(h); no != "" {
		return Outcome{verdict: no}
	}
	next, bad := table.Build(h.Version, entries, k.wanted)
	out := k.listed(next, meant)
	out.bad = bad
	return out
}

// listed is list of a table that was built already, and is no newer than wanted.
func (k *Keeper) listed(next *table.Table, meant func() []route.Batch) Outcome {
	if no := k.past(route.Head{Version: next.Version()}); no != "" {
		return Outcome{verdict: no}
	}
	if next.Version() == k.wanted.Version() && !k.convinced(next) {
		return Outcome{verdict: k.sameVersion(next)}
	}
	k.doubt = route.Version{}
	return k.judge(next, meant)
}

// past refuses tables that say nothing; "" is none of them.
func (k *Keeper) past(h route.Head) verdict {
	switch {
	case h.Version == route.Version{}:
		return versionNo
	case h.Less(k.wanted.Version()):
		return refused
	case h.Forgets(k.wanted.Version()):
		return forgetful
	}
	return ""
}

// convinced reports whether Redis, differing at the version we follow, is to
// be believed. At first it is not: a replica that lost writes and then got the
// next one looks the same, and the leader heals it within its re-publish time.
// If Redis still differs after later writes, it is we who are wrong.
func (k *Keeper) convinced(next *table.Table) bool {
	return k.doubt != route.Version{} && k.doubt.Less(next.Version()) && !table.Equal(next, k.wanted)
}

func (k *Keeper) sameVersion(next *table.Table) verdict {
	switch {
	case !table.Equal(next, k.wanted):
		if k.doubt == (route.Version{}) {
			k.doubt = next.Version()
		}
		return doubted
	case k.served != k.wanted:
		k.doubt = route.Version{}
		return held
	}
	k.doubt = route.Version{}
	return unchanged
}

// Batch judges one entry of the stream.
func (k *Keeper) Batch(b route.Batch) Outcome {
	at := k.wanted.Version()
	switch {
	case !at.Less(b.Version):
		return Outcome{verdict: repeated}
	case b.Epoch != at.Epoch || b.Seq != at.Seq+1:
		return Outcome{verdict: gap}
	}
	next, bad := k.wanted.Apply(b)
	out := k.judge(next, func() []route.Batch {
		if b.Meant {
			return []route.Batch{b}
		}
		return nil
	})
	out.bad = bad
	return out
}

// judge serves next, unless it withdraws more than half of what is served and
// nobody said that this is meant. Then the withdrawn routes stay, the rest is
// taken, and the version served stays behind: the leader must not believe that
// an un-route was done.
func (k *Keeper) judge(next *table.Table, meant func() []route.Batch) Outcome {
	k.wanted = next
	base := k.served
	gone, of := table.Withdrawn(base, next)
	if suspicious(gone, of) {
		for _, b := range meant() {
			b.Version = k.served.Version()
			base, _ = base.Apply(b)
		}
		gone, of = table.Withdrawn(base, next)
	}
	if suspicious(gone, of) {
		k.served = table.Hold(base, next)
		return Outcome{verdict: held, gone: gone, of: of}
	}
	k.served = next
	return Outcome{verdict: accepted}
}

func suspicious(gone, of int) bool { return of >= guardedFrom && gone*2 > of }
