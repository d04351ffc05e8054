package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Action is one thing that people do or that breaks, at a time. It is drawn
// before the run begins, and means by its numbers whatever is there by then, so
// that any of them can be left out of a run.
type Action struct {
	N       int
	At      time.Duration
	Kind    string
	A, B, C int           // what is meant
	For     time.Duration // how long it lasts
}

// String says it for people.
func (a Action) String() string {
	return fmt.Sprintf("#%d %8s %s %d %d %d for %s", a.N, seconds(a.At), a.Kind, a.A%100, a.B%100, a.C%100, a.For)
}

// kind is a kind of action: how often it is drawn, how long it lasts, what it
// does, and how it ends.
type kind struct {
	name   string
	weight int
	lo, hi time.Duration
	do     func(w *World, a Action)
	undo   func(w *World, a Action)
}

// wishes are what people do.
var wishes = []kind{
	{"deploy", 8, 0, 0, func(w *World, a Action) { w.people.deploy(a.A, isGood) }, nil},
	{"deploy slow", 3, 0, 0, func(w *World, a Action) { w.people.deploy(a.A, isSlow) }, nil},
	{"deploy crashing", 2, 0, 0, func(w *World, a Action) { w.people.deploy(a.A, isCrashing) }, nil},
	{"deploy mute", 2, 0, 0, func(w *World, a Action) { w.people.deploy(a.A, isMute) }, nil},
	{"deploy broken", 1, 0, 0, func(w *World, a Action) {
		w.people.deploy(a.A, []string{isBroken, isEnding}[a.B%2])
	}, nil},
	{"rollback", 2, 0, 0, func(w *World, a Action) { w.people.rollback(a.A) }, nil},
	{"scale", 6, 0, 0, func(w *World, a Action) { w.people.scale(a.A, a.B%6) }, nil},
	{"create", 3, 0, 0, func(w *World, a Action) { w.people.create(1 + a.B%4) }, nil},
	{"delete", 2, 0, 0, func(w *World, a Action) { w.people.delete(a.A) }, nil},
	{"bind", 1, 0, 0, func(w *World, a Action) { w.people.bind(a.A) }, nil},
	{"maintenance", 1, 10 * time.Second, time.Minute, func(w *World, a Action) { w.people.maintain(a.A, true) }, func(w *World, a Action) { w.people.maintain(a.A, false) }},
	{"cordon", 2, 30 * time.Second, 5 * time.Minute, func(w *World, a Action) { w.people.availability(a.A, model.Cordoned) }, func(w *World, a Action) { w.people.availability(a.A, model.Active) }},
	{"drain", 2, 30 * time.Second, 5 * time.Minute, func(w *World, a Action) { w.people.availability(a.A, model.Draining) }, func(w *World, a Action) { w.people.availability(a.A, model.Active) }},
}

