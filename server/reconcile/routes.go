package reconcile

import (
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/routes"
)

// Learn takes in the routes in force, of which a leader that began while Redis was
// away knew nothing so far.
func (c *Core) Learn(table map[string]string, found route.Head) {
	c.inForce, c.endpoints = endpointsOf(table)
	c.found = found
	c.routeGrace = c.cfg.RouteGrace
	c.doubtRoutes()
	for id, e := range c.inForce {
		c.cluster.Assume(id, c.deps.Now())
		if r := c.rows[id]; r != nil && !r.Stopping {
			r.node.Assume(r.ID, e.addr)
			c.countStarting(r)
		}
	}
	for id := range c.apps {
		c.dirty[id] = true
	}
}

// publish hands an app's routes to the publisher and notes at which revision
// each instance came in or went out. As long as the routes in force are not known
// it does not: what serves by them, and nobody else vouches for, would be withdrawn.
func (c *Core) publish(a *app, now time.Time) {
	if c.inForce == nil {
		return
	}
	c.dismiss(a, now)
	if !a.DeletedAt.IsZero() {
		c.unpublish(a)
		return
	}
	if c.mayForget(a, now) {
		return
	}
	backend, ok := routes.Build(a.App, append(c.routeViews(a, now), c.guestViews(a)...), c.split(a))
	if !ok {
		return
	}
	keys := map[string]string{route.BackendPrefix + a.host: route.EncodeBackend(backend)}
	for _, d := range a.domains {
		keys[route.DomainPrefix+d] = a.host
	}
	rev := c.setKeys(a, keys)
	in := map[string]bool{}
	for _, e := range backend.Endpoints {
		in[e.Instance] = true
	}
	for _, r := range a.rows {
		if r.routeRev == 0 { // soon nobody else knows what was in force
			r.everRouted = r.everRouted || c.wasInForce(r)
		}
		if r.inRoutes != in[r.ID] {
			r.inRoutes, r.routeRev, r.routeAt = in[r.ID], rev, now.UnixMilli()
			r.everRouted = r.everRouted || r.inRoutes
		} else if r.routeRev == 0 {
			r.routeRev = rev
		}
	}
}

// setKeys sets what an app's keys are now and deletes those it had.
func (c *Core) setKeys(a *app, keys map[string]string) uint64 {
	var changes []route.Change
	now := slices.Sorted(maps.Keys(keys))
	for _, k := range now {
		v := keys[k]
		changes = append(changes, route.Change{Key: k, Value: &v})
		c.owners[k] = a
	}
	for _, k := range a.keys {
		if _, ok := keys[k]; !ok && c.owns(a, k) {
			changes = append(changes, route.Change{Key: k})
			delete(c.owners, k)
		}
	}
	a.keys = now
	if len(keys) > 0 || !a.DeletedAt.IsZero() {
		delete(c.unrouted, a.ID)
	}
	return c.deps.Routes.Set(changes)
}

// owns reports whether no other app has a key now: a name or a domain may have
// changed hands.
func (c *Core) owns(a *app, key string) bool {
	owner := c.owners[key]
	return owner == nil || owner == a
}

