package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
	{"lose messages", 2, 5 * time.Second, time.Minute, func(w *World, a Action) { w.garbling = 1 + a.A%5 }, func(w *World, _ Action) { w.garbling = 0 }},
	{"database stalls", 3, time.Second, 25 * time.Second, func(w *World, a Action) { w.db.stalledUntil = w.now.Add(a.For) }, nil},
	{"commits unknown", 4, time.Second, 30 * time.Second, func(w *World, a Action) { w.db.unknown = 10 + a.A%60 }, func(w *World, _ Action) { w.db.unknown = 0 }},
	{"database fails over", 2, time.Second, 10 * time.Second, func(w *World, a Action) { w.touch(); w.db.failover(a.A%6, a.For) }, nil},
	{"flush redis", 3, 0, 0, func(w *World, _ Action) { w.redis.flush() }, nil},
	{"stale redis", 2, 0, 0, func(w *World, a Action) { w.redis.stale(1 + a.A%5) }, nil},
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
	for _, k := range append(slices.Clone(wishes), faults...) {
		if k.name == name {
			return k
		}
	}
	panic("no kind " + name)
}

// do lets an action happen now, and end in its time.
func (w *World) do(a Action) {
	k := kindOf(a.Kind)
	w.say("plan", "%s", a)
	w.check.hurtAll()
	w.touch()
	k.do(w, a)
	if k.undo == nil && a.For == 0 {
		return
	}
	w.after(nil, a.For, func() {
		w.check.hurtAll()
		w.touch()
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

// heal ends all that is broken, and what people asked of nodes.
func (w *World) heal() {
	w.say("plan", "faults stop")
	w.check.hurtAll()
	w.touch()
	w.garbling, w.db.unknown, w.redis.unknown = 0, 0, 0
	w.db.stalledUntil, w.db.downUntil, w.redis.downUntil = time.Time{}, time.Time{}, time.Time{}
	for _, key := range w.net.cutKeys() {
		w.net.setCut(key[0], key[1], false)
	}
	clear(w.net.slow)
	clear(w.sick)
	for _, n := range w.nodes {
		n.unsure, n.refusing, n.slow, n.disk.Fail = 0, 0, 0, nil
		n.hungUntil = time.Time{}
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
