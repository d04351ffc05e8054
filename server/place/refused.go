package place

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// A set of constraints that a node does not meet; bit k is constraints[k].
type failing uint32

// The constraints, in the order in which they are told.
var constraints = []struct {
	name  string
	fails func(x *Index, i int32, r *Request, e *stand) bool
}{
	{"unknown", func(x *Index, i int32, _ *Request, _ *stand) bool { return x.nodes[i].Status == model.NodeUnknown }},
	{"lost", func(x *Index, i int32, _ *Request, _ *stand) bool { return x.nodes[i].Status == model.NodeLost }},
	{"without Docker", func(x *Index, i int32, _ *Request, _ *stand) bool { return x.nodes[i].Status == model.NodeDockerDown }},
	{"not connected", func(x *Index, i int32, _ *Request, _ *stand) bool {
		n := &x.nodes[i]
		return n.Status != model.NodeUnknown && n.Status != model.NodeLost && n.Status != model.NodeDockerDown && (n.Away || n.Status != model.NodeReady)
	}},
	{"cordoned", func(x *Index, i int32, _ *Request, _ *stand) bool { return x.nodes[i].Availability == model.Cordoned }},
	{"draining", func(x *Index, i int32, _ *Request, _ *stand) bool { return x.nodes[i].Availability == model.Draining }},
	{"short of disk", func(x *Index, i int32, _ *Request, _ *stand) bool { return x.nodes[i].DiskPressure }},
	{"in another pool", func(x *Index, i int32, r *Request, _ *stand) bool { return x.nodes[i].pool() != r.poolName() }},
	{"in another zone", func(x *Index, i int32, r *Request, _ *stand) bool { return r.Zone != "" && x.nodes[i].Zone != r.Zone }},
	{"without the label", func(x *Index, i int32, r *Request, _ *stand) bool {
		for _, l := range r.Labels[:min(len(r.Labels), MaxLabels)] {
			if !slices.Contains(x.nodes[i].Labels, l) {
				return true
			}
		}
		return false
	}},
	{"to be left", func(x *Index, i int32, r *Request, _ *stand) bool { return r.Avoid != "" && x.nodes[i].ID == r.Avoid }},
	{"full of this app", func(_ *Index, _ int32, r *Request, e *stand) bool {
		return e != nil && r.MaxPerNode > 0 && int(e.instances) >= r.MaxPerNode
	}},
	{"recently failed", func(_ *Index, _ int32, r *Request, e *stand) bool {
		return e != nil && r.MaxFailures > 0 && int(e.failures) >= r.MaxFailures
	}},
	{"short of memory", func(x *Index, i int32, r *Request, _ *stand) bool { return x.hot[i].memory < r.MemoryMiB }},
	{"short of CPU", func(x *Index, i int32, r *Request, _ *stand) bool {
		return r.CPUMilli > 0 && x.hot[i].cpu < r.CPUMilli
	}},
}

// Refused is why no node will do: how many nodes each constraint excludes, and
// the nearest misses.
type Refused struct {
	Request Request
	Nodes   int     // in the cluster
	Counts  []Count // the constraints that exclude any, in a fixed order
	Misses  []Miss  // the three nodes that are nearest to fitting
	Largest int64   // MiB that the largest ready node has in all
}

// Count is how many nodes a constraint excludes. A node that fails several
// counts for each; Only counts those that fail nothing else.
type Count struct {
	Why   string
	Nodes int
	Only  int
}

// Miss is a node that almost fits.
type Miss struct {
	Node        string
	Why         []string // the constraints it fails
	ShortMiB    int64    // memory that it lacks; 0 for none
	ShortMilli  int64    // CPU that it lacks
	constraints int
	number      int32 // of the node
}

// String is such as "web3 is short by 128 MiB".
func (m Miss) String() string {
	var parts []string
	for _, w := range m.Why {
		switch w {
		case "short of memory":
			parts = append(parts, fmt.Sprintf("short by %d MiB", m.ShortMiB))
		case "short of CPU":
			parts = append(parts, fmt.Sprintf("short by %.2g cores", float64(m.ShortMilli)/1000))
		default:
			parts = append(parts, w)
		}
	}
	return m.Node + " is " + strings.Join(parts, " and ")
}

func (x *Index) failing(i int32, r *Request, e *stand) (f failing) {
	for k := range constraints {
		if constraints[k].fails(x, i, r, e) {
			f |= 1 << k
		}
	}
	return f
}

// miss is how a node that fails f misses a request.
func (x *Index) miss(i int32, r *Request, f failing) Miss {
	n, h := &x.nodes[i], &x.hot[i]
	m := Miss{
		Node: n.Name, constraints: bits.OnesCount32(uint32(f)), number: i,
		ShortMiB: max(0, r.MemoryMiB-h.memory), ShortMilli: max(0, r.CPUMilli-h.cpu),
	}
	for k, c := range constraints {
		if f>>k&1 == 1 {
			m.Why = append(m.Why, c.name)
		}
	}
	return m
}

// compareMisses orders by nearness: fewest constraints failed, least memory
// lacking, least CPU, by name.
func compareMisses(a, b Miss) int {
	return cmp.Or(cmp.Compare(a.constraints, b.constraints), cmp.Compare(a.ShortMiB, b.ShortMiB),
		cmp.Compare(a.ShortMilli, b.ShortMilli), strings.Compare(a.Node, b.Node), cmp.Compare(a.number, b.number))
}

