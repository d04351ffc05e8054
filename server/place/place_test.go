package place

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

func node(id string, free int64) Node {
	return Node{ID: id, Name: id, Status: model.NodeReady, Availability: model.Active, MemoryMiB: 1024, CPUMilli: 4000, ReservedMiB: 1024 - free}
}

func TestPick_ChoosesByTheOrderOfItsRules(t *testing.T) {
	cases := map[string]struct {
		nodes []Node
		want  int
	}{
		"an exact fit is a fit":                       {[]Node{node("a", 256)}, 0}, // DEFECTS 28
		"free memory decides last":                    {[]Node{node("a", 300), node("b", 900)}, 1},
		"fewer of the app beat free memory":           {[]Node{with(node("a", 1000), func(n *Node) { n.OfApp = 1 }), node("b", 300)}, 1},
		"an emptier zone beats an emptier node":       {[]Node{with(node("a", 900), func(n *Node) { n.Zone, n.OfApp = "x", 0 }), with(node("b", 900), func(n *Node) { n.Zone, n.OfApp = "x", 3 }), with(node("c", 300), func(n *Node) { n.Zone, n.OfApp = "y", 1 })}, 2},
		"failures count before memory":                {[]Node{with(node("a", 1000), func(n *Node) { n.Failures = 2 }), node("b", 300)}, 1}, // DEFECTS 29
		"equal nodes are told apart by their ID":      {[]Node{node("b", 500), node("a", 500)}, 1},                                          // DEFECTS 30
		"one node that is too small vetoes nothing":   {[]Node{node("a", 10), node("b", 300)}, 1},                                           // DEFECTS 27
		"a node that is being left is not taken":      {[]Node{node("left", 1000), node("b", 300)}, 1},
		"nodes of any doubt are not taken":            {[]Node{with(node("a", 900), func(n *Node) { n.Status = model.NodeUnknown }), with(node("b", 900), func(n *Node) { n.Availability = model.Cordoned }), node("c", 300)}, 2},
		"nothing fits":                                {[]Node{node("a", 255), with(node("b", 900), func(n *Node) { n.Status = model.NodeLost })}, -1},
		"CPU that was promised is not promised again": {[]Node{with(node("a", 900), func(n *Node) { n.ReservedMilli = 3900 })}, -1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, why := Pick(c.nodes, Request{MemoryMiB: 256, CPUMilli: 500, Avoid: "left"})
			if got != c.want || (why == nil) != (c.want >= 0) {
				t.Errorf("got %d (%+v), want %d", got, why, c.want)
			}
		})
	}
}

func with(n Node, change func(*Node)) Node {
	change(&n)
	return n
}

func TestRefused_CountsEveryConstraintAndNamesTheNearest(t *testing.T) {
	nodes := []Node{node("a", 128), node("b", 200), node("c", 16), node("d", 8), with(node("e", 900), func(n *Node) { n.Availability = model.Draining })}
	_, why := Pick(nodes, Request{MemoryMiB: 256})
	e := why.Error()
	if e.Code != model.CodeNoMemory || e.Message != "0 of 5 nodes fit 256 MiB: 1 draining, 4 short of memory" {
		t.Errorf("error %+v", e)
	}
	if want := "[b is short by 56 MiB a is short by 128 MiB c is short by 240 MiB]"; fmt.Sprint(e.Evidence) != want {
		t.Errorf("evidence %v, want %s", e.Evidence, want)
	}
}

func TestRefused_SaysWhenDockerIsAwayEverywhere(t *testing.T) {
	_, why := Pick([]Node{with(node("a", 900), func(n *Node) { n.Status = model.NodeDockerDown })}, Request{MemoryMiB: 64})
	if e := why.Error(); e.Code != model.CodeDockerAway {
		t.Errorf("error %+v", e)
	}
	_, why = Pick(nil, Request{MemoryMiB: 64})
	if e := why.Error(); e.Code != model.CodeNoNode {
		t.Errorf("error %+v", e)
	}
}

func TestPick_NeverOvercommitsAndDoesNotDependOnOrder(t *testing.T) { // DEFECTS 25, 26, 30
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "nodes")
		nodes := make([]Node, n)
		for i := range nodes {
			nodes[i] = node(fmt.Sprint("n", i), int64(rapid.IntRange(0, 1024).Draw(t, "free")))
			nodes[i].Zone = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "zone")
		}
		for range rapid.IntRange(1, 30).Draw(t, "instances") {
			r := Request{MemoryMiB: int64(rapid.IntRange(1, 400).Draw(t, "memory"))}
			at, _ := Pick(nodes, r)
			perm := rapid.Permutation(nodes).Draw(t, "order")
			other, _ := Pick(perm, r)
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
