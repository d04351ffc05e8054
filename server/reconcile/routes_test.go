package reconcile

import (
	"testing"
	"time"

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
	const key = "/rs/shop.apps.test"
	before := r.table[key]
	if before == "" {
		t.Fatalf("shop is not routed: %v", r.table)
	}
	r.found = route.Head{}
	r.lead()
	if err := r.core.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.silence("n1")
	for range 18 {
		r.pass(5 * time.Second)
		r.round()
		if r.table[key] != before {
			t.Fatalf("after %s its route is %s", r.now.Sub(r.core.began), r.table[key])
		}
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
		const key = "/rs/shop.apps.test"
		before := r.table[key]
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
			if r.table[key] != before || r.complete {
				t.Fatalf("%+v: after %s its route is %s, the table complete: %v", found, r.now.Sub(r.core.began), r.table[key], r.complete)
			}
			r.pass(5 * time.Second)
		}
		r.agents["n1"].connect()
		r.settle()
		if r.table[key] != before || !r.complete {
			t.Errorf("%+v: its route is %s when its node has told, the table complete: %v", found, r.table[key], r.complete)
		}
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
	r.inForce, r.complete = map[string]string{"/rs/shop.apps.test": r.table["/rs/shop.apps.test"]}, false
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
