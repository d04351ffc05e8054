package place

import (
	"cmp"
	"slices"
	"strings"
)

// world is the cluster as a person would write it down: what the Index must
// agree with.
type world struct {
	nodes    map[string]Node
	memory   map[string]int64 // reserved
	cpu      map[string]int64
	starting map[string]int32
	policies map[string]Policy
}

// standing is an app's view in the same manner.
type standing struct {
	instances, failures map[string]int
	images              map[string]bool
}

func (w *world) sorted() []Node {
	var out []Node
	for _, n := range w.nodes {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b Node) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// pick is the definition of Pick, by brute force: filter, rank, and among the
// alike the sixteen that come first from where the seed begins.
func (w *world) pick(r Request, v standing) string {
	all := w.sorted()
	zones, total := map[string]int{}, 0
	for _, n := range all {
		zones[n.Zone] += v.instances[n.ID]
		total += v.instances[n.ID]
	}
	start := mix(r.Seed + uint64(total))
	var fit []Node
	for _, n := range all {
		if w.fits(n, r, v) {
			fit = append(fit, n)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	level := slices.MinFunc(fit, func(a, b Node) int { return cmp.Compare(zones[a.Zone], zones[b.Zone]) })
	fit = slices.DeleteFunc(fit, func(n Node) bool { return zones[n.Zone] > zones[level.Zone] })
	clean := slices.DeleteFunc(slices.Clone(fit), func(n Node) bool { return v.instances[n.ID] > 0 || v.failures[n.ID] > 0 })
	if len(clean) == 0 {
		return slices.MinFunc(fit, func(a, b Node) int { return w.compareUnclean(a, b, r, v) }).ID
	}
	return w.pickClean(all, clean, start, r, v)
}

func (w *world) fits(n Node, r Request, v standing) bool {
	return n.Status == "ready" && n.Availability == "active" && !n.Away && !n.DiskPressure && n.pool() == r.poolName() &&
		(r.Zone == "" || n.Zone == r.Zone) && n.ID != r.Avoid && n.MemoryMiB-w.memory[n.ID] >= r.MemoryMiB &&
		(r.CPUMilli == 0 || n.CPUMilli-w.cpu[n.ID] >= r.CPUMilli) &&
		(r.MaxPerNode == 0 || v.instances[n.ID] < r.MaxPerNode) && (r.MaxFailures == 0 || v.failures[n.ID] < r.MaxFailures) &&
		!slices.ContainsFunc(r.Labels, func(l string) bool { return !slices.Contains(n.Labels, l) })
}

// rank orders by starting ones, free memory by bucket, image.
func (w *world) rank(n Node, r Request, v standing) [3]int {
	p := w.policies[r.poolName()]
	free := bucket(n.MemoryMiB - w.memory[n.ID])
	if p == Spread {
		free = -free
	}
	image := 1
	if v.images[n.ID] {
		image = 0
	}
	return [3]int{p.class(w.starting[n.ID]), free, image}
}

func (w *world) exact(n Node, r Request) int64 {
	free := n.MemoryMiB - w.memory[n.ID]
	if w.policies[r.poolName()] == Spread {
		return -free
	}
	return free
}

func (w *world) compareUnclean(a, b Node, r Request, v standing) int {
	ra, rb := w.rank(a, r, v), w.rank(b, r, v)
	return cmp.Or(cmp.Compare(v.instances[a.ID], v.instances[b.ID]), cmp.Compare(v.failures[a.ID], v.failures[b.ID]),
		slices.Compare(ra[:], rb[:]), cmp.Compare(w.exact(a, r), w.exact(b, r)), strings.Compare(a.ID, b.ID))
}

// pickClean goes zone by zone, in the order that the seed tells.
func (w *world) pickClean(all, clean []Node, start uint64, r Request, v standing) string {
	var zones []string
	for _, n := range all {
		if n.pool() == r.poolName() && !slices.Contains(zones, n.Zone) {
			zones = append(zones, n.Zone)
		}
	}
	slices.Sort(zones)
	first := int(start >> 32 % uint64(len(zones)))
	var best *Node
	for k := range zones {
		if n := w.bestIn(zones[(first+k)%len(zones)], all, clean, start, r, v); n != nil {
			if best == nil {
				best = n
				continue
			}
			ra, rb := w.rank(*n, r, v), w.rank(*best, r, v)
			if cmp.Or(slices.Compare(ra[:], rb[:]), cmp.Compare(w.exact(*n, r), w.exact(*best, r)), cmp.Compare(w.turn(*n, all, start, r), w.turn(*best, all, start, r))) < 0 {
				best = n
			}
		}
	}
	return best.ID
}

// turn is how far a node is, within its zone, from where the seed begins.
func (w *world) turn(n Node, all []Node, start uint64, r Request) int {
	mates := slices.DeleteFunc(slices.Clone(all), func(m Node) bool { return m.Zone != n.Zone || m.pool() != r.poolName() })
	from := int(start & 0xffffffff % uint64(len(mates)))
	at := slices.IndexFunc(mates, func(m Node) bool { return m.ID == n.ID })
	return (at - from + len(mates)) % len(mates)
}

func (w *world) bestIn(zone string, all, clean []Node, start uint64, r Request, v standing) *Node {
	var here []Node
	for _, n := range clean {
		if n.Zone == zone {
			here = append(here, n)
		}
	}
	if len(here) == 0 {
		return nil
	}
	cell := func(n Node) [2]int { k := w.rank(n, r, v); return [2]int{k[0], k[1]} }
	top := slices.MinFunc(here, func(a, b Node) int { x, y := cell(a), cell(b); return slices.Compare(x[:], y[:]) })
	fit := slices.DeleteFunc(slices.Clone(all), func(n Node) bool { return n.Zone != zone || !w.fits(n, r, v) || cell(n) != cell(top) })
	slices.SortFunc(fit, func(a, b Node) int { return cmp.Compare(w.turn(a, all, start, r), w.turn(b, all, start, r)) })
	var looked []Node
	for k, n := range fit {
		clean := v.instances[n.ID] == 0 && v.failures[n.ID] == 0
		if clean && (k < tries || len(looked) == 0 || v.images[n.ID]) {
			looked = append(looked, n)
		}
	}
	return &looked[w.bestOf(looked, all, start, r, v)]
}

func (w *world) bestOf(looked, all []Node, start uint64, r Request, v standing) int {
	best := 0
	for k, n := range looked {
		ra, rb := w.rank(n, r, v), w.rank(looked[best], r, v)
		if cmp.Or(cmp.Compare(ra[2], rb[2]), cmp.Compare(w.exact(n, r), w.exact(looked[best], r)), cmp.Compare(w.turn(n, all, start, r), w.turn(looked[best], all, start, r))) < 0 {
			best = k
		}
	}
	return best
}
