package place

import (
	"math/bits"
	"slices"

	"github.com/dinp/dinp/common/model"
)

// Common is what the nodes say to all requests of one shape, wherever their apps
// are: an app's own instances and failures matter on the nodes where they are
// alone, and those are few. So many apps that wait for the same room are refused
// by one look at all nodes, and by one at each node of their own. It is good
// for as long as the index does not change.
type Common struct {
	all, only []int // nodes that fail a constraint; that fail nothing else
	fit       int   // nodes that fail none
	nodes     int
	largest   int64
	misses    []Miss // the nearest, in order
	complete  bool   // those are all
}

// manyMisses is how many of the nearest misses a Common keeps: the three that
// are told may not be among the nodes where the app is.
const manyMisses = 64

// Common looks at every node once. Of the request it heeds the memory, CPU,
// pool, zone and labels.
func (x *Index) Common(r *Request) *Common { return x.common(r, manyMisses) }

func (x *Index) common(r *Request, keep int) *Common {
	c := &Common{all: make([]int, len(constraints)), only: make([]int, len(constraints)), nodes: len(x.numbers)}
	q := *r
	q.Avoid = ""
	for i := range x.hot {
		if !x.hot[i].there {
			continue
		}
		f := x.failing(int32(i), &q, nil)
		c.count(f, 1)
		if x.nodes[i].Status == model.NodeReady {
			c.largest = max(c.largest, x.nodes[i].MemoryMiB)
		}
		c.near(x, int32(i), &q, f, keep)
	}
	c.complete = len(c.misses) == c.nodes-c.fit
	return c
}

func (c *Common) count(f failing, n int) {
	if f == 0 {
		c.fit += n
	}
	for rest := f; rest != 0; rest &= rest - 1 {
		k := bits.TrailingZeros32(uint32(rest))
		c.all[k] += n
		if f == 1<<k {
			c.only[k] += n
		}
	}
}

// near keeps a miss if it is among the nearest so far.
func (c *Common) near(x *Index, i int32, r *Request, f failing, keep int) {
	if f == 0 {
		return
	}
	m := Miss{
		Node: x.nodes[i].Name, constraints: bits.OnesCount32(uint32(f)), number: i,
		ShortMiB: max(0, r.MemoryMiB-x.hot[i].memory), ShortMilli: max(0, r.CPUMilli-x.hot[i].cpu),
	}
	if len(c.misses) == keep && compareMisses(m, c.misses[keep-1]) >= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(c.misses, m, compareMisses)
	c.misses = slices.Insert(c.misses, at, x.miss(i, r, f))
	c.misses = c.misses[:min(len(c.misses), keep)]
}

// Fits reports whether an app that is nowhere would find a node. If it would
// not, no app will.
func (c *Common) Fits() bool { return c.fit > 0 }

// Refuse is why a request of the shape, of an app that is where v says, finds no
// node. It looks at the nodes in v only.
func (c *Common) Refuse(x *Index, r *Request, v *View) *Refused {
	own := Common{all: slices.Clone(c.all), only: slices.Clone(c.only), fit: c.fit}
	q := *r
	q.Avoid = ""
	var misses []Miss
	for _, i := range v.nodes(x, r.Avoid) {
		own.count(x.failing(i, &q, nil), -1)
		f := x.failing(i, r, v.of(i))
		own.count(f, 1)
		if f != 0 {
			misses = append(misses, x.miss(i, r, f))
		}
	}
	kept := 0
	for _, m := range c.misses {
		if v.of(m.number) == nil && (r.Avoid == "" || x.nodes[m.number].ID != r.Avoid) {
			misses = append(misses, m)
			if kept++; kept == 3 {
				break
			}
		}
	}
	if kept < 3 && !c.complete { // the app is on nearly all of the nearest
		return x.common(r, len(c.misses)+v.used+4).Refuse(x, r, v)
	}
	slices.SortFunc(misses, compareMisses)
	out := &Refused{Request: *r, Nodes: c.nodes, Largest: c.largest, Misses: misses[:min(len(misses), 3)]}
	for k, constraint := range constraints {
		if own.all[k] > 0 {
			out.Counts = append(out.Counts, Count{Why: constraint.name, Nodes: own.all[k], Only: own.only[k]})
		}
	}
	return out
}

// nodes lists the nodes of which the view, or the request, knows something.
func (v *View) nodes(x *Index, avoid string) (out []int32) {
	for k := range v.table {
		if i := v.table[k].node - 1; i >= 0 {
			out = append(out, i)
		}
	}
	if i, ok := x.numbers[avoid]; ok && avoid != "" && v.of(i) == nil {
		out = append(out, i)
	}
	return out
}
