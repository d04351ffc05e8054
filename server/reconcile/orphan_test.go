package reconcile

import (
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
)

// orphaned is a cluster in which the database has lost one of shop's two instances,
// as a failover does.
func orphaned(t *testing.T) (r *rig, orphan string) {
	t.Helper()
	r = newRig(t)
	r.node("n1", 8192)
	r.node("n2", 8192)
	r.deploy("shop", 2)
	r.settle()
	for id, i := range r.instances {
		if i.NodeID == "n1" {
			orphan = id
		}
	}
	delete(r.instances, orphan)
	return r, orphan
}

// runsOn lets time pass and reports whether an instance still runs after it.
func (r *rig) runsOn(id string, d time.Duration) bool {
	r.t.Helper()
	for end := r.now.Add(d); r.now.Before(end); r.pass(5 * time.Second) {
		r.round()
		r.step()
	}
	return slices.Contains(r.runs(), id)
}

func TestOrphans_AreNotStoppedWhileARouterSendsToThem(t *testing.T) {
	t.Parallel()
	r, orphan := orphaned(t)
	r.core.reload = true
	r.lazy = true
	if !r.runsOn(orphan, 5*time.Minute) {
		t.Fatal("it is stopped, and no router has taken the table without it")
	}
	if slices.Contains(r.endpoints("shop"), orphan) {
		t.Fatalf("it is routed: %v", r.endpoints("shop"))
	}
	r.lazy = false
	if r.runsOn(orphan, time.Minute) {
		t.Error("it runs, and routers have let it go")
	}
}

// What a leader found routed stays so until its own table is whole. Here Redis was
// flushed, and what shop has on a silent node is waited for.
func TestOrphans_AreNotStoppedBeforeTheTableIsWhole(t *testing.T) {
	t.Parallel()
	r, orphan := orphaned(t)
	r.found, r.inForce, r.complete = route.Head{}, nil, false
	r.lead()
	if err := r.core.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.silence("n2")
	r.agents["n1"].connect()
	if !r.runsOn(orphan, 80*time.Second) {
		t.Fatal("it is stopped, and routers have the table of the leader before")
	}
	if r.runsOn(orphan, 5*time.Minute) || !r.complete {
		t.Errorf("it still runs; the table complete: %v", r.complete)
	}
}
