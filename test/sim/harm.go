package sim

import (
	"slices"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// How actions are done to the world, and undone.

func (w *World) srv(a Action) *simServer  { return w.servers[a.A%len(w.servers)] }
func (w *World) srvB(a Action) *simServer { return w.servers[a.B%len(w.servers)] }
func (w *World) nod(a Action) *node       { return w.nodes[a.A%len(w.nodes)] }
func (w *World) rtr(a Action) *simRouter  { return w.routers[a.A%len(w.routers)] }
func (w *World) mon(a Action) *simMonitor { return w.monitors[a.A%len(w.monitors)] }

func (w *World) lead(a Action) *simServer {
	if s := w.leader(); s != nil {
		return s
	}
	return w.srv(a)
}

func (w *World) startServers() {
	for _, s := range w.servers {
		s.start()
	}
}

func (w *World) freeze(p *process, d time.Duration) {
	if p != nil && p.alive {
		w.say(p.name, "is stopped for %s", d)
		p.pause(d)
		w.net.paused(p)
	}
}

// suspend lets the machine of a server sleep: when it goes on, it believes that no
// time has passed.
func (w *World) suspend(s *simServer, d time.Duration) {
	s.clock.slept += d
	w.freeze(s.p, d)
}

// cut cuts one way, the other, or both.
func (w *World) cut(a, b string, ways int, on bool) {
	if ways%3 != 1 {
		w.net.setCut(a, b, on)
	}
	if ways%3 != 0 {
		w.net.setCut(b, a, on)
	}
}

func (w *World) cutNode(n *node, ways int, on bool) {
	for _, s := range w.servers {
		w.cut(n.name, s.name, ways, on)
	}
	if ways%2 == 0 {
		for _, h := range w.monitors {
			w.cut(n.name, h.name, 2, on)
		}
	}
}

func (w *World) cutZone(a Action, on bool) {
	zone := w.nod(a).zone
	for _, n := range w.nodes {
		if n.zone == zone {
			w.cutNode(n, a.B, on)
		}
	}
}

func (w *World) cutAll(a Action, on bool) {
	for i, n := range w.nodes {
		if a.C%3 == 0 || (i+a.A)%len(w.nodes) != 0 { // all, or all but one
			w.cutNode(n, a.B, on)
		}
	}
}

func (w *World) lag(a Action, d time.Duration) {
	n := w.nod(a).name
	for _, s := range w.servers {
		w.net.slow[[2]string{n, s.name}], w.net.slow[[2]string{s.name, n}] = d, d
	}
}

// blind cuts a monitor off from nodes: it sees their instances dead.
func (w *World) blind(a Action, on bool) {
	for i, n := range w.nodes {
		if a.B%2 == 0 || i%2 == a.C%2 {
			w.cut(w.mon(a).name, n.name, 2, on)
		}
	}
}

func (w *World) hurtNode(*node) { w.check.hurtAll() }

// harm does something to a running container of ours.
func (w *World) harm(a Action, f func(n *node, id string)) {
	type at struct {
		n  *node
		id string
	}
	var all []at
	for _, n := range w.nodes {
		cs, specs := n.engine.All()
		for i, c := range cs {
			if c.State == runtime.Running && specs[i].InstanceID != "" {
				all = append(all, at{n, c.InstanceID})
			}
		}
	}
	if len(all) > 0 {
		x := all[a.A%len(all)]
		w.say("plan", "it is %s on %s", label(x.id), x.n.name)
		f(x.n, x.id)
	}
}

// sicken makes all instances of an app answer badly, as its dead database would.
func (w *World) sicken(a Action) {
	app, ok := w.people.app(a.A)
	if !ok {
		return
	}
	for _, i := range w.db.instances {
		if i.AppID == app.ID {
			w.sick[i.ID] = w.now.Add(a.For)
		}
	}
}

// crash makes all instances of an app end by themselves, again and again.
func (w *World) crash(a Action) {
	if app, ok := w.people.app(a.A); ok {
		w.crashFor(app.ID, a.For)
	}
}

// crashFor makes what an app runs, and starts, end by itself for so long.
func (w *World) crashFor(appID string, d time.Duration) {
	w.crashing[appID] = w.now.Add(d)
	for _, i := range sorted(w.db.instances) {
		if n, c, _, there := w.container(i.ID); there && i.AppID == appID && c.State == runtime.Running {
			w.crashSoon(n, i.ID)
		}
	}
}

// disaster lets what has happened to a run's memory happen, but not beside a
// restored database: with that, what Redis says is what is left to go by.
func (w *World) disaster(what string, f func()) {
	const restored = "database restored"
	if w.disasters[restored] && what != restored || what == restored && len(w.disasters) > 0 {
		w.say("plan", "%s: not beside %v", what, sortedKeys(w.disasters))
		return
	}
	w.disasters[what] = true
	f()
}

// setClock sets a host's wall clock: an hour at most forward or back, often less.
func (w *World) setClock(a Action) {
	d := time.Duration(a.B%3600-1800) * 2 * time.Second / time.Duration(1+a.C%20)
	clocks := []*clock{&w.nod(a).clock, &w.srv(a).clock, &w.rtr(a).clock}
	names := []string{w.nod(a).name, w.srv(a).name, w.rtr(a).name}
	w.say("plan", "the clock of %s goes %s", names[a.C%3], d)
	clocks[a.C%3].skew += d
}

// spoilRecord ends an agent for a while, and makes its record of an instance
// unreadable meanwhile.
func (n *node) spoilRecord(id string, d time.Duration) {
	n.agent.kill(false)
	n.disk.Spoil(id)
	delete(n.agent.phases, id)
	n.ailed = n.w.now
	n.w.after(nil, d, n.agent.start)
}

// spoil makes a node bad for a while: whatever runs on it ends by itself.
func (w *World) spoil(n *node, d time.Duration) {
	n.badUntil = w.now.Add(d)
	cs, specs := n.engine.All()
	for i, c := range cs {
		if c.State == runtime.Running && specs[i].InstanceID != "" {
			w.crashSoon(n, c.InstanceID)
		}
	}
}

// crashSoon ends an instance in a moment.
func (w *World) crashSoon(n *node, id string) {
	w.after(nil, w.between("crash", 50*time.Millisecond, 4*time.Second), func() {
		w.check.hurtAll()
		n.engine.Exit(id, 3, false)
	})
}

// giveUp takes a node off the net, its connections with it, and, after a while,
// lets people say that it never returns.
func (w *World) giveUp(n *node, after time.Duration) {
	w.net.reset(n.name)
	w.cutNode(n, 2, true)
	w.after(nil, after, func() {
		for _, s := range w.servers {
			if w.net.reaches(n.name, s.name) || w.now.Sub(n.ailed) < ailing {
				return // dash refuses that, and people do not give up a node of which more is wrong
			}
		}
		w.people.availability(slices.Index(w.nodes, n), model.Forgotten)
	})
}

func (w *World) takeBack(n *node) {
	w.people.availability(slices.Index(w.nodes, n), model.Active)
	w.cutNode(n, 2, false)
}

// heal ends all that is broken, and what people asked of nodes.
func (w *World) heal() {
	w.say("plan", "faults stop")
	w.check.hurtAll()
	w.touch()
	w.garbling, w.db.unknown, w.db.failing, w.redis.unknown = 0, 0, 0, 0
	w.db.stalledUntil, w.db.downUntil, w.redis.downUntil = time.Time{}, time.Time{}, time.Time{}
	for _, key := range w.net.cutKeys() {
		w.net.setCut(key[0], key[1], false)
	}
	clear(w.net.slow)
	clear(w.sick)
	clear(w.crashing)
	for _, n := range w.nodes {
		n.unsure, n.refusing, n.slow, n.disk.Fail = 0, 0, 0, nil
		n.hungUntil, n.badUntil = time.Time{}, time.Time{}
		n.goOn()
		w.people.availability(slices.Index(w.nodes, n), model.Active)
	}
	w.startServers()
	for _, n := range w.nodes {
		n.offUntil, n.awayUntil = time.Time{}, time.Time{}
		n.agent.start()
	}
	for _, r := range w.routers {
		r.start()
	}
	for _, h := range w.monitors {
		h.start()
	}
}
