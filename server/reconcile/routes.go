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
func (l *Loop) publish(a *app, now time.Time) {
	if !a.DeletedAt.IsZero() {
		l.unpublish(a)
		return
	}
	backend, ok := routes.Build(a.App, l.routeViews(a, now))
	if !ok {
		return
	}
	host := route.Host(a.Name, l.cfg.Domain)
	keys := map[string]string{route.BackendPrefix + host: route.EncodeBackend(backend)}
	for _, d := range a.domains {
		keys[route.DomainPrefix+d] = host
	}
	rev := l.setKeys(a, keys)
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
func (l *Loop) setKeys(a *app, keys map[string]string) uint64 {
	var changes []route.Change
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		v := keys[k]
		changes = append(changes, route.Change{Key: k, Value: &v})
	}
	for _, k := range slices.Sorted(maps.Keys(a.keys)) {
		if _, ok := keys[k]; !ok && !l.usedByOther(a, k) {
			changes = append(changes, route.Change{Key: k})
		}
	}
	a.keys = keys
	return l.pub.Set(changes)
}

// usedByOther reports whether another app has a key now: a name or a domain may
// have changed hands.
func (l *Loop) usedByOther(a *app, key string) bool {
	for _, b := range l.apps {
		if b != a {
			if _, ok := b.keys[key]; ok {
				return true
			}
		}
	}
	return false
}

// unpublish withdraws a deleted app's routes.
func (l *Loop) unpublish(a *app) {
	keys := map[string]string{}
	if len(a.keys) == 0 && a.Name != "" { // this term has not published it
		host := route.Host(a.Name, l.cfg.Domain)
		a.keys = map[string]string{route.BackendPrefix + host: ""}
	}
	rev := l.setKeys(a, keys)
	for _, r := range a.rows {
		if r.inRoutes || r.routeRev == 0 {
			r.inRoutes, r.routeRev = false, rev
		}
	}
}

func (l *Loop) routeViews(a *app, now time.Time) []routes.Instance {
	out := make([]routes.Instance, 0, len(a.rows))
	for _, r := range sortedRows(a.rows) {
		n := l.cluster.Node(r.NodeID)
		o, seen := n.Observed[r.ID]
		v, judged := l.cluster.Verdicts[r.ID]
		i := routes.Instance{
			ID: r.ID, Addr: o.Addr, Release: l.releases[r.ReleaseID].Number,
			Running: seen && o.Phase == model.PhaseRunning && !r.Stopping, WasRouted: r.inRoutes,
		}
		i.Ready = i.Running && v.Healthy
		switch {
		case !r.prior || r.Stopping || n.EverSynced && (!i.Running || judged):
			i.Assured = true
		case l.cluster.Status(n, l.cfg.Limits, now) == model.NodeLost, now.Sub(l.began) >= l.cfg.RouteGrace:
			i.Assured = true
		}
		out = append(out, i)
	}
	return out
}

// openRoutes tells the publisher that the table is complete, once every app's
// routes are known: from then on what Redis holds besides is stale.
func (l *Loop) openRoutes(now time.Time) {
	if l.open || l.reload {
		return
	}
	missing := false
	for _, a := range l.apps {
		if a.Name != "" && a.DeletedAt.IsZero() && len(a.keys) == 0 {
			l.dirty[a.ID], missing = true, true
		}
	}
	if missing {
		return
	}
	l.open = true
	l.pub.Complete()
	l.log.Info("route table complete", "apps", len(l.apps), "took", now.Sub(l.began).Round(time.Millisecond))
}

// awaitsRoutes reports whether an app's next step waits for routers.
func (l *Loop) awaitsRoutes(a *app) bool {
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
func (l *Loop) syncTargets(a *app) {
	m := &pb.HealthTargets{}
	for id, r := range a.rows {
		line, ok := l.target(a, r)
		if ok && l.targets[id] != line {
			l.targets[id] = line
			m.Set = append(m.Set, l.healthTarget(id, line))
		}
	}
	for id := range l.targets {
		r, here := l.rows[id]
		if here && r.AppID != a.ID {
			continue
		}
		if here {
			if _, ok := l.target(a, r); ok {
				continue
			}
		}
		delete(l.targets, id)
		m.Remove = append(m.Remove, id)
	}
	if len(m.Set)+len(m.Remove) > 0 {
		for mon := range l.monitors {
			mon.Targets(m)
		}
	}
}

// target is what to probe of a row, if it runs.
func (l *Loop) target(a *app, r *row) (targetLine, bool) {
	o := l.cluster.Node(r.NodeID).Observed[r.ID]
	if r.Stopping || o.Phase != model.PhaseRunning || o.Addr == "" {
		return targetLine{}, false
	}
	return targetLine{addr: o.Addr, host: route.Host(a.Name, l.cfg.Domain), path: l.releases[r.ReleaseID].Spec.Health}, true
}

func (l *Loop) healthTarget(id string, t targetLine) *pb.HealthTarget {
	v, known := l.cluster.Verdicts[id]
	return &pb.HealthTarget{InstanceId: id, Addr: t.addr, Host: t.host, Path: t.path, Healthy: v.Healthy, Known: known}
}

func (l *Loop) allTargets() *pb.HealthTargets {
	m := &pb.HealthTargets{Full: true}
	for _, id := range slices.Sorted(maps.Keys(l.targets)) {
		m.Set = append(m.Set, l.healthTarget(id, l.targets[id]))
	}
	return m
}
