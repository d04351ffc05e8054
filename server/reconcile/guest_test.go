package reconcile

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

// hosted is a cluster whose database was set back to when shop's first rollout
// ran: of its two instances it knows one that runs, and one that another has
// replaced since, of which it does not know. People look at that for ten minutes.
func hosted(t *testing.T, change func(r *rig)) (r *rig, own, guest string) {
	t.Helper()
	r = newRig(t)
	r.node("n1", 8192)
	r.deploy("shop", 2)
	r.settle()
	old := r.backup()
	for id, d := range old.deployments {
		d.Status, d.EndedAt, d.Deadline = model.DeploymentRunning, time.Time{}, r.now.Add(time.Minute)
		old.deployments[id] = d
	}
	before := r.runs()
	own = before[0]
	r.agents["n1"].tell(model.Observed{ID: before[1], Phase: model.PhaseGone, Gone: model.GoneExited})
	r.settle()
	r.pass(time.Minute)
	r.settle()
	for _, id := range r.runs() {
		if id != own {
			guest = id
		}
	}
	r.restore(old)
	r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, model.Moment{Epoch: 4 * day, Age: 3_601_000})
	r.round()
	for range 20 {
		r.pass(30 * time.Second)
		r.step()
		r.round()
	}
	if r.wish.Safe == nil || guest == "" || !slices.Equal(r.endpoints("shop"), slices.Sorted(slices.Values([]string{own, guest}))) {
		t.Fatalf("safe mode %+v, routed %v, own %q, guest %q", r.wish.Safe, r.endpoints("shop"), own, guest)
	}
	change(r)
	r.wish.Safe = nil
	r.core.swept = time.Time{}
	return r, own, guest
}

// goOn lets a few minutes pass.
func (r *rig) goOn() {
	r.t.Helper()
	for range 60 {
		r.settle()
		r.pass(5 * time.Second)
	}
}

func TestGuests_ARolloutThatASafeModeHeldUpStillSucceeds(t *testing.T) {
	t.Parallel()
	r, own, guest := hosted(t, func(*rig) {})
	r.goOn()
	for _, d := range r.deployments {
		if d.Status != model.DeploymentSucceeded {
			t.Errorf("the deployment is %s: %v", d.Status, d.Error)
		}
	}
	if now := r.runs(); len(now) != 2 || !slices.Contains(now, own) || slices.Contains(now, guest) || !slices.Equal(now, r.endpoints("shop")) {
		t.Errorf("running %v, routed %v; own %s, guest %s", now, r.endpoints("shop"), own, guest)
	}
}

// What is stopped leaves the routes, whoever else serves the app.
func TestGuests_OfAnAppThatNeverGetsWellHoldUpNothing(t *testing.T) {
	t.Parallel()
	r, own, guest := hosted(t, func(r *rig) { r.agents["n1"].dies = map[string]bool{"rel-shop-1": true} })
	r.round()
	r.agents["n1"].tell(model.Observed{ID: own, Phase: model.PhaseGone, Gone: model.GoneExited})
	r.round()
	if now := r.endpoints("shop"); !slices.Equal(now, []string{guest}) {
		t.Errorf("routed %v, and of %s and %s only the second runs", now, own, guest)
	}
	r.goOn()
	if len(r.instances)+len(r.runs())+len(r.endpoints("shop"))+len(r.core.guests) != 0 {
		t.Errorf("the first release has failed; left: rows %v, running %v, routed %v, guests %v", slices.Collect(maps.Keys(r.instances)), r.runs(), r.endpoints("shop"), r.core.guests)
	}
}

func TestGuests_ThatEndAreUnrouted(t *testing.T) {
	t.Parallel()
	r, own, guest := hosted(t, func(r *rig) { r.agents["n1"].hold = true })
	r.round()
	r.agents["n1"].tell(model.Observed{ID: guest, Phase: model.PhaseGone, Gone: model.GoneExited})
	r.round()
	if now := r.endpoints("shop"); !slices.Equal(now, []string{own}) {
		t.Errorf("routed %v, and of %s and %s only the first runs", now, own, guest)
	}
}

func TestGuests_GoWithTheirApp(t *testing.T) {
	t.Parallel()
	r, _, _ := hosted(t, func(*rig) {})
	r.edit("shop", func(a *model.App) { a.DeletedAt = r.now })
	r.goOn()
	if len(r.runs())+len(r.core.guests) != 0 {
		t.Errorf("left of a deleted app: running %v, guests %v", r.runs(), r.core.guests)
	}
}

// Guests may have the very room that is missing.
func TestGuests_BeyondThoseThatAreNeededGo_OnceSomethingElseServes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n1 := r.node("n1", 8192)
	r.deploy("shop", 2)
	r.settle()
	old := r.backup()
	r.edit("shop", func(a *model.App) { a.Instances = 6 })
	r.deploy("shop", 6)
	r.settle()
	r.restore(old)
	r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, model.Moment{Epoch: 4 * day, Age: 3_601_000})
	r.round()
	guests := r.runs()
	if r.wish.Safe == nil || len(guests) != 6 {
		t.Fatalf("safe mode %+v, running %v", r.wish.Safe, guests)
	}
	r.wish.Safe = nil
	r.core.swept = time.Time{}
	served := func(want ...int) {
		t.Helper()
		for range 60 {
			r.round()
			r.step()
			r.pass(5 * time.Second)
		}
		left := 0
		for _, id := range r.runs() {
			if slices.Contains(guests, id) {
				left++
			}
		}
		if got := []int{left, len(r.endpoints("shop"))}; !slices.Equal(got, want) {
			t.Errorf("%d guests run, %d instances serve, want %v", got[0], got[1], want)
		}
	}
	n1.hold = true // it starts nothing
	served(6, 6)
	n1.hold = false
	r.watch = func() { // nothing in slot 1 ever gets ready
		for id, row := range r.core.rows {
			r.sick[id] = row.Slot == 1
		}
	}
	served(1, 2)
	r.watch = func() { clear(r.sick) }
	served(0, 2)
}
