package sim

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A sweep asks of a short scenario what a run at random asks by luck: that
// nothing is wrong whichever of its effects is the last one before a fault. The
// scenario is run once for each of its effects and each fault, and is the same in
// all of them up to there.

// sweepFault is what goes wrong at an effect.
type sweepFault struct {
	name string
	do   func(w *World, what string)
}

var sweepFaults = []sweepFault{
	{"leader crashes", func(w *World, _ string) {
		if s := w.leader(); s != nil {
			s.kill()
			w.after(nil, time.Second, s.start)
		}
	}},
	{"agents crash", func(w *World, _ string) {
		for _, n := range w.nodes {
			n.agent.kill(false)
			w.after(nil, time.Second, n.agent.start)
		}
	}},
	{"power cut", func(w *World, what string) {
		n := w.nodes[0]
		for _, m := range w.nodes {
			if what == "engine of "+m.name {
				n = m
			}
		}
		n.powerCut(10 * time.Second)
	}},
	{"leader sees stale", func(w *World, _ string) {
		if s := w.leader(); s != nil {
			w.freeze(s.p, 20*time.Second) // another leads by the time it goes on
		}
	}},
	{"database forgets", func(w *World, _ string) {
		w.after(nil, 0, func() { w.db.failover(1, time.Second) })
	}},
	{"redis forgets", func(w *World, _ string) { w.after(nil, 0, func() { w.redis.stale(1) }) }},
	{"answer is lost", func(w *World, _ string) {
		w.db.unknown, w.redis.unknown = 100, 100
		w.after(nil, 50*time.Millisecond, func() { w.db.unknown, w.redis.unknown = 0, 0 })
	}},
	{"messages are lost", func(w *World, _ string) { w.garbleFor(lose) }},
	{"engines time out", func(w *World, _ string) {
		for _, n := range w.nodes {
			n.unsure = 100
			w.after(nil, time.Second, func() { n.unsure = 0 })
		}
	}},
	{"engines hang", func(w *World, _ string) {
		for _, n := range w.nodes {
			n.hang(15 * time.Second)
		}
	}},
	{"a record is spoilt", func(w *World, _ string) { w.do(Action{Kind: "record spoilt", A: w.effects, For: time.Second}) }},
	{"reads fail", func(w *World, _ string) {
		w.db.failing = 50
		w.after(nil, 3*time.Second, func() { w.db.failing = 0 })
	}},
	{"clocks are set", func(w *World, _ string) {
		for n, x := range w.nodes {
			x.clock.skew += time.Duration(n-1) * 20 * time.Minute
		}
		for n, s := range w.servers {
			s.clock.skew += time.Duration(2*n-1) * 10 * time.Minute
		}
	}},
	{nothing, func(*World, string) {}},
	{"docker tells nothing", func(w *World, _ string) {
		for _, n := range w.nodes {
			n.agent.subscribed = false
		}
	}},
}

// garbleFor lets something happen to all messages of sessions for a moment.
func (w *World) garbleFor(how string) {
	w.garbling, w.garbled = 100, how
	w.after(nil, 200*time.Millisecond, func() { w.garbling = 0 })
}

// nothing is the fault of a scenario without any.
const nothing = "nothing"

// Sweep is one run of a scenario with a fault at its effect K, from 1 on.
type Sweep struct {
	Scenario, Fault string
	K               int
}

// String says it for people.
func (s Sweep) String() string { return fmt.Sprintf("%s, %s at effect %d", s.Scenario, s.Fault, s.K) }

// ParseSweep reads what String says.
func ParseSweep(text string) (s Sweep, ok bool) {
	text, k, ok := cutLast(text, " at effect ")
	if !ok {
		return s, false
	}
	s.Scenario, s.Fault, ok = cutLast(text, ", ")
	if !ok {
		return s, false
	}
	n, err := strconv.Atoi(k)
	s.K = n
	return s, err == nil
}

func cutLast(text, sep string) (before, after string, ok bool) {
	at := strings.LastIndex(text, sep)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(sep):], true
}

// Command is what replays it, for people.
func (s Sweep) Command() string {
	return fmt.Sprintf("go run ./test/sim/cmd -scenario %q -fault %q -effect %d -v", s.Scenario, s.Fault, s.K)
}

// Next is the same at the next effect that is to be tried, with only each nth of
// them.
func (s Sweep) Next(nth int) Sweep {
	for _, x := range scenarios {
		if x.name == s.Scenario {
			s.K += max(1, x.stride) * nth
		}
	}
	return s
}

// Sweeps lists what there is to sweep: each scenario with each fault. Where not
// each effect is tried, each fault begins at another one: together they are at
// many, though one is at few.
func Sweeps() []Sweep {
	var out []Sweep
	for _, s := range scenarios {
		for n, f := range sweepFaults {
			if f.name == nothing {
				continue
			}
			out = append(out, Sweep{Scenario: s.name, Fault: f.name, K: 1 + n*s.stride/len(sweepFaults)})
		}
	}
	return out
}

// Scenarios lists the scenarios as they go when nothing goes wrong.
func Scenarios() []Sweep {
	var out []Sweep
	for _, s := range scenarios {
		out = append(out, Sweep{Scenario: s.name, Fault: nothing})
	}
	return out
}

const (
	sweepRest   = 45 * time.Second // the cluster is at rest by then
	sweepLength = 3 * time.Minute  // what the longest scenario takes
)

// RunSweep runs s. reached is false when its scenario has fewer effects than K:
// then there is nothing more to sweep.
func RunSweep(ctx context.Context, s Sweep, out io.Writer, logs bool) (failure *Failure, reached bool) {
	si := slices.IndexFunc(scenarios, func(x scenario) bool { return x.name == s.Scenario })
	fi := slices.IndexFunc(sweepFaults, func(x sweepFault) bool { return x.name == s.Fault })
	if si < 0 || fi < 0 {
		return &Failure{Invariant: "a sweep has a scenario and a fault", Message: s.String()}, true
	}
	cluster := shape{nodes: 3, zones: 1, servers: 2, routers: 1, monitors: max(1, scenarios[si].monitors), memory: 2048}
	if scenarios[si].large {
		cluster.nodes, cluster.zones = 28, 3
	}
	w := newWorld(ctx, 1, cluster, out, logs)
	defer w.end()
	w.begin()
	w.after(nil, 4*time.Second, func() { w.people.create(2) })
	w.until(epoch.Add(sweepRest))
	first := w.effects
	w.effect = func(what string) {
		if w.effects-first == s.K {
			reached = true
			w.say("plan", "%s, after effect %d: %s", s.Fault, s.K, what)
			w.check.hurtAll()
			for _, n := range w.nodes {
				n.ailed = w.now
			}
			sweepFaults[fi].do(w, what)
		}
	}
	w.say("plan", "%s", s.Scenario)
	w.touch()
	scenarios[si].do(w)
	w.until(w.now.Add(sweepLength))
	w.effect = nil
	if then := scenarios[si].then; then != nil && !reached && w.check.failure == nil {
		if why := then(w); why != "" {
			w.check.fail("a scenario comes to its end", "%s: %s", s.Scenario, why)
		}
	}
	w.heal()
	w.rest()
	return w.check.failure, reached
}
