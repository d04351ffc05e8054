package reconcile

import (
	"context"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// sweep reads the desired state again and, after trouble, our own rows too.
// It is the safety net under the nudges, and plans every app.
func (l *Loop) sweep(ctx context.Context, now time.Time) error {
	wish, err := l.store.Wish(ctx)
	if err != nil {
		return err
	}
	if l.reload {
		world, err := l.store.World(ctx)
		if err != nil {
			return err
		}
		l.takeWorld(world)
	}
	l.takeWish(wish)
	if err := l.fetchReleases(ctx); err != nil {
		return err
	}
	l.reload, l.swept = false, now
	for id := range l.apps {
		l.dirty[id] = true
	}
	return nil
}

// takeWorld replaces what we hold of our own rows; how far the commands and
// routes of each are is kept.
func (l *Loop) takeWorld(w store.World) {
	first := len(l.rows) == 0
	old := l.rows
	l.rows, l.byNode, l.ledger = map[string]*row{}, map[string]map[string]*row{}, map[string]*reserved{}
	for _, a := range l.apps {
		a.rows, a.deployments, a.slots, a.lastGood = map[string]*row{}, map[string]model.Deployment{}, map[int]plan.Slot{}, ""
	}
	for _, i := range w.Instances {
		r := &row{Instance: i, prior: first || i.CreatedAt.Before(l.began)}
		if o, ok := old[i.ID]; ok {
			r.inRoutes, r.routeRev, r.everRouted, r.memory, r.cpu = o.inRoutes, o.routeRev, o.everRouted, o.memory, o.cpu
			if o.Stopping == i.Stopping {
				r.sentTo = o.sentTo
			}
		}
		l.addRow(r)
	}
	for _, d := range w.Deployments {
		a := l.app(d.AppID)
		a.deployments[d.ReleaseID] = d
		if d.Status == model.DeploymentSucceeded {
			a.lastGood = d.ReleaseID
		}
	}
	for _, s := range w.Slots {
		l.app(s.AppID).slots[s.Slot] = plan.Slot{Failures: s.Failures, NextStart: time.UnixMilli(s.NextStart)}
	}
	for _, n := range w.Nodes {
		l.cluster.Node(n.ID).Node = n
	}
}

// takeWish replaces the desired state. An app that is not in it was deleted and
// has no rows: it is dropped, with its routes.
func (l *Loop) takeWish(w store.Wish) {
	l.avail = w.Availabilities
	wanted := map[string]bool{}
	for _, a := range w.Apps {
		wanted[a.ID] = true
		mine := l.app(a.ID)
		mine.App, mine.domains = a, nil
	}
	for _, d := range w.Domains {
		if a, ok := l.apps[d.AppID]; ok {
			a.domains = append(a.domains, d.Host)
		}
	}
	for id, a := range l.apps {
		if !wanted[id] && len(a.rows) == 0 {
			l.unpublish(a)
			delete(l.apps, id)
			delete(l.dirty, id)
		}
	}
}

// refresh reads the desired state of single apps, after a nudge.
func (l *Loop) refresh(ctx context.Context, ids []string) error {
	for _, id := range ids {
		a, err := l.store.AppByID(ctx, id)
		if model.IsKind(err, model.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		domains, err := l.store.Domains(ctx, id)
		if err != nil {
			return err
		}
		mine := l.app(id)
		mine.App, mine.domains = a, nil
		for _, d := range domains {
			mine.domains = append(mine.domains, d.Host)
		}
		l.dirty[id] = true
	}
	return l.fetchReleases(ctx)
}

// fetchReleases reads the releases that apps, deployments and rows name and that
// are not held yet; a release never changes.
func (l *Loop) fetchReleases(ctx context.Context) error {
	missing := map[string]bool{}
	want := func(id string) {
		if _, ok := l.releases[id]; !ok && id != "" {
			missing[id] = true
		}
	}
	for _, a := range l.apps {
		want(a.ReleaseID)
		want(a.lastGood)
		for id, d := range a.deployments {
			if !d.Ended() || id == a.ReleaseID {
				want(id)
				want(d.FromReleaseID)
			}
		}
	}
	for _, r := range l.rows {
		want(r.ReleaseID)
	}
	if len(missing) > 0 {
		ids := make([]string, 0, len(missing))
		for id := range missing {
			ids = append(ids, id)
		}
		got, err := l.store.ReleasesByID(ctx, ids)
		if err != nil {
			return err
		}
		for id, r := range got {
			l.releases[id] = r
		}
	}
	for _, r := range l.rows {
		l.reserve(r)
	}
	return nil
}

func (l *Loop) app(id string) *app {
	a := l.apps[id]
	if a == nil {
		a = &app{App: model.App{ID: id}, deployments: map[string]model.Deployment{}, rows: map[string]*row{}, slots: map[int]plan.Slot{}, keys: map[string]string{}}
		l.apps[id] = a
	}
	return a
}

func (l *Loop) addRow(r *row) {
	l.rows[r.ID] = r
	l.app(r.AppID).rows[r.ID] = r
	if l.byNode[r.NodeID] == nil {
		l.byNode[r.NodeID] = map[string]*row{}
	}
	l.byNode[r.NodeID][r.ID] = r
	if l.ledger[r.NodeID] == nil {
		l.ledger[r.NodeID] = &reserved{}
	}
	led := l.ledger[r.NodeID]
	led.memory, led.cpu = led.memory+r.memory, led.cpu+r.cpu
}

// reserve enters a row's needs into the ledger once its release is known.
func (l *Loop) reserve(r *row) {
	rel, ok := l.releases[r.ReleaseID]
	if !ok || r.memory != 0 {
		return
	}
	r.memory, r.cpu = rel.Spec.MemoryMiB, rel.Spec.CPUMilli
	led := l.ledger[r.NodeID]
	led.memory, led.cpu = led.memory+r.memory, led.cpu+r.cpu
}

func (l *Loop) removeRow(r *row) {
	delete(l.rows, r.ID)
	delete(l.apps[r.AppID].rows, r.ID)
	delete(l.byNode[r.NodeID], r.ID)
	led := l.ledger[r.NodeID]
	led.memory, led.cpu = led.memory-r.memory, led.cpu-r.cpu
	l.cluster.Forget(r.ID)
}
