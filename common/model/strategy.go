package model

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The strategies: how a release takes over from the one before.
const (
	StrategyRolling   = "rolling"   // slot by slot
	StrategyBlueGreen = "bluegreen" // all of it beside the old one, then every request at once
	StrategyCanary    = "canary"    // a part of the requests first, judged against the old release
)

// Strategies lists them.
var Strategies = []string{StrategyRolling, StrategyBlueGreen, StrategyCanary}

// Stage is one station of a release on its way, in which it runs beside the one
// before. After the last it takes the slots, as a rolling one does; rolling is
// the strategy without stages.
type Stage struct {
	Beside int           // percent of the wanted instances that run beside the old ones; at least one
	Share  int           // percent of the app's requests that they get together
	For    time.Duration // all of them serve so long, before the next stage
	Judged bool          // by their answers, against the old release's
}

// Instances is how many of n wanted instances a stage has.
func (s Stage) Instances(n int) int { return min(n, max(1, (n*s.Beside+99)/100)) }

// Defaults and limits of the stages.
const (
	DefaultObserve = Duration(time.Minute)     // of one canary step
	DefaultKeep    = Duration(5 * time.Minute) // of the old release, after bluegreen's change
	maxSteps       = 10
)

// DefaultSteps are the shares of a canary's steps, in percent.
func DefaultSteps() []int { return []int{10, 50} }

// Stages are the stations of a release on its way. A canary is for content that
// is not known: what was served before, or is the same, goes by rolling.
func (r Release) Stages() []Stage {
	switch {
	case r.Spec.Strategy == StrategyBlueGreen:
		return []Stage{{Beside: 100}, {Beside: 100, Share: 100, For: time.Duration(r.Spec.observe(DefaultKeep))}}
	case r.Spec.Strategy != StrategyCanary || r.Cause == CauseRollback || r.Cause == CauseRestart || r.Cause == CauseRebase:
		return nil
	}
	steps := r.Spec.Steps
	if len(steps) == 0 {
		steps = DefaultSteps()
	}
	out := make([]Stage, len(steps))
	for n, share := range steps {
		out[n] = Stage{Beside: share, Share: share, For: time.Duration(r.Spec.observe(DefaultObserve)), Judged: true}
	}
	return out
}

func (s Spec) observe(otherwise Duration) Duration {
	if s.Observe > 0 {
		return s.Observe
	}
	return otherwise
}

// CheckStrategy returns a CodeBadSize error unless there is a strategy of that name.
func CheckStrategy(name string) error {
	if !slices.Contains(Strategies, name) {
		return E(CodeBadSize, "strategy %q is not known; it is rolling, bluegreen or canary", clip(name, 40))
	}
	return nil
}

// checkStrategy returns a CodeBadSize error unless the strategy is known and its
// settings are its own.
func (s Spec) checkStrategy() error {
	if err := CheckStrategy(s.Strategy); err != nil {
		return err
	}
	switch {
	case len(s.Steps) > 0 && s.Strategy != StrategyCanary:
		return E(CodeBadSize, "steps are for the strategy canary, not for %s", s.Strategy).WithNext("add --strategy canary")
	case s.Observe != 0 && s.Strategy == StrategyRolling:
		return E(CodeBadSize, "an observation time is for the strategies canary and bluegreen, not for rolling").WithNext("add --strategy canary")
	case s.Observe < 0 || s.Observe != 0 && s.Observe < Duration(time.Second) || s.Observe > Duration(24*time.Hour):
		return E(CodeBadSize, "the observation time is %s; it must be 1s to 24h", time.Duration(s.Observe))
	case len(s.Steps) > maxSteps:
		return E(CodeBadSize, "%d steps; at most %d are allowed", len(s.Steps), maxSteps)
	}
	last := 0
	for _, n := range s.Steps {
		if n <= last || n > 99 {
			return E(CodeBadSize, "steps are shares of the requests in percent, 1 to 99 and growing; %d after %d is not", n, last).WithNext("write them as --steps 5,25,50")
		}
		last = n
	}
	return nil
}

// ParseSteps reads a canary's steps as people write them: 10,50. "" is none.
func ParseSteps(s string) ([]int, error) {
	if s == "" {
		return nil, nil
	}
	var out []int
	for _, part := range strings.Split(s, ",") {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(part), "%"))
		if err != nil {
			return nil, E(CodeBadSize, "steps %q are not shares of the requests in percent", clip(s, 60)).WithNext("write them as --steps 5,25,50")
		}
		out = append(out, n)
	}
	return out, nil
}