// faults are what breaks.
var faults = []kind{
	{"kill server", 4, time.Second, time.Minute, func(w *World, a Action) { w.srv(a).kill() }, func(w *World, a Action) { w.srv(a).start() }},
	{"kill leader", 5, time.Second, time.Minute, func(w *World, a Action) { w.lead(a).kill() }, func(w *World, _ Action) { w.startServers() }},
	{"pause leader", 5, time.Second, 90 * time.Second, func(w *World, a Action) { w.freeze(w.lead(a).p, a.For) }, nil},
	{"pause server", 2, time.Second, 90 * time.Second, func(w *World, a Action) { w.freeze(w.srv(a).p, a.For) }, nil},
	{"kill agent", 5, time.Second, 2 * time.Minute, func(w *World, a Action) { w.nod(a).agent.kill(false) }, func(w *World, a Action) { w.nod(a).agent.start() }},
	{"restart agent", 4, 10 * time.Millisecond, time.Second, func(w *World, a Action) { w.nod(a).agent.kill(false) }, func(w *World, a Action) { w.nod(a).agent.start() }},
	{"pause agent", 3, time.Second, 2 * time.Minute, func(w *World, a Action) { w.freeze(w.nod(a).agent.p, a.For) }, nil},
	{"power cut", 4, 5 * time.Second, 4 * time.Minute, func(w *World, a Action) { w.hurtNode(w.nod(a)); w.nod(a).powerCut(a.For) }, nil},
	{"cut node", 5, time.Second, 4 * time.Minute, func(w *World, a Action) { w.cutNode(w.nod(a), a.B, true) }, func(w *World, a Action) { w.cutNode(w.nod(a), a.B, false) }},
	{"cut node from server", 3, time.Second, 2 * time.Minute, func(w *World, a Action) { w.cut(w.nod(a).name, w.srvB(a).name, a.C, true) }, func(w *World, a Action) { w.cut(w.nod(a).name, w.srvB(a).name, a.C, false) }},
	{"cut zone", 2, 5 * time.Second, 3 * time.Minute, func(w *World, a Action) { w.cutZone(a, true) }, func(w *World, a Action) { w.cutZone(a, false) }},
	{"cut all nodes", 2, 5 * time.Second, 3 * time.Minute, func(w *World, a Action) { w.cutAll(a, true) }, func(w *World, a Action) { w.cutAll(a, false) }},
	{"cut server from database", 3, time.Second, time.Minute, func(w *World, a Action) { w.cut(w.srv(a).name, "db", a.C, true) }, func(w *World, a Action) { w.cut(w.srv(a).name, "db", a.C, false) }},
	{"cut server from redis", 2, time.Second, time.Minute, func(w *World, a Action) { w.cut(w.srv(a).name, "redis", a.C, true) }, func(w *World, a Action) { w.cut(w.srv(a).name, "redis", a.C, false) }},
	{"slow network", 2, 5 * time.Second, time.Minute, func(w *World, a Action) { w.lag(a, time.Duration(100+a.C%3000)*time.Millisecond) }, func(w *World, a Action) { w.lag(a, 0) }},
	{"lose messages", 2, 5 * time.Second, time.Minute, func(w *World, a Action) { w.garbling, w.garbled = 1+a.A%5, lose }, func(w *World, _ Action) { w.garbling = 0 }},
	{"database stalls", 3, time.Second, 25 * time.Second, func(w *World, a Action) { w.db.stalledUntil = w.now.Add(a.For) }, nil},
	{"commits unknown", 4, time.Second, 30 * time.Second, func(w *World, a Action) { w.db.unknown = 10 + a.A%60 }, func(w *World, _ Action) { w.db.unknown = 0 }},
	{"database fails over", 2, time.Second, 10 * time.Second, func(w *World, a Action) { w.touch(); w.db.failover(a.A%6, a.For) }, nil},
	{"flush redis", 3, 0, 0, func(w *World, _ Action) { w.disaster("redis set back", w.redis.flush) }, nil},
	{"stale redis", 2, 0, 0, func(w *World, a Action) { w.disaster("redis set back", func() { w.redis.stale(1 + a.A%5) }) }, nil},
	{"redis away", 3, time.Second, time.Minute, func(w *World, a Action) { w.redis.downUntil = w.now.Add(a.For); w.redis.life++ }, nil},
	{"redis unknown", 2, time.Second, 30 * time.Second, func(w *World, a Action) { w.redis.unknown = 10 + a.A%50 }, func(w *World, _ Action) { w.redis.unknown = 0 }},
	{"kill router", 2, 10 * time.Millisecond, 30 * time.Second, func(w *World, a Action) { w.rtr(a).kill() }, func(w *World, a Action) { w.rtr(a).start() }},
	{"pause router", 2, time.Second, 30 * time.Second, func(w *World, a Action) { w.freeze(w.rtr(a).p, a.For) }, nil},
	{"cut router from redis", 2, time.Second, time.Minute, func(w *World, a Action) { w.cut(w.rtr(a).name, "redis", 2, true) }, func(w *World, a Action) { w.cut(w.rtr(a).name, "redis", 2, false) }},
	{"kill monitor", 2, time.Second, time.Minute, func(w *World, a Action) { w.mon(a).kill() }, func(w *World, a Action) { w.mon(a).start() }},
	{"blind monitor", 2, 5 * time.Second, time.Minute, func(w *World, a Action) { w.blind(a, true) }, func(w *World, a Action) { w.blind(a, false) }},
	{"restart docker", 3, time.Second, 30 * time.Second, func(w *World, a Action) { w.hurtNode(w.nod(a)); w.nod(a).restartDaemon(a.For) }, nil},
	{"docker hangs", 3, 5 * time.Second, 2 * time.Minute, func(w *World, a Action) { w.nod(a).hungUntil = w.now.Add(a.For); w.nod(a).agent.subscribed = false }, nil},
	{"docker unsure", 4, 5 * time.Second, time.Minute, func(w *World, a Action) { w.nod(a).unsure = 10 + a.B%60 }, func(w *World, a Action) { w.nod(a).unsure = 0 }},
	{"docker refuses", 2, 5 * time.Second, 30 * time.Second, func(w *World, a Action) { w.nod(a).refusing = 10 + a.B%50 }, func(w *World, a Action) { w.nod(a).refusing = 0 }},
	{"docker slow", 2, 5 * time.Second, time.Minute, func(w *World, a Action) { w.nod(a).slow = time.Duration(a.B%8000) * time.Millisecond }, func(w *World, a Action) { w.nod(a).slow = 0 }},
	{"disk full", 2, time.Second, 30 * time.Second, func(w *World, a Action) { w.nod(a).disk.Fail = errDiskFull }, func(w *World, a Action) { w.nod(a).disk.Fail = nil }},
	{"instance exits", 6, 0, 0, func(w *World, a Action) {
		w.harm(a, func(n *node, id string) { n.engine.Exit(id, 1+a.C%3, a.B%3 == 0) })
	}, nil},
	{"container vanishes", 2, 0, 0, func(w *World, a Action) { w.harm(a, func(n *node, id string) { n.engine.Vanish(id, a.B%2 == 0) }) }, nil},
	{"instance sick", 4, 5 * time.Second, 2 * time.Minute, func(w *World, a Action) { w.harm(a, func(_ *node, id string) { w.sick[id] = w.now.Add(a.For) }) }, nil},
	{"app sick", 1, 10 * time.Second, 2 * time.Minute, func(w *World, a Action) { w.sicken(a) }, nil},
}

