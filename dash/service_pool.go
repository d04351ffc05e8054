package dash

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// Pools lists the pools that have nodes or a policy of their own, by name.
func (d *Dash) Pools(ctx context.Context, actor model.Actor) (api.Page[api.Pool], error) {
	out := api.Page[api.Pool]{Items: []api.Pool{}}
	if err := d.mayPlatform(ctx, actor, policy.ViewNodes); err != nil {
		return out, err
	}
	set, err := d.store.Pools(ctx)
	if err != nil {
		return out, err
	}
	nodes, err := d.store.Nodes(ctx)
	if err != nil {
		return out, err
	}
	all := map[string]api.Pool{}
	for _, p := range set {
		all[p.Name] = api.Pool{Name: p.Name, Policy: string(p.Policy)}
	}
	for _, n := range nodes {
		name := cmp.Or(n.Pool, model.DefaultPool)
		p := all[name]
		p.Name, p.Policy, p.Nodes = name, cmp.Or(p.Policy, string(model.PoolSpread)), p.Nodes+1
		all[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out.Items = append(out.Items, all[name])
	}
	return out, nil
}

// SetPool says how a pool is filled from now on; what runs stays where it is.
func (d *Dash) SetPool(ctx context.Context, actor model.Actor, name, how string) (api.Pool, error) {
	if err := d.mayPlatform(ctx, actor, policy.EditNodes); err != nil {
		return api.Pool{}, err
	}
	if err := d.store.SetPool(ctx, store.Pool{Name: name, Policy: model.PoolPolicy(how)}, actor); err != nil {
		return api.Pool{}, err
	}
	d.leader.nudge(ctx, true)
	all, err := d.Pools(ctx, actor)
	for _, p := range all.Items {
		if p.Name == name {
			return p, err
		}
	}
	return api.Pool{Name: name, Policy: how}, err
}
