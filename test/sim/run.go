package sim

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

// Options change how a seed is run; the zero value runs all of it, in silence.
type Options struct {
	Only []int     // numbers of the actions that happen; nil: all
	Out  io.Writer // the trace goes there; nil: nowhere
	Logs bool      // with the programs' own logs
}

// Result is what came of a run.
type Result struct {
	Seed    uint64
	Actions []Action // as drawn
	Failure *Failure // nil: all held
	Trace   uint64   // hash of all that happened
	Events  uint64
	Commits int
	Rested  time.Duration // virtual time from the end of the faults until all was as wished; 0: never
}

// How long a run lasts, in its own time.
const (
	calmFor = 65 * time.Second // two sweeps in which nothing is to be done
	maxRest = 25 * time.Minute // then it was never to be as wished
)

// maxEvents ends a run that goes round in circles.
const maxEvents = 3_000_000

// Run runs one seed.
func Run(ctx context.Context, seed uint64, o Options) Result {
	plan := rand.New(rand.NewPCG(seed, 0x51a1))
	shape := shape{nodes: 3 + plan.IntN(5), zones: 1 + plan.IntN(3), servers: 1 + plan.IntN(3), routers: 1 + plan.IntN(2), monitors: 1 + plan.IntN(2), memory: 2048}
	length, actions := drawRun(plan, rand.New(rand.NewPCG(seed, 0x4a4e)))
	w := newWorld(ctx, seed, shape, o.Out, o.Logs)
	defer w.end()
	w.say("plan", "seed %d: %d nodes in %d zones, %d servers, %d routers, %d monitors", seed, shape.nodes, shape.zones, shape.servers, shape.routers, shape.monitors)
	w.foreigners()
	w.begin()
	for i := range 1 + plan.IntN(3) {
		n := 1 + plan.IntN(4)
		w.after(nil, time.Duration(i)*time.Second, func() { w.people.create(n) })
	}
	for _, a := range actions {
		if o.Only == nil || slices.Contains(o.Only, a.N) {
			w.after(nil, a.At, func() { w.do(a) })
		}
	}
	w.until(epoch.Add(begun + length))
	// Whatever still lasts ends by itself before it is healed a second time.
	w.heal()
	rested := w.rest()
	return Result{Seed: seed, Actions: actions, Failure: w.check.failure, Trace: w.sum.Sum64(), Events: w.count, Commits: w.check.commits, Rested: rested}
}

// drawRun draws what happens. Some runs are without faults, and in some only a
// few kinds of them are drawn, often: what is rare among all is found there.
func drawRun(r, rare *rand.Rand) (length time.Duration, actions []Action) {
	length = 3*time.Minute + time.Duration(r.Int64N(int64(9*time.Minute)))
	actions = draw(r, length, 2+r.IntN(10), wishes)
	some := faults
	switch mode := r.IntN(10); {
	case mode < 2:
		some = nil
	case mode < 6:
		some = nil
		for range 1 + r.IntN(3) {
			some = append(some, faults[r.IntN(len(faults))])
		}
	}
	if some != nil {
		actions = append(actions, draw(r, length, 1+r.IntN(14), some)...)
	}
	slices.SortStableFunc(actions, func(a, b Action) int { return int(a.At - b.At) })
	if rare.IntN(3) == 0 {
		actions = append(actions, draw(rare, length, 1+rare.IntN(3), rarities)...)
	}
	for i := range actions {
		actions[i].N = i + 1
	}
	return length, actions
}

// foreigners puts a container that is not ours on each host.
func (w *World) foreigners() {
	for _, n := range w.nodes {
		id := "theirs-" + n.name
		n.engine.Occupy(id)
		w.check.foreign[n.name] = id
	}
}

// until lets everything happen up to a time, or to the first failure.
func (w *World) until(end time.Time) {
	for w.check.failure == nil && w.step(end) {
		w.seen()
	}
	if w.check.failure == nil {
		w.now = end
	}
}

// seen looks at the whole after an event.
func (w *World) seen() {
	for _, r := range w.routers {
		r.watch()
	}
	if w.touched {
		w.touched = false
		w.check.step()
	}
	w.check.ask()
	if w.count > maxEvents {
		w.check.fail("a run comes to its end", "%d events have happened", w.count)
	}
}

// rest waits until all is as wished and nothing is done any more.
func (w *World) rest() time.Duration {
	healed, calm, commits := w.now, w.now, w.check.commits
	for w.check.failure == nil {
		w.until(w.now.Add(time.Second))
		w.people.mend()
		why := w.unwished()
		switch {
		case why != "" || w.check.commits != commits:
			calm, commits = w.now, w.check.commits
		case w.now.Sub(calm) >= calmFor:
			return calm.Sub(healed)
		}
		if w.now.Sub(healed) > maxRest {
			if why == "" {
				why = "the leader goes on writing, although all is as wished"
			}
			w.check.fail("all comes to rest as wished", "%s after faults have stopped: %s", maxRest, why)
		}
	}
	return 0
}

