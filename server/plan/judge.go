package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/dinp/dinp/common/model"
)

// outcome is what becomes of a stage.
type outcome int

const (
	waiting outcome = iota // too early to say
	passed
	worse // than the old release: it is taken back
	held  // a person is to say
)

// What a new release may do worse than the old one before it is taken back.
const (
	allowedFailing = .01                    // of its requests, on top
	sigmas         = 3                      // of chance, and so many failures more, are not held against it
	slowerFactor   = 2                      // p95, and
	slowerBy       = 100 * time.Millisecond // by so much
	slowerProof    = 4                      // times the requests that a judgement needs: a p95 of fewer is chance
)

// judge says what becomes of the stage a deployment is in, and why in numbers.
//
// Failures are looked at all the time, since each one is a visitor's: a release
// is worse once more of its requests failed than the old one's share of failures
// in the same time, one percent more, and chance explain. Latency is looked at
// when the stage's time is over, because a program that has just started is slow.
// Too few requests are no proof of anything: the stage waits, and after the limit
// a person is asked. Requests that come later still decide.
func (p *planner) judge(d model.Deployment) (outcome, string) {
	t := p.trial(d)
	if t == nil {
		return waiting, ""
	}
	due := t.Since.Add(p.stage.For)
	p.wake(due)
	if !p.stage.Judged {
		if p.now.Before(due) {
			return waiting, ""
		}
		return passed, ""
	}
	p.wake(p.now.Add(p.cfg.JudgeEvery))
	why := fmt.Sprintf("at %d %% of the requests, %s: %s; %s: %s", p.stage.Share, p.version(d.ReleaseID), t.New, p.version(d.FromReleaseID), t.Old)
	switch {
	case failsMore(t.New, t.Old):
		return worse, why
	case p.now.Before(due):
		return waiting, why
	case t.New.Requests >= p.cfg.JudgeRequests:
		if p.slower(t.New, t.Old) {
			return worse, why
		}
		return passed, why
	case p.now.Before(t.Since.Add(p.cfg.JudgeWithin)):
		return waiting, why
	}
	return held, fmt.Sprintf("%s; %d requests to %s are needed to judge it, and did not come in %s", why, p.cfg.JudgeRequests, p.version(d.ReleaseID), p.cfg.JudgeWithin)
}

// slower reports whether the new release's answers take much longer, with enough
// of both to say so.
func (p *planner) slower(is, old Counted) bool {
	return min(is.Requests, old.Requests) >= slowerProof*p.cfg.JudgeRequests && is.P95 > slowerFactor*old.P95 && is.P95 > old.P95+slowerBy
}

// failsMore reports whether more of the new release's requests failed than the
// old one's failures, what is allowed on top, and chance explain. Failures are
// taken as a Poisson process; the margin makes a look after every few requests
// safe, and lets a release go whose first four requests all fail.
func failsMore(is, old Counted) bool {
	expected := float64(is.Requests) * (old.failing() + allowedFailing)
	return float64(is.Failed) > expected+sigmas*math.Sqrt(expected)+sigmas
}

// condemned is why a stage's judgement ends its deployment, or nil.
func (p *planner) condemned(d model.Deployment) *model.Error {
	if p.stage == nil || p.App.Paused || p.App.Promoted == d.ReleaseID {
		return nil
	}
	out, why := p.judge(d)
	if out != worse {
		return nil
	}
	v := p.version(d.ReleaseID)
	return model.E(model.CodeJudged, "%s does worse than %s, and was taken back %s", v, p.version(d.FromReleaseID), why).
		WithEvidence(p.LastLogs...).WithNext("dinp logs %s --release %s", p.App.Name, v)
}

// Progress says in words where a deployment stands among its stages, with the
// numbers it is judged by and the time that is left; "" when it has none.
func Progress(cfg Config, in Input, now time.Time) string {
	p := &planner{Input: in, cfg: cfg, now: now, count: in.App.Instances}
	d, ok := in.Deployments[in.App.ReleaseID]
	if p.enter(d); !ok || p.stage == nil {
		return ""
	}
	s := fmt.Sprintf("step %d of %d: %s on %d instances beside %s, with %d %% of the requests", d.Stage+1, p.stages+1, p.version(d.ReleaseID), p.beside, p.version(d.FromReleaseID), p.stage.Share)
	t := p.trial(d)
	switch {
	case p.App.Promoted == d.ReleaseID:
		return s + "; promoted: it goes on when they are ready"
	case t == nil:
		return s + "; they are being started"
	case !p.stage.Judged:
		return fmt.Sprintf("%s; %s stays for another %s, and a rollback returns to it at once", s, p.version(d.FromReleaseID), left(t.Since.Add(p.stage.For), now))
	}
	out, why := p.judge(d)
	if out == held {
		return fmt.Sprintf("%s; held: %s; dinp promote %s lets it go on, dinp rollback %s takes it back", s, why, p.App.Name, p.App.Name)
	}
	s = fmt.Sprintf("%s; judged so far %s", s, why)
	if l := left(t.Since.Add(p.stage.For), now); l > 0 {
		return fmt.Sprintf("%s; at least %s to go", s, l)
	}
	if t.New.Requests < cfg.JudgeRequests {
		return fmt.Sprintf("%s; %d more requests to it are needed within %s", s, cfg.JudgeRequests-t.New.Requests, left(t.Since.Add(cfg.JudgeWithin), now))
	}
	return s
}

func left(until, now time.Time) time.Duration { return max(0, until.Sub(now)).Round(time.Second) }
