package place

import (
	"slices"

	"github.com/dinp/dinp/common/model"
)

// Standing is a host as PickOf sees it. Reserved counts every instance with a
// row, stopping ones included: memory is free when a container is gone, not
// when we wish it were (R16).
type Standing struct {
	ID, Name, Zone             string
	Status                     model.NodeStatus
	Availability               model.Availability
	MemoryMiB, CPUMilli        int64 // in all
	ReservedMiB, ReservedMilli int64
	OfApp                      int // instances of the app in question
	Starting                   int // instances that are being pulled or started
	Failures                   int // recent ones of the release in question
}

// PickOf returns the index of the chosen node, or -1 and why.
func PickOf(nodes []Standing, r Request) (int, *Refused) {
	x, v := New(), &View{}
	of := make([]int, 0, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		k := x.Set(Node{ID: n.ID, Name: n.Name, Zone: n.Zone, Status: n.Status, Availability: n.Availability, MemoryMiB: n.MemoryMiB, CPUMilli: n.CPUMilli})
		of = append(of, k)
		x.Reserve(k, n.ReservedMiB, n.ReservedMilli)
		x.Starting(k, n.Starting)
		v.Add(x, k, n.OfApp)
		v.Fail(k, n.Failures)
	}
	at, refused := x.Pick(&r, v)
	if at < 0 {
		return -1, refused
	}
	return slices.Index(of, at), nil
}
