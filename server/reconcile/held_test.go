package reconcile

import "testing"

// What routes led to when the term began is needed until each row has routes of
// this term; of a million instances it would be 170 MB for the rest of it.
func TestOpenRoutes_LetsGoOfTheRoutesInForce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 4096)
	r.deploy("shop", 3)
	r.settle()
	r.inForce = r.table
	r.lead()
	if err := r.core.Begin(t.Context()); err != nil || len(r.core.inForce) != 3 {
		t.Fatalf("%d instances are in force at the beginning, want 3 (%v)", len(r.core.inForce), err)
	}
	r.agents["n1"].connect()
	r.settle()
	if !r.core.open || r.core.inForce == nil || len(r.core.inForce) != 0 {
		t.Errorf("the table is complete: %v, and %d instances are held as of before", r.core.open, len(r.core.inForce))
	}
}
