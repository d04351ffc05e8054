package reconcile

import (
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// singleton is an app of which never two instances run, on two nodes.
func singleton(t tester) *rig {
	r := newRig(t)
	r.node("n1", 1024)
	r.node("n2", 1024)
	r.watch = func() {
		if n := r.running(); n > 1 {
			t.Fatalf("%d instances of a singleton run", n)
		}
	}
	r.edit("shop", func(a *model.App) { a.Singleton = true })
	r.deploy("shop", 1)
	r.settle()
	return r
}

// running is how many containers there are.
func (r *rig) running() (n int) {
	for _, a := range r.agents {
		for _, o := range a.has {
			if o.Phase != model.PhaseGone {
				n++
			}
		}
	}
	return n
}

// serves returns the release and the node of the only instance.
func (r *rig) serves(t *testing.T) (release, node string) {
	t.Helper()
	rows := r.core.apps["app-shop"].rows
	if len(rows) != 1 || !rows[0].inRoutes || r.running() != 1 {
		t.Fatalf("%d rows, %d containers: %s", len(rows), r.running(), told(r.explained("shop")))
	}
	return rows[0].ReleaseID, rows[0].NodeID
}

func TestSingleton_RolloutAndDrainStopBeforeTheyStart(t *testing.T) {
	t.Parallel()
	r := singleton(t)
	r.deploy("shop", 1)
	r.settle()
	release, node := r.serves(t)
	if release != "rel-shop-2" || r.deployments[release].Status != model.DeploymentSucceeded {
		t.Errorf("%s serves, its deployment %+v", release, r.deployments[release])
	}
	a := r.answer(&pb.WhatIfRequest{Drain: node})
	r.want(node, model.Draining)
	r.settle()
	if _, now := r.serves(t); now == node || len(a.GetMoves()) != 1 || a.GetMoves()[0].GetTo() != now {
		t.Errorf("it is on %s, foretold was %v", now, a)
	}
}

func TestSingleton_FailedReleaseGivesWayToTheOneBefore(t *testing.T) {
	t.Parallel()
	r := singleton(t)
	for _, a := range r.agents {
		a.dies = map[string]bool{"rel-shop-2": true}
	}
	r.deploy("shop", 1)
	r.settle()
	if release, _ := r.serves(t); release != "rel-shop-1" || r.deployments["rel-shop-2"].Status != model.DeploymentFailed {
		t.Errorf("%s serves, the deployment: %+v", release, r.deployments["rel-shop-2"])
	}
}

func TestSingleton_OnALostNodeIsReplacedOnlyByAPersonsWord(t *testing.T) { // R11
	t.Parallel()
	r := singleton(t)
	_, node := r.serves(t)
	r.silence(node)
	r.pass(5 * time.Minute)
	r.settle()
	if len(r.inserted) != 1 {
		t.Fatalf("a second instance was placed while the first may run: %s", told(r.explained("shop")))
	}
	r.want(node, model.Forgotten)
	delete(r.agents, node) // it is burnt
	r.settle()
	if _, now := r.serves(t); now == node {
		t.Error("it was not replaced")
	}
}

func TestSingleton_OnAForgottenNodeMayRunUntilItIsSilentForLong(t *testing.T) { // R11
	t.Parallel()
	r := singleton(t)
	_, node := r.serves(t)
	r.silence(node)
	r.pass(20 * time.Second)
	r.round()
	r.want(node, model.Forgotten) // it is only cut off, and its agent ends singletons in its time
	for range 10 {
		r.pass(5 * time.Second)
		r.round()
	}
	if len(r.inserted) != 1 {
		t.Fatalf("a second instance was placed while the first may run: %s", told(r.explained("shop")))
	}
	delete(r.agents, node)
	r.pass(10 * time.Second)
	r.settle()
	if _, now := r.serves(t); now == node {
		t.Error("it was not replaced")
	}
}
