package reconcile

import (
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/sql/store"
)

// request is what placement is asked for an instance of an app.
func request(a *app, spec model.Spec, avoid string) place.Request {
	p := a.Constraints.Placement()
	return place.Request{
		MemoryMiB: spec.MemoryMiB, CPUMilli: spec.CPUMilli, Avoid: avoid,
		Pool: p.Pool, Zone: p.Zone, Labels: p.Labels, MaxPerNode: p.MaxPerNode, Seed: place.Seed(a.ID),
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
