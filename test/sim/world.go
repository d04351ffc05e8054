// Package sim runs a whole cluster in one goroutine and virtual time: the real
// cores of server (reconcile, plan, place, publish, lease), agent (instance,
// journal, session), router (keeper of routes) and monitor (verdicts), over
// models of the database, Redis, Docker, the network and the clocks that fail
// in all the ways these fail. A seed decides everything: what people do, what
// breaks, and the order of what happens at once. After every step the invariants
// of check.go hold, and once faults stop the cluster comes to rest as wished, or
// the run has failed.
//
// Run runs one seed, Sweep a short scenario with a fault at every effect.
// Nothing outside tests and cmd uses it.
package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

// World is one run.
type World struct {
	*scheduler
	*trace
	ctx context.Context

	net      *network
	db       *database
	redis    *redisModel
	part     int // bytes that servers write of the routes at once; 0: as many as in production
	nodes    []*node
	servers  []*simServer
	routers  []*simRouter
	monitors []*simMonitor
	people   *people
	check    *checker

	ids       int
	garbling  int // of 100 messages of sessions, to how many something happens
	garbled   string
	touched   bool
	sick      map[string]time.Time // instance → its program answers badly until
	singles   bool                 // there are singletons
	crashing  map[string]time.Time // app → its programs end by themselves until
	disasters map[string]bool      // of the kinds that one run has one of, those that happened
	effects   int                  // that parts have had on each other so far
	effect    func(what string)    // is told of each; nil: nobody asks
}

// did notes an effect that a part has had on another, for Sweep.
func (w *World) did(what string) {
	w.effects++
	if w.effect != nil {
		w.effect(what)
	}
}

// shape is how large a run's cluster is.
type shape struct {
	nodes, zones, servers, routers, monitors int
	memory                                   int64
}

// parts are how much of the routes servers write at once: as in production, a key, or
// two or three.
var parts = []int{0, 1, 400}

func newWorld(ctx context.Context, seed uint64, s shape, out io.Writer, logs bool) *World {
	w := &World{scheduler: newScheduler(seed), ctx: ctx, sick: map[string]time.Time{}, crashing: map[string]time.Time{}, disasters: map[string]bool{}}
	w.trace = newTrace(w.scheduler, out)
	w.logs, w.part = logs, parts[seed%uint64(len(parts))]
	w.check = newChecker(w)
	w.net, w.db, w.redis = newNetwork(w), newDatabase(w), newRedis(w)
	w.db.committed, w.db.taken, w.redis.written = w.check.committed, w.check.taken, w.check.written
	w.people = &people{w: w}
	for i := range s.nodes {
		n := newNode(w, i+1, fmt.Sprintf("z%d", i%s.zones+1), s.memory)
		n.clock.skew = w.between("skew", -time.Hour, time.Hour)
		w.nodes = append(w.nodes, n)
	}
	for i := range s.servers {
		w.servers = append(w.servers, &simServer{w: w, name: fmt.Sprintf("s%d", i+1), clock: clock{skew: w.between("skew", -2*time.Second, 2*time.Second)}})
	}
	for i := range s.routers {
		r := newRouter(w, fmt.Sprintf("r%d", i+1))
		r.clock.skew = w.between("skew", -time.Hour, time.Hour)
		w.routers = append(w.routers, r)
	}
	for i := range s.monitors {
		w.monitors = append(w.monitors, &simMonitor{w: w, name: fmt.Sprintf("h%d", i+1)})
	}
	return w
}

// begin starts every part within the first seconds.
func (w *World) begin() {
	soon := func(f func()) { w.after(nil, w.between("begin", 0, 2*time.Second), f) }
	for _, s := range w.servers {
		soon(s.start)
	}
	for _, n := range w.nodes {
		soon(n.agent.start)
	}
	for _, r := range w.routers {
		soon(r.start)
	}
	for _, h := range w.monitors {
		soon(h.start)
	}
}

// end stops every thread.
func (w *World) end() {
	for _, s := range w.servers {
		if s.p != nil {
			s.p.kill()
		}
	}
}

func (w *World) logger(who string) *slog.Logger { return w.trace.logger(who) }

