package reconcile

import (
	"testing"
	"time"
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
	r.flushed = true
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
