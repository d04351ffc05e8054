package reconcile

import (
	"strings"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// search looks for the nodes of what one plan starts.
type search struct {
	c       *Core
	d       *decided
	release string                        // that the view is of
	full    map[plan.Start]*place.Refused // what found no room needs not be tried again: there is only less of it now
}

func (c *Core) search(d *decided) *search {
	return &search{c: c, d: d, full: map[plan.Start]*place.Refused{}}
}

// node returns the number of a node for an instance, or -1 and why there is none.
func (s *search) node(start plan.Start, spec model.Spec) (int, *place.Refused) {
	alike := plan.Start{ReleaseID: start.ReleaseID, Avoid: start.Avoid}
	if r := s.full[alike]; r != nil {
		return -1, r
	}
	if s.release != start.ReleaseID {
		s.release = start.ReleaseID
		s.c.lookFrom(s.d, s.release)
	}
	req := place.For(s.d.app.App, spec, start.Avoid)
	at, refused := s.c.noRoom.pick(s.c.index, &req, &s.c.view0)
	if at < 0 {
		s.full[alike] = refused
	}
	return at, refused
}

// noRoom remembers what the nodes say to requests that found no room, for as long
// as nothing changes in the index: then apps of the same shape are refused alike,
// but for the nodes where they are. To look through ten thousand nodes for the
// reasons takes milliseconds, and when leaders change there may be as many apps that wait.
type noRoom struct {
	changes uint64 // of the index
	known   map[shape]*place.Common
	looks   int // at all nodes
}

// shape is what a request asks for, as far as it matters to an app that is nowhere.
type shape struct {
	memoryMiB, cpuMilli int64
	pool, zone, labels  string
}

func shapeOf(r *place.Request) shape {
	return shape{r.MemoryMiB, r.CPUMilli, r.Pool, r.Zone, strings.Join(r.Labels, ",")}
}

// pick is place.Index.Pick.
func (n *noRoom) pick(x *place.Index, r *place.Request, v *place.View) (int, *place.Refused) {
	known := n.find(x, r)
	if known == nil || known.Fits() {
		if at := x.Find(r, v); at >= 0 {
			return at, nil
		}
	}
	if known == nil {
		known = n.look(x, r)
	}
	return -1, known.Refuse(x, r, v)
}

// find returns what is said to requests like r; nil when that is not known.
func (n *noRoom) find(x *place.Index, r *place.Request) *place.Common {
	if n.changes != x.Changes() {
		n.changes = x.Changes()
		clear(n.known)
	}
	return n.known[shapeOf(r)]
}

// look asks all nodes.
func (n *noRoom) look(x *place.Index, r *place.Request) *place.Common {
	n.looks++
	if n.known == nil {
		n.known = map[shape]*place.Common{}
	}
	c := x.Common(r)
	n.known[shapeOf(r)] = c
	return c
}

// took tells the search that a node was taken.
func (s *search) took(node int) { s.c.view0.Add(s.c.index, node, 1) }

// lookFrom sets the view by which placement sees an app and a release of it.
func (c *Core) lookFrom(d *decided, releaseID string) {
	a, v := d.app, &c.view0
	v.Reset()
	for _, r := range a.rows {
		if r.freed || r.Stopping {
			continue
		}
		v.Add(c.index, r.node.number, 1)
		if r.ReleaseID == releaseID && r.seen.Phase >= model.PhaseCreated {
			v.Image(r.node.number)
		}
	}
	if a.failuresOf == releaseID {
		for id, n := range a.failedOn {
			if on := c.nodes[id]; on != nil {
				v.Fail(on.number, n)
			}
		}
	}
	for _, s := range a.slots { // a node that refused is not in failedOn
		if on := c.nodes[s.Node]; on != nil {
			v.Fail(on.number, 1)
		}
	}
	for _, reap := range d.plan.Reap { // not in failedOn before the plan is committed
		if r := c.rows[reap.ID]; reap.Waits() && r.ReleaseID == releaseID {
			v.Fail(r.node.number, 1)
		}
	}
}

// fill takes in how people want pools to be filled. It places what comes, and
// moves nothing.
func (c *Core) fill(pools []store.Pool) {
	packed := map[string]bool{}
	for _, p := range pools {
		packed[p.Name] = p.Policy == model.PoolBinPack
	}
	for name := range c.packed {
		if !packed[name] {
			c.index.SetPolicy(name, place.Spread)
		}
	}
	for name, is := range packed {
		if is {
			c.index.SetPolicy(name, place.BinPack)
		}
	}
	c.packed = packed
}
