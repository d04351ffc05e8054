package sim

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/permit"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/session"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/follow"
)

// agent is the shell around the agent's core, in virtual time: the real Set,
// steps, journal and talk, where production has goroutines and timers.
type agent struct {
	n *node
	w *World

	// Of one run.
	p          *process
	journal    *journal.Journal
	set        *instance.Set
	outbox     *follow.Outbox
	search     *follow.Search
	permit     *permit.Permit
	halted     map[string]bool // singletons that the permit has stopped
	talk       *simTalk        // nil without a session
	waiting    []waitingRunner
	lanes      instance.Lanes[*errand]
	errands    []*errand // that have not ended
	docker     session.Docker
	misses     int
	subscribed bool
	relisting  bool
	relistDue  bool
	phases     map[string]model.Phase // of all runs: they only move forward
}

type waitingRunner struct {
	r     *instance.Runner
	timer *event
}

// The times of the agent's watch over its engine and of its sessions.
const (
	pingEvery   = 5 * time.Second
	maxMisses   = 2
	relistEvery = time.Minute
	refreshMax  = 5 * time.Second
	welcomeMax  = 10 * time.Second
	reportBatch = 100 * time.Millisecond
	enforceMin  = 50 * time.Millisecond
	enforceMax  = time.Second
)

func (a *agent) start() {
	if a.p != nil && a.p.alive || !a.n.on() {
		return
	}
	a.p = a.w.process(a.n.name, &a.n.clock)
	j, err := journal.OpenOn(a.n.disk, a.n.name, a.w.logger(a.n.name))
	if err != nil {
		panic(err) // the model's disk is always readable
	}
	a.journal, a.outbox, a.talk, a.waiting = j, follow.NewOutbox(), nil, nil
	a.lanes, a.errands = instance.Lanes[*errand]{}, nil
	a.docker, a.misses, a.subscribed, a.relisting, a.relistDue = session.Docker{Error: "not asked yet"}, 0, false, false, false
	a.search = &follow.Search{Servers: a.w.serverNames()}
	if a.phases == nil {
		a.phases = map[string]model.Phase{}
	}
	// What was seen while the disk was full was told, and is forgotten with the agent:
	// only intents wait until they are written (instance.commit).
	maps.DeleteFunc(a.phases, func(id string, _ model.Phase) bool { return a.n.disk.Missed(id) })
	a.permit, a.halted = permit.New(j, a.w.logger(a.n.name)), map[string]bool{}
	a.set = instance.New(instance.Config{MemoryMiB: a.n.memory, CPUMilli: a.n.cpu, Permitted: a.permit.Refuses}, instance.NewDriver(a.n.rt), j, a.changed, a.w.logger(a.n.name))
	if err := a.set.Load(); err != nil {
		panic(err)
	}
	a.w.say(a.n.name, "agent starts, epoch %d, %d instances", j.Epoch().Max, len(a.set.Snapshot()))
	a.pump()
	a.ping(func() {})
	a.refresh(2*pingEvery, func() { a.dial(a.search.First()) })
	a.p.after(pingEvery, a.pings)
	a.p.after(relistEvery, a.relists)
	a.p.after(time.Second, a.subscribe)
	a.enforce()
}

// enforce is permit.Permit.Run.
func (a *agent) enforce() {
	left := a.permit.Enforce(a.set, a.halted, a.p.now())
	for id := range a.halted {
		a.n.halted[id] = true
	}
	a.pump()
	a.p.after(min(max(left, enforceMin), enforceMax), a.enforce)
}

// kill ends the agent; silent when its kernel cannot tell anybody.
func (a *agent) kill(silent bool) {
	if a.p == nil || !a.p.alive {
		return
	}
	a.w.say(a.n.name, "agent ends")
	a.p.kill()
	a.w.net.died(a.p, silent)
	a.talk, a.errands = nil, nil
}

// changed is the Set's note that there is news of an instance.
func (a *agent) changed(id string) {
	a.outbox.Note(id)
	if t := a.talk; t != nil && t.synced {
		t.flushSoon()
	}
}

// pump begins what came up in the Set, and wakes runners that were poked.
func (a *agent) pump() {
	for _, j := range a.set.Jobs() {
		if j.Runner != nil {
			a.p.after(0, func() { a.step(j.Runner) })
		} else {
			a.ask(runtime.Spec{InstanceID: j.Remove}, instance.Call{Op: instance.OpRemove}, func(answer) {})
		}
	}
	a.waiting = slices.DeleteFunc(a.waiting, func(x waitingRunner) bool {
		if x.timer.dead {
			return true // it goes on already
		}
		select {
		case <-x.r.Poked():
			x.timer.dead = true
			a.p.after(0, func() { a.step(x.r) })
			return true
		default:
			return false
		}
	})
	a.watchPhases()
}

