package plan

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

// Outlook is a plan with the thoughts behind it, for explanations.
type Outlook struct {
	Plan    Plan
	Target  string                  // the release that is to be kept up; "" for none
	Wanted  int                     // instances that are to be kept up
	Budget  int                     // surge instances that may exist at once
	Leaving map[string]model.Reason // primaries that are to be replaced, by ID, and why
}

// Look computes the plan of one app, as Compute does, and says what it is after.
func Look(cfg Config, in Input, now time.Time) Outlook {
	p := decide(cfg, in, now)
	o := Outlook{Plan: p.sorted(), Target: p.target, Wanted: p.count, Budget: max(p.budget(), p.beside), Leaving: map[string]model.Reason{}}
	for n := range p.count {
		if i := p.view(n).primary; i != nil && !p.App.Paused && p.mustLeave(i) {
			o.Leaving[i.ID] = p.replacedWhy(i)
		}
	}
	return o
}