// newID makes ids that sort in no helpful order, as UUIDs do.
func (w *World) newID() string {
	w.ids++
	return fmt.Sprintf("%08x-%d", w.rnd("ids").Uint32(), w.ids)
}

// touch says that something happened that an invariant is about.
func (w *World) touch() { w.touched = true }

func (w *World) server(name string) *simServer {
	for _, s := range w.servers {
		if s.name == name {
			return s
		}
	}
	return w.servers[0]
}

func (w *World) serverNames() []string {
	var out []string
	for _, s := range w.servers {
		out = append(out, s.name)
	}
	return out
}

// leader is the server with the highest epoch that believes to lead.
func (w *World) leader() *simServer {
	var best *simServer
	for _, s := range w.servers {
		if s.leads() && (best == nil || s.term.held.Epoch > best.term.held.Epoch) {
			best = s
		}
	}
	return best
}

// What may happen to a message of a session.
const (
	lose     = "is lost"
	double   = "comes twice"
	overtake = "is overtaken"
)

// garble sends a message of a session, or does to it what is the matter now. It
// reports whether the message is lost. The streams of a session lose nothing but
// their end, so a loss is followed by another message, an agent's heartbeat, or
// by the break that caused it.
func (w *World) garble(send func()) (lost bool) {
	if w.garbling == 0 || !w.chance("garble", w.garbling) {
		send()
		return false
	}
	w.say("net", "a message of a session %s", w.garbled)
	switch w.garbled {
	case double:
		send()
		send()
	case overtake:
		w.after(nil, w.between("garble", time.Millisecond, 2*time.Second), send)
	default:
		return true
	}
	return false
}

// What a release's program does, told by its environment.
const (
	behaves    = "BEHAVES"
	isGood     = "good"
	isSlow     = "slow"   // ready after a while
	isUneven   = "uneven" // ready after a while in the lowest two slots, at once in others
	isCrashing = "crash"  // ends by itself soon
	isBroken   = "broken" // cannot even be started
	isMute     = "mute"   // runs and never answers
	isEnding   = "ends"   // ends at once, with code 1
)

// program is the engine's view of it.
func (w *World) program(s runtime.Spec) fake.Program {
	switch s.Env[behaves] {
	case isBroken:
		return fake.Program{StartError: "exec: no such file"}
	case isEnding:
		return fake.Program{Exit: true, Code: 1}
	}
	return fake.Program{}
}

// started lets a started program live its life.
func (w *World) started(n *node, s runtime.Spec) {
	w.touch()
	if s.Env[behaves] == isCrashing || w.now.Before(w.crashing[s.AppID]) || w.now.Before(n.badUntil) {
		w.crashSoon(n, s.InstanceID)
	}
}

// readyAfter is how long a program needs before it answers; negative: for ever.
func readyAfter(s runtime.Spec) time.Duration {
	switch s.Env[behaves] {
	case isSlow:
		d, _ := strconv.Atoi(s.Env["SLOW_MS"])
		return time.Duration(d) * time.Millisecond
	case isUneven:
		if s.Slot < 2 {
			return 20 * time.Second
		}
	case isMute, isBroken, isEnding:
		return -1
	}
	return 400 * time.Millisecond
}

// healthy reports whether a running container's program answers well now.
func (w *World) healthy(c runtime.Container, s runtime.Spec) bool {
	d := readyAfter(s)
	return c.State == runtime.Running && d >= 0 && !w.now.Before(c.StartedAt.Add(d)) && !w.now.Before(w.sick[c.InstanceID])
}

// answers is one probe.
func (w *World) answers(from, addr string) bool {
	for _, n := range w.nodes {
		if c, s, ok := n.engine.At(addr); ok {
			return n.on() && w.net.reaches(from, n.name) && w.healthy(c, s)
		}
	}
	return false
}

// container finds an instance's container anywhere.
func (w *World) container(id string) (n *node, c runtime.Container, s runtime.Spec, ok bool) {
	for _, n := range w.nodes {
		c, err := n.rt.Inspect(w.ctx, id)
		if err == nil {
			_, s, _ = n.engine.At(c.Addr)
			return n, c, s, true
		}
	}
	return nil, c, s, false
}

func (w *World) host(a model.App) string { return route.Host(a.Name, domain) }
