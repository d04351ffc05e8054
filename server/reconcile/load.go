package reconcile

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// sweep reads the desired state again and, after trouble, our own rows too. It
// is the safety net under nudges and events: it plans every app that is not
// plainly as wished.
func (c *Core) sweep(ctx context.Context, now time.Time) error {
	wish, err := c.deps.Store.Wish(ctx)
	if err != nil {
		return err
	}
	if c.reload {
		world, err := c.deps.Store.World(ctx)
		if err != nil {
			return err
		}
		c.takeWorld(world)
	}
	c.takeWish(wish)
	if err := c.takeSafe(ctx, wish.Safe); err != nil {
		return err
	}
	if err := c.fetchReleases(ctx, maps.Values(c.apps)); err != nil {
		return err
	}
	if c.reload {
		c.resumeDeadlines()
	}
	c.reload, c.swept = false, now
	for id, a := range c.apps {
		if !c.rests(a) {
			c.dirty[id] = true
			a.stopAgain()
		}
	}
	return nil
}

// takeWorld replaces what we hold of our own rows; how far the commands and
// routes of each are is kept.
func (c *Core) takeWorld(w store.World) {
	first := len(c.rows) == 0
	old := maps.Clone(c.rows)
	c.takeNodes(w.Nodes)
	for _, r := range old {
		c.detach(r)
	}
	for _, a := range c.apps {
		a.deployments, a.slots, a.lastGood = map[string]model.Deployment{}, map[int]plan.Slot{}, ""
	}
	if first {
		c.rows = make(map[string]*row, len(w.Instances))
	}
	for _, i := range w.Instances {
		r := &row{Instance: i, prior: first || i.CreatedAt.Before(c.began)}
		if o, ok := old[i.ID]; ok {
			r.inRoutes, r.routeRev, r.routeAt, r.everRouted, r.told, r.memory, r.cpu = o.inRoutes, o.routeRev, o.routeAt, o.everRouted, o.told, o.memory, o.cpu
			if o.Stopping == i.Stopping {
				r.sentTo = o.sentTo
			}
			delete(old, i.ID)
		}
		if e, routed := c.inForce[i.ID]; routed {
			r.ID = e.id // one string for all: what was assumed of it has this one
			if first && !i.Stopping {
				c.node(i.NodeID).Assume(r.ID, e.addr)
			}
		}
		c.addRow(r)
	}
	for _, r := range old {
		c.forget(r)
	}
	for _, d := range w.Deployments {
		a := c.app(d.AppID)
		a.deployments[d.ReleaseID] = d
		if d.Status == model.DeploymentSucceeded {
			a.lastGood = d.ReleaseID
		}
	}
	for _, s := range w.Slots {
		c.app(s.AppID).slots[s.Slot] = plan.Slot{Failures: s.Failures, NextStart: time.UnixMilli(s.NextStart), Node: s.Node}
	}
}

// takeNodes takes in what the database has of nodes. Of one whose agent has said
// hello in this term that is the older word: it is not taken, but written again
// where it differs, as after a write that failed or that a failover lost.
func (c *Core) takeNodes(stored []model.Node) {
	has := make(map[string]bool, len(stored))
	for _, n := range stored {
		has[n.ID] = true
		mine := c.node(n.ID)
		is := n
		if mine.sitting != 0 {
			is = mine.Node.Node
			is.CreatedAt = n.CreatedAt
			if known(n, is) {
				is.SeenAt = n.SeenAt
				delete(c.newNodes, n.ID)
			} else {
				c.newNodes[n.ID] = true
			}
		}
		c.cluster.Describe(mine.Node, is)
		c.reindex(mine)
	}
	for id, n := range c.nodes {
		if n.sitting != 0 && !has[id] && !c.forgotten[id] {
			c.newNodes[id] = true
		}
	}
}

// takeWish replaces the desired state. An app that is not in it was deleted and
// has no rows: it is dropped, with its routes.
func (c *Core) takeWish(w store.Wish) {
	c.want(w.Availabilities)
	c.fill(w.Pools)
	domains := map[string][]string{}
	for _, d := range w.Domains {
		domains[d.AppID] = append(domains[d.AppID], d.Host)
	}
	wanted := make(map[string]bool, len(w.Apps))
	for _, a := range w.Apps {
		wanted[a.ID] = true
		c.wish(a, domains[a.ID])
	}
	for _, id := range slices.Sorted(maps.Keys(c.apps)) {
		if a := c.apps[id]; !wanted[id] && len(a.rows) == 0 {
			c.drop(a)
		}
	}
}

// wish takes in what people want of one app.
func (c *Core) wish(is model.App, domains []string) {
	a := c.app(is.ID)
	if !sameWish(a.App, is) || !slices.Equal(a.domains, domains) {
		c.dirty[is.ID] = true
	}
	is.ID = a.ID
	a.App, a.domains, a.host = is, domains, route.Host(is.Name, c.cfg.Domain)
}

// sameWish reports whether nothing has changed that a plan or a route depends on.
func sameWish(a, b model.App) bool {
	a.UpdatedAt = b.UpdatedAt
	return a == b
}

// refresh reads the desired state of single apps, after a nudge.
func (c *Core) refresh(ctx context.Context, ids []string) error {
	var changed []*app
	for _, id := range ids {
		is, err := c.deps.Store.AppByID(ctx, id)
		if model.IsKind(err, model.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		domains, err := c.deps.Store.Domains(ctx, id)
		if err != nil {
			return err
		}
		var hosts []string
		for _, d := range domains {
			hosts = append(hosts, d.Host)
		}
		c.wish(is, hosts)
		c.dirty[id] = true
		changed = append(changed, c.apps[id])
	}
	return c.fetchReleases(ctx, slices.Values(changed))
}

// fetchReleases reads the releases that apps, their deployments and rows name
// and that are not held yet; a release never changes.
func (c *Core) fetchReleases(ctx context.Context, apps iter.Seq[*app]) error {
	missing := map[string]bool{}
	want := func(id string) {
		if _, ok := c.releases[id]; !ok && id != "" {
			missing[id] = true
		}
	}
	var partial []*row // whose needs are not in the ledger
	for a := range apps {
		want(a.ReleaseID)
		want(a.lastGood)
		for id, d := range a.deployments {
			if !d.Ended() || id == a.ReleaseID {
				want(id)
				want(d.FromReleaseID)
			}
		}
		last := "" // most rows of an app are of one release
		for _, r := range a.rows {
			if r.memory != 0 {
				continue
			}
			if r.ReleaseID != last {
				last = r.ReleaseID
				want(last)
			}
			partial = append(partial, r)
		}
	}
	if len(missing) > 0 {
		got, err := c.deps.Store.ReleasesByID(ctx, slices.Sorted(maps.Keys(missing)))
		if err != nil {
			return err
		}
		maps.Copy(c.releases, got)
	}
	var last model.Release
	for _, r := range partial {
		if r.ReleaseID != last.ID {
			last = c.releases[r.ReleaseID]
		}
		c.reserve(r, &last)
	}
	return nil
}
