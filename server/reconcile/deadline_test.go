package reconcile

import (
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

// rollout is a deployment that has run for a while when its leader is gone for
// long; next begins a term after that.
func rollout(t *testing.T, ran, gone time.Duration) (r *rig, next func(gone time.Duration)) {
	r = newRig(t)
	r.now = time.UnixMilli(1_900_000_000_000)
	a := r.node("n1", 8192)
	r.deploy("shop", 1)
	r.settle()
	began := r.now
	next = func(gone time.Duration) {
		m := model.Moment{Epoch: began.UnixMilli(), Age: r.now.Sub(began).Milliseconds()}
		a.away = true
		r.now = r.now.Add(gone)
		began = r.now
		r.term(began.UnixMilli(), m, m)
		r.round()
	}
	a.hold = true // its image is long on its way
	r.deploy("shop", 1)
	r.round()
	r.pass(ran)
	r.round()
	next(gone)
	return r, next
}

func (r *rig) rolls(t *testing.T, d time.Duration) {
	t.Helper()
	for ; d > 0; d -= 10 * time.Second {
		if s := r.deployments["rel-shop-2"].Status; s != model.DeploymentRunning {
			t.Fatalf("the deployment is %s %s after the term began: %v", s, r.now.Sub(r.core.began), r.deployments["rel-shop-2"].Error)
		}
		r.pass(10 * time.Second)
		r.round()
	}
}

func TestDeadline_DoesNotRunWhileNobodyLeads(t *testing.T) { // R14
	t.Parallel()
	r, _ := rollout(t, time.Minute, time.Hour)
	r.rolls(t, 3*time.Minute+30*time.Second) // of five
	r.pass(time.Minute)
	r.round()
	if s := r.deployments["rel-shop-2"].Status; s != model.DeploymentFailed {
		t.Errorf("the deployment is %s when all its time is over", s)
	}
}

func TestDeadline_TheNextLeaderGoesOnFromWhereItWasResumed(t *testing.T) { // R14
	t.Parallel()
	r, next := rollout(t, time.Minute, time.Hour)
	r.rolls(t, time.Minute)
	r.core.reload = true // after trouble it is what it was
	r.rolls(t, 30*time.Second)
	next(10 * time.Minute)
	r.rolls(t, time.Minute)
	r.agents["n1"].hold = false
	r.agents["n1"].connect()
	r.settle()
	if s := r.deployments["rel-shop-2"].Status; s != model.DeploymentSucceeded {
		t.Errorf("the deployment is %s: %v", s, r.deployments["rel-shop-2"].Error)
	}
}

// An instance that was placed before nobody led is not replaced for its age by the
// first bad probe in the next term.
func TestDeadline_OfAnInstanceDoesNotRunWhileNobodyLeads(t *testing.T) { // R14
	t.Parallel()
	r := newRig(t)
	r.now = time.UnixMilli(1_900_000_000_000)
	a := r.node("n1", 8192)
	r.deploy("shop", 1)
	r.settle()
	began := r.now
	a.tell(model.Observed{ID: r.inserted[0].ID, Phase: model.PhaseGone, Gone: model.GoneExited, ExitCode: 3})
	a.hold = true // the next one is placed, and nothing more
	r.round()
	m := model.Moment{Epoch: began.UnixMilli(), Age: 1000}
	a.away = true
	r.pass(time.Hour)
	r.sick["shop"] = true
	a.hold = false
	r.term(r.now.UnixMilli(), m, m)
	limit := time.Duration(r.releases["rel-shop-1"].Spec.Deadline)
	for r.now.Before(r.core.began.Add(limit - 10*time.Second)) {
		r.round()
		r.step()
		r.pass(5 * time.Second)
	}
	if len(r.inserted) != 2 {
		t.Errorf("%d instances were placed, want the first and the one in its place", len(r.inserted))
	}
	r.pass(20 * time.Second)
	r.round()
	if len(r.inserted) != 3 {
		t.Errorf("%d instances were placed when all its time is over, want another that takes its place", len(r.inserted))
	}
}
