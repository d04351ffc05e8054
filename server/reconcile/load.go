package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// sweep reads the desired state again and, after trouble, our own rows too.
// It is the safety net under the nudges, and plans every app.
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
	if err := c.fetchReleases(ctx); err != nil {
		return err
	}
	c.reload, c.swept = false, now
	for id := range c.apps {
		c.dirty[id] = true
	}
	return nil
}

// takeWorld replaces what we hold of our own rows; how far the commands and
// routes of each are is kept.
func (c *Core) takeWorld(w store.World) {
	first := len(c.rows) == 0
	old := c.rows
	c.rows, c.byNode, c.ledger = map[string]*row{}, map[string]map[string]*row{}, map[string]*reserved{}
	for _, a := range c.apps {
		a.rows, a.deployments, a.slots, a.lastGood = map[string]*row{}, map[string]model.Deployment{}, map[int]plan.Slot{}, ""
	}
	for _, i := range w.Instances {
		r := &row{Instance: i, prior: first || i.CreatedAt.Before(c.began)}
		if o, ok := old[i.ID]; ok {
			r.inRoutes, r.routeRev, r.everRouted, r.memory, r.cpu = o.inRoutes, o.routeRev, o.everRouted, o.memory, o.cpu
			if o.Stopping == i.Stopping {
				r.sentTo = o.sentTo
			}
		}
		c.addRow(r)
	}
	for _, d := range w.Deployments {
		a := c.app(d.AppID)
		a.deployments[d.ReleaseID] = d
		if d.Status == model.DeploymentSucceeded {
			a.lastGood = d.ReleaseID
		}
	}
	for _, s := range w.Slots {
		c.app(s.AppID).slots[s.Slot] = plan.Slot{Failures: s.Failures, NextStart: time.UnixMilli(s.NextStart)}
	}
	for _, n := range w.Nodes {
		c.cluster.Node(n.ID).Node = n
	}
}

// takeWish replaces the desired state. An app that is not in it was deleted and
// has no rows: it is dropped, with its routes.
func (c *Core) takeWish(w store.Wish) {
	c.avail = w.Availabilities
	wanted := map[string]bool{}
	for _, a := range w.Apps {
		wanted[a.ID] = true
		mine := c.app(a.ID)
		mine.App, mine.domains = a, nil
	}
	for _, d := range w.Domains {
		if a, ok := c.apps[d.AppID]; ok {
			a.domains = append(a.domains, d.Host)
		}
	}
	for id, a := range c.apps {
		if !wanted[id] && len(a.rows) == 0 {
			c.unpublish(a)
			delete(c.apps, id)
			delete(c.dirty, id)
		}
	}
}

// refresh reads the desired state of single apps, after a nudge.
func (c *Core) refresh(ctx context.Context, ids []string) error {
	for _, id := range ids {
		a, err := c.deps.Store.AppByID(ctx, id)
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
		mine := c.app(id)
		mine.App, mine.domains = a, nil
		for _, d := range domains {
			mine.domains = append(mine.domains, d.Host)
		}
		c.dirty[id] = true
	}
	return c.fetchReleases(ctx)
}

// fetchReleases reads the releases that apps, deployments and rows name and that
// are not held yet; a release never changes.
func (c *Core) fetchReleases(ctx context.Context) error {
	missing := map[string]bool{}
	want := func(id string) {
		if _, ok := c.releases[id]; !ok && id != "" {
			missing[id] = true
		}
	}
	for _, a := range c.apps {
		want(a.ReleaseID)
		want(a.lastGood)
		for id, d := range a.deployments {
			if !d.Ended() || id == a.ReleaseID {
				want(id)
				want(d.FromReleaseID)
			}
		}
	}
	for _, r := range c.rows {
		want(r.ReleaseID)
	}
	if len(missing) > 0 {
		got, err := c.deps.Store.ReleasesByID(ctx, slices.Sorted(maps.Keys(missing)))
		if err != nil {
			return err
		}
		for id, r := range got {
			c.releases[id] = r
		}
	}
	for _, r := range c.rows {
		c.reserve(r)
	}
	return nil
}

func (c *Core) app(id string) *app {
	a := c.apps[id]
	if a == nil {
		a = &app{App: model.App{ID: id}, deployments: map[string]model.Deployment{}, rows: map[string]*row{}, slots: map[int]plan.Slot{}, keys: map[string]string{}}
		c.apps[id] = a
	}
	return a
}

func (c *Core) addRow(r *row) {
	c.rows[r.ID] = r
	c.app(r.AppID).rows[r.ID] = r
	if c.byNode[r.NodeID] == nil {
		c.byNode[r.NodeID] = map[string]*row{}
	}
	c.byNode[r.NodeID][r.ID] = r
	if c.ledger[r.NodeID] == nil {
		c.ledger[r.NodeID] = &reserved{}
	}
	led := c.ledger[r.NodeID]
	led.memory, led.cpu = led.memory+r.memory, led.cpu+r.cpu
}

// reserve enters a row's needs into the ledger once its release is known.
func (c *Core) reserve(r *row) {
	rel, ok := c.releases[r.ReleaseID]
	if !ok || r.memory != 0 {
		return
	}
	r.memory, r.cpu = rel.Spec.MemoryMiB, rel.Spec.CPUMilli
	led := c.ledger[r.NodeID]
	led.memory, led.cpu = led.memory+r.memory, led.cpu+r.cpu
}

func (c *Core) removeRow(r *row) {
	delete(c.rows, r.ID)
	delete(c.apps[r.AppID].rows, r.ID)
	delete(c.byNode[r.NodeID], r.ID)
	led := c.ledger[r.NodeID]
	led.memory, led.cpu = led.memory-r.memory, led.cpu-r.cpu
	c.cluster.Forget(r.ID)
}