// rarities came later than the faults above. They are drawn by themselves, so
// that what a seed means stays the same.
var rarities = []kind{
	{"record spoilt", 1, time.Second, 20 * time.Second, func(w *World, a Action) {
		w.harm(a, func(n *node, id string) {
			n.agent.kill(false)
			n.disk.Spoil(id)
			delete(n.agent.phases, id)
			n.ailed = w.now
			w.after(nil, a.For, n.agent.start)
		})
	}, nil},
	{"app crashes", 1, 20 * time.Second, time.Minute, func(w *World, a Action) { w.crash(a) }, nil},
	{"clock is set", 2, 0, 0, func(w *World, a Action) { w.setClock(a) }, nil},
	{"reads fail", 2, time.Second, 30 * time.Second, func(w *World, a Action) { w.db.failing = 5 + a.A%50 }, func(w *World, _ Action) { w.db.failing = 0 }},
	{"slow router", 2, 5 * time.Second, time.Minute, func(w *World, a Action) {
		w.net.slow[[2]string{"redis", w.rtr(a).name}] = time.Duration(100+a.B%4000) * time.Millisecond
	}, func(w *World, a Action) { delete(w.net.slow, [2]string{"redis", w.rtr(a).name}) }},
	{"node is bad", 1, 20 * time.Second, 2 * time.Minute, func(w *World, a Action) { w.spoil(w.nod(a), a.For) }, nil},
	{"singleton", 3, 0, 0, func(w *World, _ Action) { w.people.single() }, nil},
	{"database restored", 1, time.Second, 10 * time.Second, func(w *World, a Action) {
		w.disaster("database restored", func() { w.touch(); w.db.restore(time.Duration(75+a.A%225)*time.Second, a.For) })
	}, nil},
	{"double messages", 1, 5 * time.Second, time.Minute, func(w *World, a Action) { w.garbling, w.garbled = 1+a.A%20, double }, func(w *World, _ Action) { w.garbling = 0 }},
	{"reorder messages", 1, 5 * time.Second, time.Minute, func(w *World, a Action) { w.garbling, w.garbled = 1+a.A%10, overtake }, func(w *World, _ Action) { w.garbling = 0 }},
	{"leader sleeps", 1, time.Second, time.Minute, func(w *World, a Action) { w.suspend(w.lead(a), a.For) }, nil},
	{"node given up", 3, 30 * time.Second, 4 * time.Minute, func(w *World, a Action) { w.giveUp(w.nod(a), time.Duration(a.B%100)*time.Second) }, func(w *World, a Action) { w.takeBack(w.nod(a)) }},
}

var errDiskFull = errors.New("no space left on device")

// begun is when every part has started.
const begun = 3 * time.Second

// draw draws the actions of a run.
func draw(r *rand.Rand, length time.Duration, n int, from []kind) []Action {
	total := 0
	for _, k := range from {
		total += k.weight
	}
	var out []Action
	for range n {
		pick := r.IntN(total)
		i := 0
		for pick >= from[i].weight {
			pick -= from[i].weight
			i++
		}
		k := from[i]
		a := Action{At: begun + time.Duration(r.Int64N(int64(length))), Kind: k.name, A: r.IntN(1 << 16), B: r.IntN(1 << 16), C: r.IntN(1 << 16)}
		a.For = k.lo + time.Duration(r.Int64N(int64(k.hi-k.lo)+1))
		out = append(out, a)
	}
	slices.SortStableFunc(out, func(a, b Action) int { return int(a.At - b.At) })
	return out
}

func kindOf(name string) kind {
	for _, k := range slices.Concat(wishes, faults, rarities) {
		if k.name == name {
			return k
		}
	}
	panic("no kind " + name)
}

// ailing is how long a fault of a node's agent or engine may be felt.
const ailing = 5 * time.Minute

// ails reports whether an action harms the agent or the engine of its node.
func ails(name string) bool {
	return slices.Contains([]string{"kill agent", "restart agent", "pause agent", "power cut", "restart docker", "disk full"}, name) || strings.HasPrefix(name, "docker ")
}

// isWish reports whether an action is what people want, and breaks nothing.
func isWish(name string) bool {
	return slices.ContainsFunc(wishes, func(k kind) bool { return k.name == name })
}

// do lets an action happen now, and end in its time.
func (w *World) do(a Action) {
	k := kindOf(a.Kind)
	w.say("plan", "%s", a)
	hurt := func(broken int) {
		if !isWish(a.Kind) {
			w.check.hurtAll()
			w.check.broken += broken
		}
		if ails(a.Kind) {
			w.nod(a).ailed = w.now
		}
		w.touch()
	}
	hurt(1)
	k.do(w, a)
	w.after(nil, a.For, func() {
		hurt(-1)
		if k.undo != nil {
			w.say("plan", "ends: %s", a)
			k.undo(w, a)
		}
	})
}

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