func (a *agent) watchPhases() {
	for _, o := range a.set.Snapshot() {
		a.w.check.phase(a, o)
	}
}

// over reports whether an instance is gone for its agent. A container of it may be
// left, of which the engine refused the start and then the removal: nobody starts
// that any more, each list has it removed, and it is promised nothing.
func (a *agent) over(id string) bool {
	return a.phases[id] == model.PhaseGone || a.journal.Buried(id)
}

// step is one step of a runner.
func (a *agent) step(r *instance.Runner) {
	now := a.p.now()
	cut := new(func())
	m := r.Begin(now, func() {
		if *cut != nil {
			(*cut)()
		}
	})
	a.proceed(r, m, now, cut)
}

func (a *agent) proceed(r *instance.Runner, m instance.Move, now time.Time, cut *func()) {
	if m.Call.Op == instance.OpNone {
		pause, more := r.End(m)
		if more {
			a.wait(r, pause)
		}
		a.pump()
		return
	}
	answered := false
	leave := a.ask(m.Record.Spec, m.Call, func(ans answer) {
		answered = true
		a.proceed(r, instance.Take(m.Record, m.Call, ans.Answer, now), now, cut)
	})
	*cut = func() {
		a.p.after(0, func() {
			if !answered {
				answered = true
				leave()
				r.Drop()
				a.step(r)
			}
		})
	}
}

func (a *agent) wait(r *instance.Runner, pause time.Duration) {
	if pause <= 0 {
		a.p.after(0, func() { a.step(r) })
		return
	}
	x := waitingRunner{r: r}
	x.timer = a.p.after(pause, func() {
		x.timer.dead = true
		a.step(r)
	})
	a.waiting = append(a.waiting, x)
}

// told takes up an event of the engine.
func (a *agent) told(id string) {
	if a.p == nil || !a.p.alive || !a.subscribed {
		return
	}
	a.p.after(a.w.between("events/"+a.n.name, time.Millisecond, 20*time.Millisecond), func() {
		a.set.Poke(id)
		a.pump()
	})
}

func (a *agent) subscribe() {
	up := !a.w.now.Before(a.n.awayUntil) && !a.w.now.Before(a.n.hungUntil)
	if up && !a.subscribed {
		a.subscribed = true
		a.due()
	}
	a.p.after(time.Second, a.subscribe)
}

func (a *agent) pings() {
	a.ping(func() { a.p.after(pingEvery, a.pings) })
}

func (a *agent) ping(then func()) {
	a.n.ask(a.p, runtime.Spec{}, instance.Call{Op: opInfo}, func(ans answer) {
		switch {
		case ans.Err == nil:
			a.misses = 0
			if !a.docker.OK {
				a.due()
			}
		default:
			if a.misses++; a.misses >= maxMisses {
				a.docker = session.Docker{Error: ans.Err.Error()}
			}
		}
		then()
	})
}

func (a *agent) relists() {
	a.due()
	a.p.after(relistEvery-a.w.between("relist/"+a.n.name, 0, 10*time.Second), a.relists)
}

// due asks for a list, soon and once.
func (a *agent) due() {
	if a.relistDue {
		return
	}
	a.relistDue = true
	a.p.after(50*time.Millisecond, func() {
		a.relistDue = false
		a.refresh(40*time.Second, func() {})
	})
}

var errListBusy = errors.New("docker has not answered an earlier request for its list")

// refresh compares the set with the engine's list, within a time.
func (a *agent) refresh(within time.Duration, then func()) {
	if a.relisting {
		a.p.after(within, func() {
			a.docker = session.Docker{Error: errListBusy.Error()}
			then()
		})
		return
	}
	a.relisting = true
	over := false
	end := func(err error) {
		if over {
			return
		}
		over = true
		a.docker = session.Docker{OK: err == nil}
		if err != nil {
			a.docker.Error = err.Error()
		}
		then()
	}
	a.p.after(within, func() { end(runtime.ErrAway) })
	a.n.ask(a.p, runtime.Spec{}, instance.Call{Op: opList}, func(ans answer) {
		a.relisting = false
		if ans.Err != nil {
			end(ans.Err)
			return
		}
		a.adopt(a.set.Compare(ans.list), end)
		a.pump()
	})
}

// adopt takes up unknown containers one by one.
func (a *agent) adopt(ids []string, end func(error)) {
	if len(ids) == 0 {
		end(nil)
		return
	}
	a.n.ask(a.p, runtime.Spec{InstanceID: ids[0]}, instance.Call{Op: instance.OpInspect}, func(ans answer) {
		if err := a.set.Adopt(ids[0], ans.Container, ans.Err); err != nil {
			end(err)
			return
		}
		a.pump()
		a.adopt(ids[1:], end)
	})
}
