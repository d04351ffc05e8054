package place

import (
	"math"
	"math/bits"
	"strings"
)

// search is one Pick under way. It lives on the stack.
type search struct {
	x      *Index
	r      *Request
	v      *View
	pool   *pool
	avoid  int32
	labels [MaxLabels][]uint64
	wants  int  // labels that are asked for
	picky  bool // labels are asked for, or a node is to be left
	start  uint64
	best   int32
	order  order
}

// order is why one clean node is preferred to another, most important first.
// A smaller order wins.
type order struct {
	class  int   // of starting instances
	bucket int   // of free memory, in the policy's direction
	image  int   // 1: the image is to be pulled
	memory int64 // exactly, in the policy's direction
	turn   int   // positions from where the seed begins: no ties within a zone
}

func (o *order) less(p *order) bool {
	switch {
	case o.class != p.class:
		return o.class < p.class
	case o.bucket != p.bucket:
		return o.bucket < p.bucket
	case o.image != p.image:
		return o.image < p.image
	case o.memory != p.memory:
		return o.memory < p.memory
	}
	return o.turn < p.turn
}

// Pick returns the number of the node for a new instance, or -1 and why there
// is none. It reserves nothing; Take does.
//
// The order of preference: the zone with fewest instances of the app, nodes
// without any, fewest recent failures of the release, fewest starting (by class),
// free memory (by bucket; most of it, or least in a pool that is packed), the
// image present. Among nodes that are alike in all this, sixteen are looked
// at, beginning at a place that the seed tells, and the exact memory decides.
// Nodes of the same zone that have the image are looked at in any case.
func (x *Index) Pick(r *Request, v *View) (int, *Refused) {
	if at := x.Find(r, v); at >= 0 {
		return at, nil
	}
	return -1, x.common(r, 4+v.used).Refuse(x, r, v)
}

// Find is Pick without the reasons.
func (x *Index) Find(r *Request, v *View) int {
	if x.stale {
		x.settle()
	}
	s := search{x: x, r: r, v: v, avoid: -1, best: -1, start: mix(r.Seed + uint64(v.total)), pool: x.pools[r.poolName()]}
	if !s.prepare() {
		return -1
	}
	for level, more := s.fewest(-1); more; level, more = s.fewest(level) {
		if s.zonesAt(level); s.best >= 0 {
			return int(s.best)
		}
	}
	return -1
}

func (r *Request) poolName() string {
	if r.Pool == "" {
		return DefaultPool
	}
	return r.Pool
}

// prepare looks up what the request names; false when no node can have it.
func (s *search) prepare() bool {
	if s.pool == nil {
		return false
	}
	if s.r.Avoid != "" {
		if i, ok := s.x.numbers[s.r.Avoid]; ok {
			s.avoid, s.picky = i, true
		}
	}
	for _, l := range s.r.Labels[:min(len(s.r.Labels), MaxLabels)] {
		b, ok := s.x.labels[l]
		if !ok {
			return false
		}
		s.labels[s.wants] = b
		s.wants, s.picky = s.wants+1, true
	}
	return true
}

// fewest returns the smallest number of instances above the given one that the
// app has in any zone.
func (s *search) fewest(above int) (level int, more bool) {
	for _, g := range s.pool.groups {
		if n := s.inZone(g); n > above && (!more || n < level) {
			level, more = n, true
		}
	}
	return level, more
}

func (s *search) inZone(g *group) int {
	if int(g.zone) < len(s.v.zones) {
		return max(int(s.v.zones[g.zone]), 0)
	}
	return 0
}

// zonesAt looks for the best node in the zones with so many instances of the
// app, first among clean nodes.
func (s *search) zonesAt(level int) {
	groups := s.pool.groups
	at := int(uint32(s.start>>32) % uint32(len(groups)))
	for range groups {
		g := groups[at]
		if at++; at == len(groups) {
			at = 0
		}
		if s.inZone(g) == level && g.live > 0 && s.inScope(g) {
			s.clean(g)
		}
	}
	if s.best < 0 && s.v.used > 0 {
		s.unclean(level)
	}
}

func (s *search) inScope(g *group) bool {
	return s.r.Zone == "" || s.x.zones[s.r.Zone] == g.zone && s.x.zoneExists(s.r.Zone)
}

func (x *Index) zoneExists(name string) bool {
	_, ok := x.zones[name]
	return ok
}

// clean looks through a group's cells in order of preference, until one has a
// node that fits and on which nothing of the app is.
func (s *search) clean(g *group) {
	low := bucket(s.r.MemoryMiB)
	for class := range classes {
		filled := g.filled[class] >> low << low
		for filled != 0 {
			b := bits.TrailingZeros64(filled)
			if s.pool.policy == Spread {
				b = bits.Len64(filled) - 1
			}
			filled &^= 1 << b
			o := order{class: class, bucket: s.directed(b)}
			if s.best >= 0 && (o.class > s.order.class || o.class == s.order.class && o.bucket > s.order.bucket) {
				return // another zone has better
			}
			if s.cell(g, &g.cells[class*buckets+b], o) {
				return
			}
		}
	}
}