// unwished says what is not as people want it; "" for nothing.
func (w *World) unwished() string {
	if w.leader() == nil {
		return "nobody leads"
	}
	wanted := map[string]model.Instance{}
	routes := map[string]string{}
	for _, a := range sorted(w.db.apps) {
		if !a.DeletedAt.IsZero() {
			continue
		}
		if why := w.unwishedApp(a, wanted, routes); why != "" {
			return a.Name + ": " + why
		}
	}
	for _, i := range sorted(w.db.instances) {
		if _, ok := wanted[i.ID]; !ok {
			return fmt.Sprintf("instance %s is left over: %s, stopping %v", label(i.ID), i.Role, i.Stopping)
		}
	}
	for _, n := range w.nodes {
		cs, specs := n.engine.All()
		for i, c := range cs {
			if row, ok := wanted[c.InstanceID]; specs[i].InstanceID != "" && (!ok || row.NodeID != n.name) {
				return fmt.Sprintf("container of %s is left over on %s", label(c.InstanceID), n.name)
			}
		}
	}
	return w.unrouted(routes)
}

// kept is the release to be kept up when an app's deployment has ended; "" for none.
func kept(a model.App, d model.Deployment) string {
	if d.Status == model.DeploymentFailed {
		return d.FromReleaseID
	}
	return a.ReleaseID
}

// unwishedApp says what of one app is not as wished, and adds what is wanted of it.
func (w *World) unwishedApp(a model.App, wanted map[string]model.Instance, routes map[string]string) string {
	d, ok := w.db.deployments[a.ReleaseID]
	if !ok || !d.Ended() {
		return fmt.Sprintf("its deployment has not ended (%s)", d.Status)
	}
	release, n := kept(a, d), a.Instances
	if release == "" {
		n = 0
	}
	slots := map[int]bool{}
	b := route.Backend{App: a.Name, Maintenance: a.Maintenance, Endpoints: []route.Endpoint{}}
	for _, i := range sorted(w.db.instances) {
		if i.AppID != a.ID {
			continue
		}
		_, c, _, there := w.container(i.ID)
		switch {
		case i.Stopping || i.Role != model.Primary || i.ReleaseID != release || i.Slot >= n:
			return fmt.Sprintf("%s is %s of slot %d, stopping %v", label(i.ID), i.Role, i.Slot, i.Stopping)
		case !there || c.State != runtime.Running:
			return fmt.Sprintf("%s does not run", label(i.ID))
		case !w.check.serves(i):
			return fmt.Sprintf("%s does not answer", label(i.ID))
		}
		slots[i.Slot] = true
		wanted[i.ID] = i
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: c.Addr, Instance: i.ID, Release: w.db.releases[i.ReleaseID].Number, Weight: 100})
	}
	if len(slots) != n {
		return fmt.Sprintf("%d of %d instances", len(slots), n)
	}
	host := w.host(a)
	routes[route.BackendPrefix+host] = route.EncodeBackend(b)
	for _, dm := range sorted(w.db.domains) {
		if dm.AppID == a.ID {
			routes[route.DomainPrefix+dm.Host] = host
		}
	}
	return ""
}

// unrouted says where Redis or a router differs from the routes that are wanted.
func (w *World) unrouted(routes map[string]string) string {
	for _, k := range sortedKeys(routes) {
		if got := w.redis.entries[k]; got != routes[k] && !same(w.check.backend(got), w.check.backend(routes[k])) {
			return fmt.Sprintf("%s is %s in redis, and should be %s", k, got, routes[k])
		}
	}
	for _, k := range sortedKeys(w.redis.entries) {
		if _, ok := routes[k]; !ok {
			return fmt.Sprintf("%s is left over in redis", k)
		}
	}
	for _, r := range w.routers {
		for _, k := range sortedKeys(routes) {
			host, is := strings.CutPrefix(k, route.BackendPrefix)
			if !is {
				continue
			}
			if b := r.keep.Served().Host(host); b == nil || !same(new(b.Route()), w.check.backend(routes[k])) {
				return fmt.Sprintf("%s does not serve %s as wished", r.name, host)
			}
		}
		if hosts, domains := r.keep.Served().Len(); hosts+domains != len(routes) {
			return fmt.Sprintf("%s serves %d hosts and %d domains, %d are wanted", r.name, hosts, domains, len(routes))
		}
	}
	return ""
}

// same reports whether two backends send requests to the same endpoints; nil is
// like none.
func same(x, y *route.Backend) bool {
	return x != nil && y != nil && x.Maintenance == y.Maintenance && slices.EqualFunc(x.Endpoints, y.Endpoints, func(a, b route.Endpoint) bool {
		return a.Instance == b.Instance && a.Addr == b.Addr
	})
}

// Minimise drops one action after the other from a failing run as long as the
// same invariant fails, and returns the numbers of those it needs.
func Minimise(ctx context.Context, r Result) (need []int, last Result) {
	last = r
	need = []int{}
	for _, a := range r.Actions {
		need = append(need, a.N)
	}
	for size := max(1, len(need)/2); ; {
		shorter := false
		for at := 0; at < len(need); {
			try := slices.Delete(slices.Clone(need), at, min(at+size, len(need)))
			if got := Run(ctx, r.Seed, Options{Only: try}); got.Failure != nil && got.Failure.Invariant == r.Failure.Invariant {
				need, last, shorter = try, got, true
			} else {
				at += size
			}
		}
		if size == 1 && !shorter {
			return need, last
		}
		size = max(1, size/2)
	}
}

// Command is what replays a run, for people.
func Command(seed uint64, only []int) string {
	s := fmt.Sprintf("go run ./test/sim/cmd -seed %d", seed)
	if only != nil {
		s += " -only " + strings.Trim(strings.ReplaceAll(fmt.Sprint(only), " ", ","), "[]")
		if len(only) == 0 {
			s += "none"
		}
	}
	return s + " -v"
}
