package reconcile

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

// A Redis that was flushed says nothing of what was routed, and a node that is
// silent when the leaders change may have all of it.
func TestRoutes_AnEmptyRedisTellsNothingOfSilentNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	r.deploy("shop", 1)
	r.settle()
	before := r.table[shopKey]
	if before == "" {
		t.Fatalf("shop is not routed: %v", r.table)
	}
	r.found = route.Head{}
	r.lead()
	if err := r.core.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.silence("n1")
	for range 60 { // all nodes silent for five minutes: we are cut off, and whatever runs runs on
		r.pass(5 * time.Second)
		r.round()
		if r.table[shopKey] != before {
			t.Fatalf("after %s its route is %s", r.now.Sub(r.core.began), r.table[shopKey])
		}
	}
	r.agents["n1"].connect()
	r.settle()
	if r.table[shopKey] != before || !r.complete {
		t.Errorf("its route is %s when its node has told, the table complete: %v", r.table[shopKey], r.complete)
	}
}

// So does one that was set back to before the route was written, which routers tell
// by what they serve, as soon as they are heard; also when another leader has begun on
// it and was gone before its table was whole.
func TestRoutes_ARedisThatWasSetBackTellsNothingOfSilentNodes(t *testing.T) {
	t.Parallel()
	for _, found := range []route.Head{
		{Version: route.Version{Epoch: 5, Seq: 8}},
		{Version: route.Version{Epoch: 6, Seq: 3}, Base: route.Version{Epoch: 5, Seq: 8}},
	} {
		r := newRig(t)
		r.node("n1", 1024)
		r.deploy("shop", 1)
		r.settle()
		before := r.table[shopKey]
		r.inForce, r.found, r.complete = map[string]string{}, found, false
		r.lead()
		if err := r.core.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.silence("n1")
		r.pass(5 * time.Second)
		r.routers[0].Serves = route.Version{Epoch: 5, Seq: 9}
		for range 17 {
			r.round()
			if r.table[shopKey] != before || r.complete {
				t.Fatalf("%+v: after %s its route is %s, the table complete: %v", found, r.now.Sub(r.core.began), r.table[shopKey], r.complete)
			}
			r.pass(5 * time.Second)
		}
		r.agents["n1"].connect()
		r.settle()
		if r.table[shopKey] != before || !r.complete {
			t.Errorf("%+v: its route is %s when its node has told, the table complete: %v", found, r.table[shopKey], r.complete)
		}
	}
}

// withoutRedis is a rig with an app on one node whose leader began while Redis was
// away, and what is routed.
func withoutRedis(t *testing.T) (r *rig, before string) {
	t.Helper()
	r = newRig(t)
	r.node("n1", 1024)
	r.node("n2", 1024)
	r.deploy("shop", 1)
	r.settle()
	r.inForce, r.complete, r.redisAway = maps.Clone(r.table), false, true
	r.lead()
	if err := r.core.Begin(t.Context()); err == nil {
		t.Fatal("what is in force was read although redis is away")
	}
	return r, r.table[shopKey]
}

const shopKey = "/rs/shop.apps.test"

// What a leader knows of a silent node is what was routed when its term began. Without
// that it sets nothing, also when the node is lost: what serves there by the routers'
// tables would be withdrawn.
func TestRoutes_NoneAreSetBeforeThoseInForceAreKnownAndThoseOfALostNodeStay(t *testing.T) {
	t.Parallel()
	r, before := withoutRedis(t)
	on := r.instances[slices.Collect(maps.Keys(r.instances))[0]].NodeID
	r.silence(on)
	for id, a := range r.agents {
		if a.hold = true; id != on {
			a.connect()
		}
	}
	for range 18 {
		r.pass(5 * time.Second)
		r.round()
		if r.table[shopKey] != before || r.complete {
			t.Fatalf("after %s its route is %s, the table complete: %v", r.now.Sub(r.core.began), r.table[shopKey], r.complete)
		}
	}
	if n := r.core.nodes[on]; n.Status != model.NodeLost || len(r.core.apps["app-shop"].rows) != 2 {
		t.Fatalf("%s is %s, and the app has %d instances, want it lost and one to replace what is there", on, n.Status, len(r.core.apps["app-shop"].rows))
	}
	r.redisAway = false
	for range 2 {
		r.round()
	}
	if r.table[shopKey] != before || !r.complete {
		t.Errorf("what is in force is known: its route is %s, the table complete: %v", r.table[shopKey], r.complete)
	}
}

// A monitor that sees an app dead takes it out of no table if it was routed, also
// when the leader learns that late.
func TestRoutes_WhatIsSickAndWasRoutedStaysSoWhenTheRoutesInForceAreLearntLate(t *testing.T) {
	t.Parallel()
	r, before := withoutRedis(t)
	r.sick["shop"] = true
	for range 3 {
		for _, a := range r.agents {
			a.connect()
		}
		r.step()
		r.pass(5 * time.Second)
		r.round()
	}
	if r.core.rows["i001"] == nil || r.core.rows["i001"].verdict.Healthy || !r.core.rows["i001"].verdict.Judged {
		t.Fatal("it was not judged to be sick")
	}
	if got := r.core.AppReply("app-shop").GetState(); !strings.Contains(got, "what serves is not known") {
		t.Errorf("the leader says %q, and does not know what serves", got)
	}
	r.redisAway = false
	r.round() // its apps are planned for it at once, and not when nodes have had their time
	if r.table[shopKey] != before || !r.complete {
		t.Errorf("its route is %s, the table complete: %v", r.table[shopKey], r.complete)
	}
}