// Of is how many nodes a constraint excludes.
func (r *Refused) Of(why string) int {
	for _, c := range r.Counts {
		if c.Why == why {
			return c.Nodes
		}
	}
	return 0
}

// Silent is how many nodes would do had they not fallen silent. While there are
// any, the refusal is no proof that there is no room.
func (r *Refused) Silent() (n int) {
	for _, c := range r.Counts {
		if c.Why == "unknown" || c.Why == "not connected" {
			n += c.Only
		}
	}
	return n
}

// Error puts the refusal of an app's instance in the one form of an error.
func (r *Refused) Error(app string) *model.Error {
	if r.Nodes == 0 {
		return model.E(model.CodeNoNode, "there is no node yet").WithNext("dinp token create-join, and on the new host: dinp join SERVER --token TOKEN")
	}
	if r.Of("without Docker") == r.Nodes {
		return model.E(model.CodeDockerAway, "Docker does not answer on any node (%d of %d)", r.Nodes, r.Nodes).
			WithNext("start it there (systemctl start docker); dinp nodes shows what each engine says")
	}
	e := model.E(r.code(), "0 of %d nodes fit %s: %s", r.Nodes, r.Request.wish(), r.reasons())
	for _, m := range r.Misses {
		e = e.WithEvidence(m.String())
	}
	return e.WithNext("%s", r.next(app))
}

// code tells want of room from nodes that do not match, and from want of nodes
// that may be used at all.
func (r *Refused) code() model.Code {
	switch {
	case r.Of("short of memory")+r.Of("short of CPU") > 0:
		return model.CodeNoMemory
	case r.Of("in another zone")+r.Of("in another pool")+r.Of("without the label")+r.Of("full of this app") > 0:
		return model.CodeNoMatch
	}
	return model.CodeNoNode
}

// next is the command that helps most: what stands in the way of the most nodes
// that would fit but for it, as far as a person can change it.
func (r *Refused) next(app string) string {
	alone := map[string]int{}
	for _, c := range r.Counts {
		alone[c.Why] = c.Only
	}
	switch {
	case r.Largest > 0 && r.Request.MemoryMiB > r.Largest:
		return fmt.Sprintf("ask for less: no ready node has more than %d MiB in all", r.Largest)
	case r.Silent() > 0:
		return fmt.Sprintf("it goes on by itself when %s is back: dinp nodes", oneOf(r.Silent(), "silent node"))
	case alone["cordoned"] > 0:
		return fmt.Sprintf("take a node back that would fit: dinp node %s uncordon", r.missing("cordoned"))
	case alone["draining"] > 0:
		return fmt.Sprintf("take a node back that would fit: dinp node %s uncordon, or add one: dinp token create-join", r.missing("draining"))
	case alone["short of disk"] > 0:
		return fmt.Sprintf("free disk space on a node that would fit: dinp node %s tells how much it lacks", r.missing("short of disk"))
	case alone["lost"] > 0:
		return fmt.Sprintf("bring %s back, or add a node: dinp nodes", oneOf(alone["lost"], "lost node"))
	case r.Request.asks() && alone["in another zone"]+alone["in another pool"]+alone["without the label"] > 0:
		return fmt.Sprintf("loosen the app's constraints (dinp place %s any drops them), or add a node that meets them", app)
	case alone["full of this app"] > 0:
		return fmt.Sprintf("allow more instances on one node (dinp place %s per-node==N), or add a node", app)
	case alone["without Docker"] > 0:
		return fmt.Sprintf("start Docker on a node that would fit: dinp node %s tells what its engine says", r.missing("without Docker"))
	case r.Of("short of memory")+r.Of("short of CPU") > 0:
		return "ask for less memory (--memory), scale another app down, or add a node; dinp nodes shows what is reserved"
	case alone["in another pool"] > 0:
		return fmt.Sprintf("add a node to the default pool, or let the app run in another one (dinp place %s pool==POOL); dinp pools lists them", app)
	}
	return "see why: dinp nodes"
}

// oneOf is "1 silent node", or "one of 3 silent nodes".
func oneOf(n int, thing string) string {
	if n == 1 {
		return model.Count(n, thing)
	}
	return "one of " + model.Count(n, thing)
}

// asks reports whether an app asks for nodes of its own choice. One that names no
// pool does not: it runs in the default one, and has no constraint to be dropped.
func (r *Request) asks() bool { return r.Pool != "" || r.Zone != "" || len(r.Labels) > 0 }

// missing names the nearest node that fails this constraint alone.
func (r *Refused) missing(why string) string {
	for _, m := range r.Misses {
		if len(m.Why) == 1 && m.Why[0] == why {
			return m.Node
		}
	}
	return "NODE"
}

func (r *Refused) reasons() string {
	parts := make([]string, len(r.Counts))
	for i, c := range r.Counts {
		parts[i] = fmt.Sprintf("%d %s", c.Nodes, c.Why)
	}
	return strings.Join(parts, ", ")
}

// wish is what is asked for, in words: "256 MiB and 0.5 cores with ssd in zone a".
func (r *Request) wish() string {
	s := fmt.Sprintf("%d MiB", r.MemoryMiB)
	if r.CPUMilli > 0 {
		s += fmt.Sprintf(" and %.2g cores", float64(r.CPUMilli)/1000)
	}
	if len(r.Labels) > 0 {
		s += " with " + strings.Join(r.Labels, ", ")
	}
	if r.Zone != "" {
		s += " in zone " + r.Zone
	}
	if r.Pool != "" && r.Pool != DefaultPool {
		s += " in pool " + r.Pool
	}
	return s
}
