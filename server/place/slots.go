package place

import "math"

// Slots is how many instances the nodes of a pool that take instances have room
// for, one after another and wherever each goes, if none asks for more than this.
// One that asks for less takes no more than one of them. It looks at all nodes.
func (x *Index) Slots(pool string, memoryMiB, cpuMilli int64) (n int) {
	r := Request{Pool: pool, MemoryMiB: memoryMiB, CPUMilli: cpuMilli}
	for i := range x.hot {
		n += x.slotsOn(i, &r)
	}
	return n
}

// SlotsOn is a node's part of Slots.
func (x *Index) SlotsOn(node int, pool string, memoryMiB, cpuMilli int64) int {
	return x.slotsOn(node, &Request{Pool: pool, MemoryMiB: memoryMiB, CPUMilli: cpuMilli})
}

func (x *Index) slotsOn(node int, r *Request) int {
	h := &x.hot[node]
	if !h.there || !h.placeable || x.nodes[node].pool() != r.poolName() || h.memory < r.MemoryMiB || r.CPUMilli > 0 && h.cpu < r.CPUMilli {
		return 0
	}
	n := int64(math.MaxInt32) // of what asks for nothing there is room for very many
	if r.MemoryMiB > 0 {
		n = min(n, h.memory/r.MemoryMiB)
	}
	if r.CPUMilli > 0 {
		n = min(n, h.cpu/r.CPUMilli)
	}
	return int(n)
}
