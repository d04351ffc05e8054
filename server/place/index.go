package place

import (
	"maps"
	"slices"
	"strings"
)

// outside is the cell of a node that nothing can be placed on.
const outside int16 = -1

// Index holds the nodes of a cluster and what is reserved on them. A node has a
// number, given at its first Set, by which all else is said.
type Index struct {
	nodes   []Node
	hot     []hot
	numbers map[string]int32 // by ID
	spare   []int32          // numbers of removed nodes
	zones   map[string]int32
	pools   map[string]*pool
	labels  map[string][]uint64 // by label: a bit for each node that has it
	stale   bool                // a group is to be built again before the next Pick
	changes uint64
}

// hot is what a decision reads and writes of a node.
type hot struct {
	memory, cpu      int64 // free
	starting         int32
	zone, pos        int32
	cell             int16
	placeable, there bool
	group            *group
	pool             *pool
}

// pool is the nodes that one policy governs, by zone.
type pool struct {
	policy Policy
	groups []*group // by zone name
}

// New returns an index without nodes.
func New() *Index {
	return &Index{numbers: map[string]int32{}, zones: map[string]int32{}, pools: map[string]*pool{}, labels: map[string][]uint64{}}
}

// SetPolicy says how a pool is filled; Spread unless told.
func (x *Index) SetPolicy(name string, p Policy) {
	if name == "" {
		name = DefaultPool
	}
	pl := x.pool(name)
	if pl.policy == p {
		return
	}
	pl.policy = p
	x.changes++
	for _, g := range pl.groups {
		g.stale, x.stale = true, true
	}
}

// Set adds a node, or takes in what changed of one, and returns its number.
// What is reserved on it stays.
func (x *Index) Set(n Node) int {
	x.changes++
	i, known := x.numbers[n.ID]
	if !known {
		i = x.number(n.ID)
		x.hot[i] = hot{memory: n.MemoryMiB, cpu: n.CPUMilli, cell: outside, there: true}
	}
	old, h := &x.nodes[i], &x.hot[i]
	if known {
		h.memory += n.MemoryMiB - old.MemoryMiB
		h.cpu += n.CPUMilli - old.CPUMilli
	}
	x.relabel(i, old.Labels, n.Labels)
	moved := !known || old.pool() != n.pool() || old.Zone != n.Zone
	if moved && known {
		x.leave(i)
	}
	n.Labels = slices.Clone(n.Labels)
	*old = n
	h.placeable = n.placeable()
	if moved {
		x.join(i)
	} else {
		x.put(i)
	}
	return int(i)
}

// Remove forgets a node and what is reserved on it. Its number may be given to
// another node later.
func (x *Index) Remove(id string) {
	i, ok := x.numbers[id]
	if !ok {
		return
	}
	x.changes++
	x.leave(i)
	x.relabel(i, x.nodes[i].Labels, nil)
	delete(x.numbers, id)
	x.nodes[i], x.hot[i] = Node{}, hot{cell: outside}
	x.spare = append(x.spare, i)
}

// Number returns a node's number, and whether there is such a node.
func (x *Index) Number(id string) (int, bool) {
	i, ok := x.numbers[id]
	return int(i), ok
}

// Node returns a copy of what was Set.
func (x *Index) Node(node int) Node { return x.nodes[node] }

// Len is the number of nodes.
func (x *Index) Len() int { return len(x.numbers) }

// Free is what is not reserved on a node; negative when it was made smaller.
func (x *Index) Free(node int) (memoryMiB, cpuMilli int64) {
	return x.hot[node].memory, x.hot[node].cpu
}

// Changes grows with every change of the index.
func (x *Index) Changes() uint64 { return x.changes }

// All returns the numbers of all nodes, by ID.
func (x *Index) All() []int {
	out := make([]int, 0, len(x.numbers))
	for _, id := range slices.Sorted(maps.Keys(x.numbers)) {
		out = append(out, int(x.numbers[id]))
	}
	return out
}

// Reserve takes room on a node for an instance (R16). It does not ask whether
// there is room: a row that exists is a fact.
func (x *Index) Reserve(node int, memoryMiB, cpuMilli int64) {
	h := &x.hot[node]
	h.memory, h.cpu = h.memory-memoryMiB, h.cpu-cpuMilli
	x.put(int32(node))
}

// Release gives room back, when an instance is gone.
func (x *Index) Release(node int, memoryMiB, cpuMilli int64) { x.Reserve(node, -memoryMiB, -cpuMilli) }

