// Package retention decides which releases of an app keep their image and artifact. It must never read a clock or a store.
package retention

import (
	"cmp"
	"slices"
	"time"
)

// Why a release is kept.
const (
	Wanted = "wanted"   // it is what people want to run
	Runs   = "runs"     // an instance of it exists, or its rollout goes on
	Pinned = "pinned"   // somebody said: for ever
	Recent = "recent"   // among the newest
	Served = "served"   // among the newest that served: what a rollback may want
	Undo   = "undelete" // the app was deleted, and may be brought back
)

// Release is what the decision needs to know of one.
type Release struct {
	ID, AppID       string
	Number          int
	Image, Artifact string
	Wanted          bool // by its app, deleted or not
	Runs            bool
	Pinned          bool
	Served          bool      // its rollout succeeded once
	Deleted         time.Time // when its app was; zero: it lives
}

// Rules are the operator's.
type Rules struct {
	Keep    int           // newest releases of an app, and newest that served
	Deleted time.Duration // how long the wanted release of a deleted app is kept
	Recent  time.Duration // how long what was built, brought or asked for is, whatever became of it: a person may try again
}

// Keep returns the releases whose image and artifact stay, by ID, each with the first reason for it.
func Keep(all []Release, rules Rules, now time.Time) map[string]string {
	newestFirst := slices.SortedFunc(slices.Values(all), func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.AppID, b.AppID), cmp.Compare(b.Number, a.Number))
	})
	kept, counts := map[string]string{}, map[string]*count{}
	for _, r := range newestFirst {
		c := counts[r.AppID]
		if c == nil {
			c = new(count)
			counts[r.AppID] = c
		}
		if why := c.reason(r, rules, now); why != "" {
			kept[r.ID] = why
		}
	}
	return kept
}

// count is how many releases of an app were seen, from the newest on.
type count struct {
	seen   int
	images map[string]bool // that served
}

func (c *count) reason(r Release, rules Rules, now time.Time) string {
	c.seen++
	if r.Served {
		if c.images == nil {
			c.images = map[string]bool{}
		}
		if len(c.images) < rules.Keep {
			c.images[r.Image] = true
		}
	}
	switch {
	case r.Runs:
		return Runs
	case r.Pinned:
		return Pinned
	case !r.Deleted.IsZero():
		if r.Wanted && now.Sub(r.Deleted) < rules.Deleted {
			return Undo
		}
		return ""
	case r.Wanted:
		return Wanted
	case c.seen <= rules.Keep:
		return Recent
	case c.images[r.Image]:
		return Served
	}
	return ""
}
