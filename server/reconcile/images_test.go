package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/dispatch"
)

func shopImage(n int) string { return fmt.Sprintf("dinp/apps/shop@sha256:%d", n) }

// versions rolls out shop's images, one after the other.
func (r *rig) versions(images ...int) {
	r.t.Helper()
	for _, n := range images {
		r.deploy("shop", 1, func(s *model.Spec) { s.Image = shopImage(n) })
		r.settle()
	}
}

// asks has a node ask which of these images are needed.
func (r *rig) asks(a *fakeAgent, images ...string) (keep, free []string) {
	r.t.Helper()
	a.needed = nil
	m := &pb.AgentMessage{Body: &pb.AgentMessage_Unused{Unused: &pb.Unused{Images: images, Keep: 2}}}
	r.core.Handle(r.t.Context(), dispatch.EventOf(a, m))
	return a.needed.GetKeep(), a.needed.GetFree()
}

func TestUnused_WhatARollbackNeedsStays_WhateverWasUsedOnTheNode(t *testing.T) {
	r := newRig(t)
	a := r.node("n1", 8192)
	r.versions(1, 2, 3)
	a.dies = map[string]bool{"rel-shop-4": true, "rel-shop-5": true}
	r.versions(4, 5)
	all := []string{shopImage(1), shopImage(2), shopImage(3), shopImage(4), shopImage(5)}
	keep, free := r.asks(a, all...)
	if want := []string{shopImage(2), shopImage(3), shopImage(4), shopImage(5)}; !slices.Equal(keep, want) || !slices.Equal(free, all[:1]) {
		t.Errorf("keep %v, free %v", keep, free)
	}
	r.lead() // the next leader reads what it does not hold
	a.connect()
	r.settle()
	if again, spare := r.asks(a, all...); !slices.Equal(again, keep) || !slices.Equal(spare, free) {
		t.Errorf("the next leader: keep %v, free %v", again, spare)
	}
	r.deploy("shop", 1, func(s *model.Spec) { s.Image = shopImage(1) }) // wanted, and not yet started anywhere
	r.round()
	if keep, _ := r.asks(a, all...); !slices.Contains(keep, shopImage(1)) {
		t.Errorf("of the wanted release nothing is kept: %v", keep)
	}
}

func TestUnused_NodeThatWantsNoneAtHand_KeepsWhatIsWantedAllTheSame(t *testing.T) {
	r := newRig(t)
	a := r.node("n1", 8192)
	r.versions(1, 2)
	r.deploy("shop", 1, func(s *model.Spec) { s.Image = shopImage(3) })
	r.core.Handle(t.Context(), dispatch.Nudged{AppIDs: []string{"app-shop"}}) // its rollout has not begun
	m := &pb.Unused{Images: []string{shopImage(1), shopImage(2), shopImage(3)}}
	r.core.Handle(t.Context(), dispatch.EventOf(a, &pb.AgentMessage{Body: &pb.AgentMessage_Unused{Unused: m}}))
	if !slices.Equal(a.needed.GetKeep(), m.GetImages()[1:]) || !slices.Equal(a.needed.GetFree(), m.GetImages()[:1]) {
		t.Errorf("%v", a.needed)
	}
}

func TestUnused_WhatNoAppHasIsFree_AndOfWhatIsNoAppsNothingIsSaid(t *testing.T) {
	r := newRig(t)
	a := r.node("n1", 8192)
	r.versions(1)
	keep, free := r.asks(a, "dinp/apps/old@sha256:1", "people/own@sha256:1", shopImage(1), shopImage(9))
	if !slices.Equal(keep, []string{shopImage(1)}) || !slices.Equal(free, []string{"dinp/apps/old@sha256:1", shopImage(9)}) {
		t.Errorf("keep %v, free %v", keep, free)
	}
}

// An app of that name was deleted, and what it had may be what the new one has.
func TestUnused_DeletedAppOfTheName_TakesNothingFromTheNewOne(t *testing.T) {
	r := newRig(t)
	a := r.node("n1", 8192)
	r.versions(1)
	a.hold = true // what the old one runs does not end
	r.edit("shop", func(x *model.App) { x.DeletedAt = r.now })
	old := r.wish.Apps[0]
	r.releases["new"] = model.Release{ID: "new", AppID: "app-new", Number: 1, Spec: model.Spec{Image: shopImage(2), MemoryMiB: 64}.WithDefaults()}
	old.ID, old.ReleaseID, old.DeletedAt = "app-new", "new", time.Time{}
	r.wish.Apps = append(r.wish.Apps, old)
	r.core.swept = time.Time{}
	r.round()
	keep, free := r.asks(a, shopImage(1), shopImage(2), shopImage(3))
	if !slices.Equal(keep, []string{shopImage(1), shopImage(2)}) || !slices.Equal(free, []string{shopImage(3)}) {
		t.Errorf("keep %v, free %v", keep, free)
	}
}

func TestUnused_LeaderThatDoesNotKnow_SaysNothing(t *testing.T) {
	r := newRig(t)
	a := r.node("n1", 8192)
	r.versions(1, 2, 3, 4)
	delete(r.core.releases, "rel-shop-1")
	for name, trouble := range map[string]func() (mend func()){
		"the database does not answer": func() func() {
			r.broken = errors.New("away")
			return func() { r.broken = nil }
		},
		"memory and database may differ": func() func() {
			r.core.reload = true
			return func() { r.core.reload = false }
		},
		"the database is not believed": func() func() {
			r.core.safe = &model.SafeMode{}
			return func() { r.core.safe = nil }
		},
	} {
		mend := trouble()
		if r.asks(a, shopImage(1)); a.needed != nil {
			t.Errorf("%s: %v", name, a.needed)
		}
		mend()
	}
	if _, free := r.asks(a, shopImage(1)); len(free) != 1 {
		t.Errorf("free %v", free)
	}
}

func TestUnused_OlderThanIsLookedAt_IsOnlyFreeWhenEnoughHaveServedSince(t *testing.T) {
	r := newRig(t)
	a := r.node("n1", 8192)
	r.versions(1, 2)
	for range leastHistory + 2 { // the same image, with other settings
		r.deploy("shop", 1, func(s *model.Spec) { s.Image, s.Env = shopImage(3), map[string]string{"N": fmt.Sprint(r.ids)} })
		r.settle()
	}
	if keep, free := r.asks(a, shopImage(2), shopImage(3)); !slices.Equal(keep, []string{shopImage(3)}) || len(free) != 0 {
		t.Errorf("keep %v, free %v: v2 served, and may be what people roll back to", keep, free)
	}
	r.versions(4)
	if _, free := r.asks(a, shopImage(2), shopImage(3)); !slices.Equal(free, []string{shopImage(2)}) {
		t.Errorf("free %v", free)
	}
}
