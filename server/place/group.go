package place

import (
	"math/bits"
	"slices"
	"strings"
)

// Free memory is told apart in 64 buckets, four to each power of two from
// 32 MiB to 2 TiB; instances being started in 8 classes.
const (
	buckets = 64
	classes = 8
	lanes   = 4 // containers an agent starts at once
	tries   = 16
)

// group is the nodes of one zone in one pool. A node's position in it follows
// from its ID alone, so that positions do not depend on who came first.
type group struct {
	zone    int32
	members []int32 // node numbers, by ID
	room    []room  // what is free on each, by position
	stale   bool    // members were added or moved: cells are to be built again
	live    int     // members that are in a cell
	cells   [classes * buckets]cell
	filled  [classes]uint64 // which buckets of a class have nodes
}

// room is what is free on a node. The groups hold it by position, so that a
// search reads memory in order.
type room struct{ memory, cpu int64 }

// cell is the set of nodes that are alike in free memory and starting ones.
type cell struct {
	bits []uint64 // by position
	n    int32
	// Upper bounds of what any node here has free. They only save work: a cell
	// whose bounds are too low is not searched.
	memory, cpu int64
}

// bucket is the bucket of an amount of free memory.
func bucket(mib int64) int {
	if mib < 32 {
		return 0
	}
	e := bits.Len64(uint64(mib)) - 1 // 5 or more
	return min((e-5)*4+int(mib>>(e-2)&3), buckets-1)
}

// class is the class of a number of starting instances. A pool that is packed
// does not mind those that fill an agent's lanes: they start at once anyway.
func (p Policy) class(starting int32) int {
	if p == BinPack {
		starting /= lanes
	}
	return min(bits.Len32(uint32(max(starting, 0))), classes-1)
}

// build sorts the members and puts each into its cell.
func (g *group) build(x *Index, p Policy) {
	slices.SortFunc(g.members, func(a, b int32) int { return strings.Compare(x.nodes[a].ID, x.nodes[b].ID) })
	g.room = make([]room, len(g.members))
	words := (len(g.members) + 63) / 64
	room := make([]uint64, words*len(g.cells))
	for i := range g.cells {
		g.cells[i] = cell{bits: room[i*words : (i+1)*words]}
	}
	g.filled, g.live, g.stale = [classes]uint64{}, 0, false
	for pos, i := range g.members {
		x.hot[i].pos, x.hot[i].cell = int32(pos), outside
		g.put(x, i, p)
	}
}

// put brings a node into the cell where it belongs now, or out of all.
func (g *group) put(x *Index, i int32, p Policy) {
	h := &x.hot[i]
	g.room[h.pos] = room{h.memory, h.cpu}
	to := outside
	if h.placeable {
		to = int16(p.class(h.starting)*buckets + bucket(h.memory))
	}
	if h.cell != to {
		if h.cell != outside {
			g.leave(h)
		}
		if to != outside {
			g.join(h, to)
		}
	}
	if to != outside {
		c := &g.cells[to]
		c.memory, c.cpu = max(c.memory, h.memory), max(c.cpu, h.cpu)
	}
}

func (g *group) leave(h *hot) {
	c := &g.cells[h.cell]
	c.bits[h.pos/64] &^= 1 << (h.pos % 64)
	c.n--
	g.live--
	if c.n == 0 {
		g.filled[h.cell/buckets] &^= 1 << (h.cell % buckets)
	}
	h.cell = outside
}

func (g *group) join(h *hot, to int16) {
	c := &g.cells[to]
	if c.n == 0 {
		c.memory, c.cpu = h.memory, h.cpu
		g.filled[to/buckets] |= 1 << (to % buckets)
	}
	c.bits[h.pos/64] |= 1 << (h.pos % 64)
	c.n++
	g.live++
	h.cell = to
}
