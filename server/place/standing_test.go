package place

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

func node(id string, free int64) Standing {
	return Standing{ID: id, Name: id, Status: model.NodeReady, Availability: model.Active, MemoryMiB: 1024, CPUMilli: 4000, ReservedMiB: 1024 - free}
}

func TestPick_ChoosesByTheOrderOfItsRules(t *testing.T) {
	cases := map[string]struct {
		nodes []Standing
		want  int
	}{
		"an exact fit is a fit":                       {[]Standing{node("a", 256)}, 0}, // DEFECTS 28
		"free memory decides last":                    {[]Standing{node("a", 300), node("b", 900)}, 1},
		"fewer of the app beat free memory":           {[]Standing{with(node("a", 1000), func(n *Standing) { n.OfApp = 1 }), node("b", 300)}, 1},
		"an emptier zone beats an emptier node":       {[]Standing{with(node("a", 900), func(n *Standing) { n.Zone, n.OfApp = "x", 0 }), with(node("b", 900), func(n *Standing) { n.Zone, n.OfApp = "x", 3 }), with(node("c", 300), func(n *Standing) { n.Zone, n.OfApp = "y", 1 })}, 2},
		"failures count before memory":                {[]Standing{with(node("a", 1000), func(n *Standing) { n.Failures = 2 }), node("b", 300)}, 1}, // DEFECTS 29
		"one node that is too small vetoes nothing":   {[]Standing{node("a", 10), node("b", 300)}, 1},                                               // DEFECTS 27
		"a node that is being left is not taken":      {[]Standing{node("left", 1000), node("b", 300)}, 1},
		"nodes of any doubt are not taken":            {[]Standing{with(node("a", 900), func(n *Standing) { n.Status = model.NodeUnknown }), with(node("b", 900), func(n *Standing) { n.Availability = model.Cordoned }), node("c", 300)}, 2},
		"nothing fits":                                {[]Standing{node("a", 255), with(node("b", 900), func(n *Standing) { n.Status = model.NodeLost })}, -1},
		"CPU that was promised is not promised again": {[]Standing{with(node("a", 900), func(n *Standing) { n.ReservedMilli = 3900 })}, -1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, why := PickOf(c.nodes, Request{MemoryMiB: 256, CPUMilli: 500, Avoid: "left"})
			if got != c.want || (why == nil) != (c.want >= 0) {
				t.Errorf("got %d (%+v), want %d", got, why, c.want)
			}
		})
	}
}

func with(n Standing, change func(*Standing)) Standing {
	change(&n)
	return n
}

func TestRefused_CountsEveryConstraintAndNamesTheNearest(t *testing.T) {
	nodes := []Standing{node("a", 128), node("b", 200), node("c", 16), node("d", 8), with(node("e", 900), func(n *Standing) { n.Availability = model.Draining })}
	_, why := PickOf(nodes, Request{MemoryMiB: 256})
	e := why.Error()
	if e.Code != model.CodeNoMemory || e.Message != "0 of 5 nodes fit 256 MiB: 1 draining, 4 short of memory" {
		t.Errorf("error %+v", e)
	}
	if want := "[e is draining b is short by 56 MiB a is short by 128 MiB]"; fmt.Sprint(e.Evidence) != want {
		t.Errorf("evidence %v, want %s", e.Evidence, want)
	}
}

func TestRefused_SaysWhenDockerIsAwayEverywhere(t *testing.T) {
	_, why := PickOf([]Standing{with(node("a", 900), func(n *Standing) { n.Status = model.NodeDockerDown })}, Request{MemoryMiB: 64})
	if e := why.Error(); e.Code != model.CodeDockerAway {
		t.Errorf("error %+v", e)
	}
	_, why = PickOf(nil, Request{MemoryMiB: 64})
	if e := why.Error(); e.Code != model.CodeNoNode {
		t.Errorf("error %+v", e)
	}
}

func TestPick_NeverOvercommitsAndDoesNotDependOnOrder(t *testing.T) { // DEFECTS 25, 26, 30
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "nodes")
		nodes := make([]Standing, n)
		for i := range nodes {
			nodes[i] = node(fmt.Sprint("n", i), int64(rapid.IntRange(0, 1024).Draw(t, "free")))
			nodes[i].Zone = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "zone")
		}
		for range rapid.IntRange(1, 30).Draw(t, "instances") {
			r := Request{MemoryMiB: int64(rapid.IntRange(1, 400).Draw(t, "memory"))}
			at, _ := PickOf(nodes, r)
			perm := rapid.Permutation(nodes).Draw(t, "order")
			other, _ := PickOf(perm, r)
			if (at < 0) != (other < 0) || at >= 0 && nodes[at].ID != perm[other].ID {
				t.Fatalf("order matters: %d and %d", at, other)
			}
			if at < 0 {
				continue
			}
			nodes[at].ReservedMiB += r.MemoryMiB
			nodes[at].OfApp++
			if nodes[at].ReservedMiB > nodes[at].MemoryMiB {
				t.Fatalf("node %s holds %d of %d MiB", nodes[at].ID, nodes[at].ReservedMiB, nodes[at].MemoryMiB)
			}
		}
	})
}