// Nor is anything stopped that routers may send to.
func TestRoutes_NothingIsStoppedBeforeThoseInForceAreKnown(t *testing.T) {
	t.Parallel()
	r, before := withoutRedis(t)
	r.edit("shop", func(a *model.App) { a.DeletedAt = r.now })
	for range 3 {
		for _, a := range r.agents {
			a.connect()
		}
		r.settle()
	}
	if i := r.instances["i001"]; !i.Stopping || r.table[shopKey] != before {
		t.Fatalf("of an app that is deleted the instance is %+v, its route %s", i, r.table[shopKey])
	}
	r.redisAway = false
	r.settle()
	if len(r.instances) != 0 || r.table[shopKey] != "" {
		t.Errorf("the deleted app has %d instances and the route %q", len(r.instances), r.table[shopKey])
	}
}

// The apps of a silent node wait for it, for its time and for nothing else: at the
// beginning of a term these are nearly all there are.
func TestRoutes_WhatWaitsForASilentNodeIsNotPlannedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	r.deploy("shop", 1)
	r.settle()
	r.inForce, r.complete = map[string]string{shopKey: r.table[shopKey]}, false
	r.found = route.Head{Version: route.Version{Epoch: 5, Seq: 8}}
	r.lead()
	if err := r.core.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.silence("n1")
	r.round() // reads what is wished for, and plans it
	for r.core.deps.Now().Sub(r.core.began) < 19*time.Second {
		if n := len(r.core.dirty); n != 0 || r.complete {
			t.Fatalf("after %s %d apps are to be planned, the table complete: %v", r.now.Sub(r.core.began), n, r.complete)
		}
		r.pass(500 * time.Millisecond)
		r.round()
	}
	r.pass(time.Second)
	for range 2 {
		r.round()
	}
	if !r.complete {
		t.Error("the table is not complete when the node's time is over")
	}
}

// What a write takes out of the table that has not reached the routers is still
// routed: it answers on when what was to come instead has ended meanwhile.
func TestRoutes_WhatRoutersHaveYetToLetGoStaysWhenWhatReplacedItEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.node("n1", 1024)
	r.deploy("shop", 1)
	r.settle()
	before := r.table[shopKey]
	r.lazy, r.sick["i001"] = true, true
	for n := 0; r.core.rows["i002"] == nil || !r.core.rows["i002"].inRoutes; n++ {
		if n == 60 {
			t.Fatalf("nothing replaces what is sick: %s", r.table[shopKey])
		}
		r.step()
		r.round()
		r.pass(time.Second)
	}
	if strings.Contains(r.table[shopKey], "i001") {
		t.Fatalf("what is sick is routed beside what is not: %s", r.table[shopKey])
	}
	a.tell(model.Observed{ID: "i002", Phase: model.PhaseGone, Gone: model.GoneExited, ExitCode: 3})
	r.round()
	if r.table[shopKey] != before {
		t.Errorf("its route is %s, want %s, as routers still have it", r.table[shopKey], before)
	}
}

// A Redis that was flushed does not tell what was routed, and monitors that see nothing answer are
// no proof that it was not. What is of a release that never was rolled out was not.
func TestRoutes_WhatIsSickMayHaveBeenRoutedWhenRedisWasFlushed(t *testing.T) {
	t.Parallel()
	for what, rolled := range map[string]bool{"rolled out": true, "never rolled out": false} {
		r := newRig(t)
		r.node("n1", 1024)
		r.deploy("shop", 1)
		r.settle()
		before := r.table[shopKey]
		if d := r.deployments["rel-shop-1"]; !rolled {
			d.Status, d.EndedAt, d.Deadline = model.DeploymentRunning, time.Time{}, r.now.Add(time.Hour)
			r.deployments["rel-shop-1"] = d
		}
		r.found, r.inForce, r.table, r.complete = route.Head{}, nil, map[string]string{}, false
		r.sick["shop"] = true
		r.lead()
		if err := r.core.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.agents["n1"].connect()
		for range 40 {
			r.round()
			r.step()
			r.pass(5 * time.Second)
		}
		if got := r.table[shopKey]; !r.complete || (got == before) != rolled {
			t.Errorf("%s: its route is %s, the table complete: %v", what, got, r.complete)
		}
	}
}

// Nor is it forgotten what was routed when the term began, once the table is whole.
func TestRoutes_WhatWasRoutedBeforeTheTermAndRoutersHaveYetToLetGoStaysWhenTheOthersEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	r.node("n2", 1024)
	r.deploy("shop", 2)
	r.settle()
	r.inForce, r.complete, r.lazy = maps.Clone(r.table), false, true
	r.sick["i001"] = true
	r.lead()
	if err := r.core.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.silence("n1")
	r.silence("n2")
	for _, id := range []string{"i001", "i002"} { // the one is judged before the routes can be set
		r.agents[r.instances[id].NodeID].connect()
		for range 3 {
			r.round()
			r.step()
			r.pass(time.Second)
		}
	}
	if got := r.endpoints("shop"); !r.complete || !slices.Equal(got, []string{"i002"}) {
		t.Fatalf("routed %v, the table complete: %v", got, r.complete)
	}
	r.agents[r.instances["i002"].NodeID].tell(model.Observed{ID: "i002", Phase: model.PhaseGone, Gone: model.GoneExited, ExitCode: 3})
	r.round()
	if got := r.endpoints("shop"); !slices.Equal(got, []string{"i001"}) {
		t.Errorf("routed %v, and routers still have i001", got)
	}
}