// unpublish withdraws a deleted app's routes.
func (c *Core) unpublish(a *app) {
	keys := map[string]string{}
	if len(a.keys) == 0 && a.Name != "" { // this term has not published it
		a.keys = []string{route.BackendPrefix + a.host}
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
	for _, r := range a.rows {
		rel := c.releases[r.ReleaseID]
		i := routes.Instance{ID: r.ID, Release: rel.Number, Drain: rel.Spec.Drain, WasRouted: r.inRoutes || c.mayBeRouted(r) || c.mayHaveBeen(a, r)}
		i.Addr, i.Running = r.seen.Addr, r.seen.Phase == model.PhaseRunning && !r.Stopping
		i.Ready = i.Running && r.verdict.Healthy
		i.Assured = c.assured(r, now)
		out = append(out, i)
	}
	return out
}

// mayBeRouted reports whether a router may send to what is, or was taken, out of the
// routes: it has yet to take the table without it, or there is none in this term.
func (c *Core) mayBeRouted(r *row) bool {
	return (r.routeRev == 0 || c.deps.Routes.Served() < r.routeRev) && (r.everRouted || c.wasInForce(r))
}

// mayHaveBeen reports whether routes may have led to a row when the term began, which the
// table that was found does not tell because Redis was flushed or set back: it is of a release that
// was rolled out. Monitors are new to all that it does not name, so one that cannot reach an
// app says of nothing that it ever answered.
func (c *Core) mayHaveBeen(a *app, r *row) bool {
	return c.doubted && r.prior && r.routeRev == 0 && r.ReleaseID == a.lastGood && r.Role == model.Primary
}

// assured reports whether what is known of a row is fresh, or as fresh as it will be.
func (c *Core) assured(r *row, now time.Time) bool {
	running := r.seen.Phase == model.PhaseRunning && !r.Stopping
	switch {
	case !r.prior || r.Stopping || r.node.EverSynced && (!running || r.verdict.Judged || r.verdict.Healthy):
		return true
	case r.node.Status == model.NodeLost, c.graceIsOver(now):
		return true
	}
	return false
}

// openRoutes tells the publisher that the table is complete, once every app's
// routes are known: from then on what Redis holds besides is stale. What is not
// known yet may become so by what nodes and monitors say, which plans the apps it
// is about, and by the end of the grace alone.
func (c *Core) openRoutes(now time.Time) {
	if c.open || c.reload || c.inForce == nil {
		return
	}
	c.trust(now)
	over := c.graceIsOver(now)
	for id := range c.unrouted {
		if a := c.apps[id]; a == nil || a.Name == "" || !a.DeletedAt.IsZero() {
			delete(c.unrouted, id)
		} else if over && !c.graceOver {
			c.dirty[id] = true
		}
	}
	c.graceOver = over
	if len(c.unrouted) > 0 || !c.mayJudge(now) {
		return
	}
	c.open = true
	c.letGo()
	c.deps.Routes.Complete()
	c.log().Info("route table complete", "apps", len(c.apps), "took", now.Sub(c.began).Round(time.Millisecond))
}

// letGo forgets the routes in force of rows that have routes of this term: that is
// nearly all of them, and they took room.
func (c *Core) letGo() {
	c.endpoints = nil
	still := map[string]routed{}
	for id, e := range c.inForce {
		if r := c.rows[id]; r != nil && r.routeRev == 0 {
			still[id] = e
		}
	}
	c.inForce = still
}

// doubtRoutes gives silent nodes the time until they are lost to tell what they run
// once it shows that the routes in force when the term began do not: Redis had none,
// for it may have been flushed, or a part of those that it had before, or a router of an earlier term serves more, so that
// Redis has failed over to a replica that lacked the last writes.
func (c *Core) doubtRoutes() {
	if c.open || c.doubted || c.inForce == nil {
		return
	}
	if c.found != (route.Head{}) && c.found.Base != route.Nothing {
		more := slices.IndexFunc(c.deps.Routes.Routers(), func(l route.RouterLine) bool { return l.Serves.Epoch < c.lease.Epoch && c.found.Lacks(l.Serves) })
		if more < 0 {
			return
		}
		c.log().Warn("redis was set back: routers serve more than it had; silent nodes are waited for until they are lost", "had", c.found.String())
	}
	c.doubted = true
	c.routeGrace += c.cfg.Limits.UnknownAfter + c.cfg.Limits.LostAfter
}

// graceIsOver reports whether silent nodes hold up the routes of their apps no more.
// Where the routes in force do not tell what runs, only nodes can, and as long as
// none has spoken that is no sign that nothing runs: we are cut off. So their time
// begins with the first one that has.
func (c *Core) graceIsOver(now time.Time) bool {
	from := c.began
	if c.doubted {
		if from = c.spoke; from.IsZero() {
			return false
		}
	}
	return now.Sub(from) >= c.routeGrace
}

// mayJudge reports whether what is in force and has no row may be withdrawn. A
// database that was set back does not know it either: only agents can tell, so
// they get the time to, and one has to have spoken.
func (c *Core) mayJudge(now time.Time) bool {
	for id := range c.inForce {
		if c.rows[id] == nil && !c.believed {
			return c.graceIsOver(now) && c.heardAny()
		}
	}
	return true
}

// mayForget reports whether an app's routes in force may lead to instances that the
// database has forgotten, because it has fewer rows than routes lead to: whether it was set
// back only nodes can tell, so nothing is said of such an app before one has come that
// vouches for the end of what the database knows, or any, if none does in its time.
func (c *Core) mayForget(a *app, now time.Time) bool {
	if len(a.keys) > 0 || c.open || c.mayTrust(now) || c.endpoints[a.host] <= c.known(a) {
		return false
	}
	c.doubtful[a.ID] = true
	return true
}

// known counts an app's rows to which routes led when the term began.
func (c *Core) known(a *app) (n int) {
	for _, r := range a.rows {
		if c.wasInForce(r) {
			n++
		}
	}
	return n
}

// mayTrust reports whether the database may be taken to know what the last leader
// did: what was not heard of it by now will hardly be.
func (c *Core) mayTrust(now time.Time) bool {
	return c.believed || c.vouched || c.heardAny() && c.graceIsOver(now)
}

// trust plans the apps of which nothing was said until the database could be trusted.
func (c *Core) trust(now time.Time) {
	if len(c.doubtful) > 0 && c.mayTrust(now) {
		maps.Copy(c.dirty, c.doubtful)
		clear(c.doubtful)
	}
}

// heardAny reports whether any node has told what it runs.
func (c *Core) heardAny() bool {
	for _, n := range c.nodes {
		if n.EverSynced {
			return true
		}
	}
	return false
}

// awaitsRoutes reports whether an app's next step waits for routers, and the least
// revision that brings one when they serve it.
func awaitsRoutes(a *app, served uint64) (rev uint64, awaits bool) {
	for _, r := range a.rows {
		toStop, toServe := r.Stopping && r.sentTo == 0, !r.Stopping && r.inRoutes && !r.seenRouted
		if (toStop || toServe || r.everRouted && r.routeRev > served) && (!awaits || r.routeRev < rev) {
			rev, awaits = r.routeRev, true
		}
	}
	return rev, awaits
}

// routesServed plans the apps that have waited for what routers serve by now, but
// for those that rest with it: when a term begins those are nearly all there are.
func (c *Core) routesServed() {
	served := c.deps.Routes.Served()
	for id, rev := range c.awaiting {
		switch a := c.apps[id]; {
		case rev > served:
		case a != nil && c.rests(a):
			delete(c.awaiting, id)
		default:
			c.dirty[id] = true
		}
	}
}

// routed is an instance to which routes lead.
type routed struct{ id, addr string }

// wasInForce reports whether routes led to a row when the term began.
func (c *Core) wasInForce(r *row) bool {
	_, was := c.inForce[r.ID]
	return was
}

// bytesPerEndpoint is what an endpoint takes in a table, rather more than less: by it
// room is made for all at once.
const bytesPerEndpoint = 120

// endpointsOf lists the instances that a table routes to, and counts them by host.
func endpointsOf(table map[string]string) (all map[string]routed, byHost map[string]int) {
	size := 0
	for _, v := range table {
		size += len(v)
	}
	all, byHost = make(map[string]routed, size/bytesPerEndpoint), make(map[string]int, len(table))
	for k, v := range table {
		host, is := strings.CutPrefix(k, route.BackendPrefix)
		if !is {
			continue
		}
		if b, err := route.DecodeBackend(v); err == nil {
			for _, e := range b.Endpoints {
				all[e.Instance] = routed{e.Instance, e.Addr}
			}
			byHost[host] = len(b.Endpoints)
		}
	}
	return all, byHost
}

// syncTargets tells the monitors which of an app's instances to probe.
func (c *Core) syncTargets(a *app) {
	m := &pb.HealthTargets{}
	for _, r := range a.rows {
		c.aim(m, r)
	}
	c.toMonitors(m)
}

// aim adds what monitors have yet to be told of a row.
func (c *Core) aim(m *pb.HealthTargets, r *row) {
	t := c.target(r)
	told := fingerprint(t)
	switch {
	case told == r.told:
	case t == nil:
		m.Remove = append(m.Remove, r.ID)
	default:
		m.Set = append(m.Set, t)
	}
	r.told = told
}

func (c *Core) toMonitors(m *pb.HealthTargets) {
	if len(m.GetSet())+len(m.GetRemove()) == 0 {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(c.monitors)) {
		c.monitors[id].Targets(m)
	}
}

// target is what to probe of a row; nil if it does not run.
func (c *Core) target(r *row) *pb.HealthTarget {
	o := r.seen
	if r.Stopping || o.Phase != model.PhaseRunning || o.Addr == "" {
		return nil
	}
	v := r.verdict
	return &pb.HealthTarget{
		InstanceId: r.ID, Addr: o.Addr, Host: r.app.host, Path: c.releases[r.ReleaseID].Spec.Health, Healthy: v.Healthy, Known: v.Judged || v.Healthy,
	}
}

// fingerprint tells one target from another, but for the verdict; 0 is none.
func fingerprint(t *pb.HealthTarget) uint64 {
	if t == nil {
		return 0
	}
	h := fnv.New64a()
	for _, s := range []string{t.GetAddr(), t.GetHost(), t.GetPath()} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return max(1, h.Sum64())
}

func (c *Core) allTargets() *pb.HealthTargets {
	m := &pb.HealthTargets{Full: true}
	for _, id := range slices.Sorted(maps.Keys(c.apps)) { // and not by instance: there may be a million
		for _, r := range c.apps[id].rows {
			if t := c.target(r); t != nil {
				m.Set = append(m.Set, t)
			}
		}
	}
	return m
}
