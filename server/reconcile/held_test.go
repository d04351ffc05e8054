package reconcile

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

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

// When leaders change all nodes say hello at once, and nearly none has anything
// new to say.
func TestOpened_ANodeThatIsAsTheDatabaseHasItIsNotWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, id := range []string{"n1", "n2"} {
		r.node(id, 1024)
	}
	r.round()
	for id, n := range r.nodes { // as the database does
		n.CreatedAt = r.now
		r.nodes[id] = n
	}
	greet := func(what string, want ...string) {
		t.Helper()
		r.lead()
		r.round()
		for _, a := range r.agents {
			a.connect()
		}
		if got := slices.Sorted(maps.Keys(r.core.newNodes)); !slices.Equal(got, want) {
			t.Errorf("%s: %v are to be written, want %v", what, got, want)
		}
		r.round()
	}
	greet("nothing is new")
	r.agents["n2"].hello.MemoryMib = 2048
	greet("n2 has grown", "n2")
	r.now = r.now.Add(2 * seenEvery)
	greet("they were seen long ago", "n1", "n2")
}

// What an agent says of its node is newer than what the database has of it, which
// is read again after trouble.
func TestTakeWorld_WhatAnAgentHasSaidOfItsNodeStays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.node("n1", 1024)
	r.round()
	var before model.Node // as the database has it of an hour ago
	says := func(mib int64, then func()) {
		t.Helper()
		before = r.nodes["n1"]
		before.CreatedAt = r.now
		r.nodes["n1"] = before
		a.hello.MemoryMib = mib
		then()
		r.round()
		if is, has := r.core.nodes["n1"].MemoryMiB, r.nodes["n1"].MemoryMiB; is != mib || has != mib {
			t.Errorf("the agent says %d MiB, the leader believes %d and the database has %d", mib, is, has)
		}
	}
	says(2048, func() { // and cannot be written
		a.connect()
		r.broken = errors.New("away")
		r.round()
		r.broken = nil
	})
	says(3072, func() { // to a leader that has read nothing yet
		r.lead()
		a.connect()
	})
	says(4096, func() { // and a failover loses it
		a.connect()
		r.round()
		r.nodes["n1"] = before
		r.core.reload = true
		r.core.swept = time.Time{}
	})
	says(5120, func() { // and a failover loses all of it
		a.connect()
		r.round()
		delete(r.nodes, "n1")
		r.core.reload = true
		r.core.swept = time.Time{}
	})
}
