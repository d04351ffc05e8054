package permit

import (
	"context"
	"fmt"
	"time"

	"github.com/dinp/dinp/agent/instance"
)

// How often the time that is left is looked at. A set that has no singleton yet
// may get one at any moment.
const (
	lookAtMost  = time.Second
	lookAtLeast = 50 * time.Millisecond
)

// Run stops the singletons of a set once they may go on no longer, until ctx ends.
func (p *Permit) Run(ctx context.Context, set *instance.Set) error {
	stopped := map[string]bool{}
	for {
		left := p.Enforce(set, stopped, time.Now())
		t := time.NewTimer(min(max(left, lookAtLeast), lookAtMost))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Enforce is one look: it stops what must not run at now, each instance once, and
// returns how long is left.
func (p *Permit) Enforce(set *instance.Set, stopped map[string]bool, now time.Time) time.Duration {
	ids := set.Singletons()
	if len(ids) == 0 {
		clear(stopped)
		return lookAtMost
	}
	left, grace := p.Left(now)
	if left > 0 {
		return left
	}
	for _, id := range ids {
		if !stopped[id] {
			stopped[id] = true
			p.log.Warn("singleton stopped: no leader hears of this node", "instance", id, "grace", grace)
			set.Stop(id, 0, grace, p.Refuses(now), now)
		}
	}
	return left
}

// Refuses says why no singleton may run at now, or "".
func (p *Permit) Refuses(now time.Time) string {
	if left, _ := p.Left(now); left > 0 {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proof.At.IsZero() {
		return "it is a singleton, and no leader has ever heard of this node"
	}
	return fmt.Sprintf("it is a singleton, and no leader has heard of this node since %s: after %s another may run elsewhere",
		p.proof.At.UTC().Format(time.RFC3339), p.proof.Limit)
}
