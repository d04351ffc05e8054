// Package place chooses the node for one new instance, or says why none will
// do. It is a pure function over dense values: integers only, no clock, no map
// order, so that the same inputs always give the same node.
package place

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// Node is a host as placement sees it. Reserved counts every instance with a
// row, stopping ones included: memory is free when a container is gone, not
// when we wish it were (R16).
type Node struct {
	ID, Name, Zone             string
	Status                     model.NodeStatus
	Availability               model.Availability
	MemoryMiB, CPUMilli        int64 // in all
	ReservedMiB, ReservedMilli int64
	OfApp                      int // instances of the app in question
	Starting                   int // instances that are being pulled or started
	Failures                   int // recent ones of the release in question
}

// Request is what the new instance needs.
type Request struct {
	MemoryMiB, CPUMilli int64
	Avoid               string // node ID not to take; "" for none
}

// Refused is why no node will do: how many nodes each constraint excluded, and
// the nearest misses.
type Refused struct {
	Nodes    int
	Counts   map[string]int // constraint → nodes
	Misses   []Miss         // the three nodes that lack least memory
	Request  Request
	MaxTotal int64 // MiB of the largest ready node
}

// Miss is a node that almost fits.
type Miss struct {
	Node  string
	Short int64 // MiB
}

// The constraints, in the order in which they are tried.
var constraints = []struct {
	name  string
	fails func(n *Node, r Request) bool
}{
	{"unknown", func(n *Node, _ Request) bool { return n.Status == model.NodeUnknown }},
	{"lost", func(n *Node, _ Request) bool { return n.Status == model.NodeLost }},
	{"without Docker", func(n *Node, _ Request) bool { return n.Status == model.NodeDockerDown }},
	{"cordoned", func(n *Node, _ Request) bool { return n.Availability == model.Cordoned }},
	{"draining", func(n *Node, _ Request) bool { return n.Availability == model.Draining }},
	{"to be left", func(n *Node, r Request) bool { return r.Avoid != "" && n.ID == r.Avoid }},
	{"short of memory", func(n *Node, r Request) bool { return n.MemoryMiB-n.ReservedMiB < r.MemoryMiB }},
	{"short of CPU", func(n *Node, r Request) bool { return n.CPUMilli-n.ReservedMilli < r.CPUMilli }},
}

// Pick returns the index of the chosen node, or -1 and why.
func Pick(nodes []Node, r Request) (int, *Refused) {
	best := -1
	refused := &Refused{Nodes: len(nodes), Counts: map[string]int{}, Request: r}
	zones := zoneCounts(nodes)
	for i := range nodes {
		n := &nodes[i]
		if why := violated(n, r); why != "" {
			refused.count(n, why, r)
			continue
		}
		if best < 0 || better(n, &nodes[best], zones) {
			best = i
		}
	}
	if best >= 0 {
		return best, nil
	}
	refused.nearest()
	return -1, refused
}

func violated(n *Node, r Request) string {
	for _, c := range constraints {
		if c.fails(n, r) {
			return c.name
		}
	}
	return ""
}

func zoneCounts(nodes []Node) map[string]int {
	zones := map[string]int{}
	for i := range nodes {
		zones[nodes[i].Zone] += nodes[i].OfApp
	}
	return zones
}

// better orders the nodes that fit: the zone with fewest instances of the app,
// the node with fewest, fewest recent failures, fewest starting, most free
// memory, and at last the ID, so that there are no ties.
func better(a, b *Node, zones map[string]int) bool {
	return cmp.Or(
		cmp.Compare(zones[a.Zone], zones[b.Zone]),
		cmp.Compare(a.OfApp, b.OfApp),
		cmp.Compare(a.Failures, b.Failures),
		cmp.Compare(a.Starting, b.Starting),
		cmp.Compare(b.MemoryMiB-b.ReservedMiB, a.MemoryMiB-a.ReservedMiB),
		strings.Compare(a.ID, b.ID),
	) < 0
}

func (r *Refused) count(n *Node, why string, req Request) {
	r.Counts[why]++
	if n.Status == model.NodeReady {
		r.MaxTotal = max(r.MaxTotal, n.MemoryMiB)
	}
	if why == "short of memory" {
		r.Misses = append(r.Misses, Miss{Node: n.Name, Short: req.MemoryMiB - (n.MemoryMiB - n.ReservedMiB)})
	}
}

func (r *Refused) nearest() {
	slices.SortFunc(r.Misses, func(a, b Miss) int {
		return cmp.Or(cmp.Compare(a.Short, b.Short), strings.Compare(a.Node, b.Node))
	})
	r.Misses = r.Misses[:min(len(r.Misses), 3)]
}

// Error puts the refusal in the one form of OUTSIDE.
func (r *Refused) Error() *model.Error {
	if r.Nodes == 0 {
		return model.E(model.CodeNoNode, "there is no node yet").WithNext("start an agent: dinp agent --server HOST:1970")
	}
	code := model.CodeNoNode
	if r.Counts["without Docker"] == r.Nodes {
		return model.E(model.CodeDockerAway, "Docker does not answer on any node (%d of %d)", r.Nodes, r.Nodes).
			WithNext("start it there (systemctl start docker); dinp nodes shows what each engine says")
	}
	if r.Counts["short of memory"]+r.Counts["short of CPU"] > 0 {
		code = model.CodeNoMemory
	}
	e := model.E(code, "0 of %d nodes fit %d MiB%s: %s", r.Nodes, r.Request.MemoryMiB, r.cpu(), r.reasons())
	for _, m := range r.Misses {
		e = e.WithEvidence(fmt.Sprintf("%s is short by %d MiB", m.Node, m.Short))
	}
	switch {
	case code == model.CodeNoNode:
		return e.WithNext("see why: dinp nodes")
	case r.Request.MemoryMiB > r.MaxTotal:
		return e.WithNext("ask for less: no ready node has more than %d MiB in all", r.MaxTotal)
	}
	return e.WithNext("ask for less memory (--memory), scale another app down, or add a node; dinp nodes shows what is reserved")
}

func (r *Refused) cpu() string {
	if r.Request.CPUMilli == 0 {
		return ""
	}
	return fmt.Sprintf(" and %.2g cores", float64(r.Request.CPUMilli)/1000)
}

func (r *Refused) reasons() string {
	var parts []string
	for _, c := range constraints {
		if n := r.Counts[c.name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.name))
		}
	}
	return strings.Join(parts, ", ")
}