// Starting counts n further instances on a node that are being pulled or
// started; n is negative when they run or are gone.
func (x *Index) Starting(node, n int) {
	x.hot[node].starting += int32(n)
	x.put(int32(node))
}

// Take does all that placing an instance on a node means: room, starting, and
// the app's view.
func (x *Index) Take(node int, r *Request, v *View) {
	h := &x.hot[node]
	h.memory, h.cpu, h.starting = h.memory-r.MemoryMiB, h.cpu-r.CPUMilli, h.starting+1
	x.put(int32(node))
	v.Add(x, node, 1)
}

// Clone returns an index that is changed apart from this one.
func (x *Index) Clone() *Index {
	c := &Index{
		nodes: slices.Clone(x.nodes), hot: slices.Clone(x.hot), numbers: maps.Clone(x.numbers), spare: slices.Clone(x.spare),
		zones: maps.Clone(x.zones), pools: make(map[string]*pool, len(x.pools)), labels: make(map[string][]uint64, len(x.labels)),
		stale: true, changes: x.changes,
	}
	for l, b := range x.labels {
		c.labels[l] = slices.Clone(b)
	}
	for name, p := range x.pools {
		q := &pool{policy: p.policy}
		for _, g := range p.groups {
			h := &group{zone: g.zone, members: slices.Clone(g.members), stale: true}
			for _, i := range h.members {
				c.hot[i].group, c.hot[i].pool = h, q
			}
			q.groups = append(q.groups, h)
		}
		c.pools[name] = q
	}
	return c
}

func (x *Index) number(id string) int32 {
	var i int32
	if n := len(x.spare); n > 0 {
		i, x.spare = x.spare[n-1], x.spare[:n-1]
	} else {
		i = int32(len(x.nodes))
		x.nodes, x.hot = append(x.nodes, Node{}), append(x.hot, hot{})
	}
	x.numbers[id] = i
	return i
}

func (x *Index) pool(name string) *pool {
	p := x.pools[name]
	if p == nil {
		p = &pool{}
		x.pools[name] = p
	}
	return p
}

func (x *Index) zone(name string) int32 {
	z, ok := x.zones[name]
	if !ok {
		z = int32(len(x.zones))
		x.zones[name] = z
	}
	return z
}

// join brings a node into the group of its pool and zone.
func (x *Index) join(i int32) {
	n, h := &x.nodes[i], &x.hot[i]
	h.zone, h.pool, h.cell = x.zone(n.Zone), x.pool(n.pool()), outside
	h.group = x.groupOf(h.pool, n.Zone, h.zone)
	h.group.members = append(h.group.members, i)
	h.group.stale, x.stale = true, true
}

func (x *Index) groupOf(p *pool, zone string, z int32) *group {
	at, found := slices.BinarySearchFunc(p.groups, zone, func(g *group, zone string) int {
		return strings.Compare(x.zoneName(g.zone), zone)
	})
	if !found {
		p.groups = slices.Insert(p.groups, at, &group{zone: z})
	}
	return p.groups[at]
}

// zoneName looks a zone's name up; there are few, and it is asked when a node
// is added or something is explained.
func (x *Index) zoneName(z int32) string {
	for name, i := range x.zones {
		if i == z {
			return name
		}
	}
	return ""
}

func (x *Index) leave(i int32) {
	g := x.hot[i].group
	g.members = slices.DeleteFunc(g.members, func(m int32) bool { return m == i })
	g.stale, x.stale = true, true
	if len(g.members) == 0 {
		p := x.hot[i].pool
		p.groups = slices.DeleteFunc(p.groups, func(o *group) bool { return o == g })
	}
}

func (x *Index) put(i int32) {
	x.changes++
	if h := &x.hot[i]; !h.group.stale {
		h.group.put(x, i, h.pool.policy)
	}
}

// settle builds the groups whose members changed.
func (x *Index) settle() {
	for _, p := range x.pools {
		for _, g := range p.groups {
			if g.stale {
				g.build(x, p.policy)
			}
		}
	}
	x.stale = false
}

func (x *Index) relabel(i int32, old, now []string) {
	for _, l := range old {
		x.labels[l][i/64] &^= 1 << (i % 64)
	}
	for _, l := range now {
		b := x.labels[l]
		for len(b) <= int(i/64) {
			b = append(b, 0)
		}
		b[i/64] |= 1 << (i % 64)
		x.labels[l] = b
	}
}
