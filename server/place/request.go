package place

import "github.com/dinp/dinp/common/model"

// For is what an instance of an app asks for; avoid is the ID of a node that is
// being left, or "".
func For(app model.App, spec model.Spec, avoid string) Request {
	p := app.Constraints.Placement()
	return Request{
		MemoryMiB: spec.MemoryMiB, CPUMilli: spec.CPUMilli, Avoid: avoid,
		Pool: p.Pool, Zone: p.Zone, Labels: p.Labels, MaxPerNode: p.MaxPerNode, Seed: Seed(app.ID),
	}
}

// Room is what the nodes that take instances have.
type Room struct {
	Nodes               int
	MemoryMiB, FreeMiB  int64 // in all, and not reserved
	LargestMiB          int64 // free on the node with most room
	CPUMilli, FreeMilli int64
}

// Room adds up what is on the nodes that take instances. It looks at all of them.
func (x *Index) Room() (r Room) {
	for i := range x.hot {
		h := &x.hot[i]
		if !h.there || !h.placeable {
			continue
		}
		r.Nodes++
		r.MemoryMiB, r.FreeMiB = r.MemoryMiB+x.nodes[i].MemoryMiB, r.FreeMiB+max(0, h.memory)
		r.CPUMilli, r.FreeMilli = r.CPUMilli+x.nodes[i].CPUMilli, r.FreeMilli+max(0, h.cpu)
		r.LargestMiB = max(r.LargestMiB, h.memory)
	}
	return r
}
