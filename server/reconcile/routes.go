package reconcile

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/routes"
)

// publish hands an app's routes to the publisher and notes at which revision
// each instance came in or went out.
func (c *Core) publish(a *app, now time.Time) {
	if !a.DeletedAt.IsZero() {
		c.unpublish(a)
		return
	}
	backend, ok := routes.Build(a.App, c.routeViews(a, now))
	if !ok {
		return
	}
	host := route.Host(a.Name, c.cfg.Domain)
	keys := map[string]string{route.BackendPrefix + host: route.EncodeBackend(backend)}
	for _, d := range a.domains {
		keys[route.DomainPrefix+d] = host
	}
	rev := c.setKeys(a, keys)
	in := map[string]bool{}
	for _, e := range backend.Endpoints {
		in[e.Instance] = true
	}
	for id, r := range a.rows {
		if r.inRoutes != in[id] {
			r.inRoutes, r.routeRev = in[id], rev
			r.everRouted = r.everRouted || in[id]
		} else if r.routeRev == 0 {
			r.routeRev = rev
		}
	}
}

// setKeys sets what an app's keys are now and deletes those it had.
func (c *Core) setKeys(a *app, keys map[string]string) uint64 {
	var changes []route.Change
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		v := keys[k]
		changes = append(changes, route.Change{Key: k, Value: &v})
	}
	for _, k := range slices.Sorted(maps.Keys(a.keys)) {
		if _, ok := keys[k]; !ok && !c.usedByOther(a, k) {
			changes = append(changes, route.Change{Key: k})
		}
	}
	a.keys = keys
	return c.deps.Routes.Set(changes)
}

// usedByOther reports whether another app has a key now: a name or a domain may
// have changed hands.
func (c *Core) usedByOther(a *app, key string) bool {
	for _, b := range c.apps {
		if b != a {
			if _, ok := b.keys[key]; ok {
				return true
			}
		}
	}
	return false
}

// unpublish withdraws a deleted app's routes.
func (c *Core) unpublish(a *app) {
	keys := map[string]string{}
	if len(a.keys) == 0 && a.Name != "" { // this term has not published it
		host := route.Host(a.Name, c.cfg.Domain)
		a.keys = map[string]string{route.BackendPrefix + host: ""}
	}
	rev := c.setKeys(a, keys)
	for _, r := range a.rows {
		if r.inRoutes || r.routeRev == 0 {
			r.inRoutes, r.routeRev = false, rev
		}
	}
}

func (c *Core) routeViews(a *app, now time.Time) []routes.Instance {
	out := make([]routes.Instance, 0, len(a.rows))
	for _, r := range sortedRows(a.rows) {
		n := c.cluster.Node(r.NodeID)
		o, seen := n.Observed[r.ID]
		v, judged := c.cluster.Verdicts[r.ID]
		i := routes.Instance{
			ID: r.ID, Addr: o.Addr, Release: c.releases[r.ReleaseID].Number,
			Running: seen && o.Phase == model.PhaseRunning && !r.Stopping, WasRouted: r.inRoutes,
		}
		i.Ready = i.Running && v.Healthy
		switch {
		case !r.prior || r.Stopping || n.EverSynced && (!i.Running || judged):
			i.Assured = true
		case c.cluster.Status(n, c.cfg.Limits, now) == model.NodeLost, now.Sub(c.began) >= c.cfg.RouteGrace:
			i.Assured = true
		}
		out = append(out, i)
	}
	return out
}

// openRoutes tells the publisher that the table is complete, once every app's
// routes are known: from then on what Redis holds besides is stale.
func (c *Core) openRoutes(now time.Time) {
	if c.open || c.reload {
		return
	}
	missing := false
	for _, a := range c.apps {
		if a.Name != "" && a.DeletedAt.IsZero() && len(a.keys) == 0 {
			c.dirty[a.ID], missing = true, true
		}
	}
	if missing {
		return
	}
	c.open = true
	c.deps.Routes.Complete()
	c.deps.Log.Info("route table complete", "apps", len(c.apps), "took", now.Sub(c.began).Round(time.Millisecond))
}

// awaitsRoutes reports whether an app's next step waits for routers.
func (c *Core) awaitsRoutes(a *app) bool {
	for _, r := range a.rows {
		if r.Stopping && r.sentTo == "" || !r.Stopping && r.inRoutes && !r.seenRouted {
			return true
		}
	}
	return false
}

// endpointIDs lists the instances that a table routes to.
func endpointIDs(table map[string]string) []string {
	var out []string
	for k, v := range table {
		if !strings.HasPrefix(k, route.BackendPrefix) {
			continue
		}
		if b, err := route.DecodeBackend(v); err == nil {
			for _, e := range b.Endpoints {
				out = append(out, e.Instance)
			}
		}
	}
	return out
}

// targetLine is what a monitor was told of an instance.
type targetLine struct{ addr, host, path string }

// syncTargets tells the monitors which of an app's instances to probe.
func (c *Core) syncTargets(a *app) {
	m := &pb.HealthTargets{}
	for _, r := range sortedRows(a.rows) {
		id := r.ID
		line, ok := c.target(a, r)
		if ok && c.targets[id] != line {
			c.targets[id] = line
			m.Set = append(m.Set, c.healthTarget(id, line))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.targets)) {
		r, here := c.rows[id]
		if here && r.AppID != a.ID {
			continue
		}
		if here {
			if _, ok := c.target(a, r); ok {
				continue
			}
		}
		delete(c.targets, id)
		m.Remove = append(m.Remove, id)
	}
	if len(m.Set)+len(m.Remove) > 0 {
		for _, id := range slices.Sorted(maps.Keys(c.monitors)) {
			c.monitors[id].Targets(m)
		}
	}
}

// target is what to probe of a row, if it runs.
func (c *Core) target(a *app, r *row) (targetLine, bool) {
	o := c.cluster.Node(r.NodeID).Observed[r.ID]
	if r.Stopping || o.Phase != model.PhaseRunning || o.Addr == "" {
		return targetLine{}, false
	}
	return targetLine{addr: o.Addr, host: route.Host(a.Name, c.cfg.Domain), path: c.releases[r.ReleaseID].Spec.Health}, true
}

func (c *Core) healthTarget(id string, t targetLine) *pb.HealthTarget {
	v, known := c.cluster.Verdicts[id]
	return &pb.HealthTarget{InstanceId: id, Addr: t.addr, Host: t.host, Path: t.path, Healthy: v.Healthy, Known: known}
}

func (c *Core) allTargets() *pb.HealthTargets {
	m := &pb.HealthTargets{Full: true}
	for _, id := range slices.Sorted(maps.Keys(c.targets)) {
		m.Set = append(m.Set, c.healthTarget(id, c.targets[id]))
	}
	return m
}
