package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

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
	{"redis away", 3, time.Second, time.Minute, func(w *World, a Action) { w.redis.leave(a.For) }, nil},
	{"redis unknown", 2, time.Second, 30 * time.Second, func(w *World, a Action) { w.redis.unknown = 10 + a.A%50 }, func(w *World, _ Action) { w.redis.unknown = 0 }},
	{"kill router", 2, 10 * time.Millisecond, 30 * time.Second, func(w *World, a Action) { w.rtr(a).kill() }, func(w *World, a Action) { w.rtr(a).start() }},
	{"pause router", 2, time.Second, 30 * time.Second, func(w *World, a Action) { w.freeze(w.rtr(a).p, a.For) }, nil},
	{"cut router from redis", 2, time.Second, time.Minute, func(w *World, a Action) { w.cut(w.rtr(a).name, "redis", 2, true) }, func(w *World, a Action) { w.cut(w.rtr(a).name, "redis", 2, false) }},
	{"kill monitor", 2, time.Second, time.Minute, func(w *World, a Action) { w.mon(a).kill() }, func(w *World, a Action) { w.mon(a).start() }},
	{"blind monitor", 2, 5 * time.Second, time.Minute, func(w *World, a Action) { w.blind(a, true) }, func(w *World, a Action) { w.blind(a, false) }},
	{"restart docker", 3, time.Second, 30 * time.Second, func(w *World, a Action) { w.hurtNode(w.nod(a)); w.nod(a).restartDaemon(a.For) }, nil},
	{"docker hangs", 3, 5 * time.Second, 2 * time.Minute, func(w *World, a Action) { w.nod(a).hang(a.For) }, nil},
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
		w.harm(a, func(n *node, id string) { n.spoilRecord(id, a.For) })
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