// directed turns what is free so that less of it is better.
func (s *search) directed(bucket int) int {
	if s.pool.policy == Spread {
		return -bucket
	}
	return bucket
}

// cell looks for the best node of a cell, and reports whether any will do. It
// looks at sixteen that fit, or at more until one is clean.
func (s *search) cell(g *group, c *cell, o order) bool {
	if c.memory < s.r.MemoryMiB || s.r.CPUMilli > 0 && c.cpu < s.r.CPUMilli {
		return false
	}
	at, looked := int32(-1), 0
	words, from := len(c.bits), s.from(g)
	for k, word := 0, from/64; k <= words && (looked < tries || at < 0); k, word = k+1, word+1 {
		if word == words {
			word = 0
		}
		w := c.bits[word]
		switch k { // the first word is searched in two parts
		case 0:
			w &= ^uint64(0) << (from % 64)
		case words:
			w &= 1<<(from%64) - 1
		}
		for ; w != 0 && (looked < tries || at < 0); w &= w - 1 {
			pos := int32(word*64 + bits.TrailingZeros64(w))
			if !s.fits(g, pos) {
				continue
			}
			looked++
			if (at < 0 || s.directs(g.room[pos].memory) < s.directs(g.room[at].memory)) && s.v.clean(g.members[pos]) {
				at = pos
			}
		}
	}
	if looked == 0 && !s.picky {
		c.bound(g)
	}
	if at < 0 {
		return false
	}
	s.offer(g, at, o, 1)
	for _, i := range s.v.images {
		if h := &s.x.hot[i]; h.group == g && int(h.cell) == o.class*buckets+max(o.bucket, -o.bucket) && s.fits(g, h.pos) && s.v.clean(i) {
			s.offer(g, h.pos, o, 0)
		}
	}
	return true
}

// bound notes exactly how much any node of the cell has, so that requests for
// more pass it by.
func (c *cell) bound(g *group) {
	c.memory, c.cpu = math.MinInt64, math.MinInt64
	for word, w := range c.bits {
		for ; w != 0; w &= w - 1 {
			m := &g.room[word*64+bits.TrailingZeros64(w)]
			c.memory, c.cpu = max(c.memory, m.memory), max(c.cpu, m.cpu)
		}
	}
}

// from is the position in a group at which the search begins.
func (s *search) from(g *group) int { return int(uint32(s.start) % uint32(len(g.members))) }

// directs turns an amount of free memory so that less of it is better.
func (s *search) directs(mib int64) int64 {
	if s.pool.policy == Spread {
		return -mib
	}
	return mib
}

func (s *search) offer(g *group, pos int32, o order, image int) {
	o.image, o.memory = image, s.directs(g.room[pos].memory)
	if o.turn = int(pos) - s.from(g); o.turn < 0 {
		o.turn += len(g.members)
	}
	if s.best < 0 || o.less(&s.order) {
		s.best, s.order = g.members[pos], o
	}
}

// fits reports whether a placeable node meets the request, its zone and pool
// apart.
func (s *search) fits(g *group, pos int32) bool {
	m := &g.room[pos]
	return m.memory >= s.r.MemoryMiB && (s.r.CPUMilli == 0 || m.cpu >= s.r.CPUMilli) && (!s.picky || s.meets(g.members[pos]))
}

// meets reports whether a node is the right one, its room apart.
func (s *search) meets(i int32) bool {
	if i == s.avoid {
		return false
	}
	for _, b := range s.labels[:s.wants] {
		if int(i/64) >= len(b) || b[i/64]>>(i%64)&1 == 0 {
			return false
		}
	}
	return true
}

// unclean chooses among the nodes on which the app is, or the release failed,
// in the zones with so many instances of it: they are few, so all are compared.
func (s *search) unclean(level int) {
	var best *stand
	var o order
	for k := range s.v.table {
		e := &s.v.table[k]
		i := e.node - 1
		if i < 0 || !s.allowed(i, e, level) {
			continue
		}
		h := &s.x.hot[i]
		p := order{class: s.pool.policy.class(h.starting), bucket: s.directed(bucket(h.memory)), memory: s.directs(h.memory)}
		if len(s.v.images) > 0 && !e.image {
			p.image = 1
		}
		if best == nil || s.before(e, &p, best, &o) {
			best, o, s.best = e, p, i
		}
	}
}

func (s *search) allowed(i int32, e *stand, level int) bool {
	h := &s.x.hot[i]
	switch {
	case h.cell == outside || h.pool != s.pool || s.inZone(h.group) != level || !s.inScope(h.group):
		return false
	case s.r.MaxPerNode > 0 && int(e.instances) >= s.r.MaxPerNode, s.r.MaxFailures > 0 && int(e.failures) >= s.r.MaxFailures:
		return false
	}
	return s.fits(h.group, h.pos)
}

func (s *search) before(a *stand, p *order, b *stand, o *order) bool {
	switch {
	case a.instances != b.instances:
		return a.instances < b.instances
	case a.failures != b.failures:
		return a.failures < b.failures
	case *p != *o:
		return p.less(o)
	}
	return strings.Compare(s.x.nodes[a.node-1].ID, s.x.nodes[b.node-1].ID) < 0
}

// mix is the finaliser of SplitMix64: near inputs give far outputs.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
