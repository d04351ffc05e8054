package place

// View is where one app's instances are, as far as placing another of them
// goes: an entry for each node with instances of the app, recent failures of
// the release in question, or its image. It is made for one planning of one
// app, from the app's rows, and grows with what that planning places. Reset
// makes it ready for the next app without allocating.
type View struct {
	table  []stand // open addressing, a power of two long
	used   int
	total  int     // instances in all
	zones  []int32 // instances by zone index
	images []int32 // nodes that have the image
}

// stand is what a view knows of one node.
type stand struct {
	node      int32 // its number plus one; 0: the entry is free
	instances int32
	failures  int32
	image     bool
}

// Reset empties the view.
func (v *View) Reset() {
	clear(v.table)
	clear(v.zones)
	v.used, v.total, v.images = 0, 0, v.images[:0]
}

// Add counts n further instances of the app on a node; n may be negative.
func (v *View) Add(x *Index, node, n int) {
	for len(v.zones) < len(x.zones) {
		v.zones = append(v.zones, 0)
	}
	v.enter(node).instances += int32(n)
	v.zones[x.hot[node].zone] += int32(n)
	v.total += n
}

// Fail counts n recent failures of the release on a node.
func (v *View) Fail(node, n int) { v.enter(node).failures += int32(n) }

// Image says that a node has the release's image.
func (v *View) Image(node int) {
	if s := v.enter(node); !s.image {
		s.image = true
		v.images = append(v.images, int32(node))
	}
}

// Instances is how many of the app's instances a node has.
func (v *View) Instances(node int) int {
	if s := v.of(int32(node)); s != nil {
		return int(s.instances)
	}
	return 0
}

// of returns the entry of a node, nil when there is none.
func (v *View) of(node int32) *stand {
	if v.used == 0 {
		return nil
	}
	mask := uint32(len(v.table) - 1)
	for i := spot(node) & mask; ; i = (i + 1) & mask {
		switch s := &v.table[i]; s.node {
		case node + 1:
			return s
		case 0:
			return nil
		}
	}
}

// clean reports that nothing speaks against a node: neither instances of the
// app nor failures of the release.
func (v *View) clean(node int32) bool {
	s := v.of(node)
	return s == nil || s.instances <= 0 && s.failures <= 0
}

func (v *View) enter(node int) *stand {
	if 2*(v.used+1) > len(v.table) {
		v.grow()
	}
	mask := uint32(len(v.table) - 1)
	for i := spot(int32(node)) & mask; ; i = (i + 1) & mask {
		switch s := &v.table[i]; s.node {
		case int32(node) + 1:
			return s
		case 0:
			v.used++
			s.node = int32(node) + 1
			return s
		}
	}
}

func (v *View) grow() {
	old := v.table
	v.table, v.used = make([]stand, max(16, 2*len(old))), 0
	for _, s := range old {
		if s.node != 0 {
			*v.enter(int(s.node - 1)) = s
		}
	}
}

func spot(node int32) uint32 { return uint32(node+1) * 2654435769 >> 7 }
