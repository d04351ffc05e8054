package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
)

// node is a host: an engine with its containers, a disk, and an agent.
type node struct {
	w       *World
	name    string // also its id
	zone    string
	address string
	memory  int64 // MiB
	cpu     int64
	engine  *fake.Engine
	rt      runtime.Runtime
	disk    *journal.Disk
	agent   *agent

	offUntil  time.Time       // no power
	awayUntil time.Time       // the daemon is down
	hungUntil time.Time       // it takes requests and does not answer
	held      []func()        // what it has taken in since and will do when it goes on
	creating  map[string]bool // instances whose containers it is about to make
	life      int             // of the daemon: what it was asked for in an earlier one it does no more
	unsure    int             // of 100 calls, how many take effect and time out
	refusing  int             // of 100 calls, how many are refused
	slow      time.Duration
	badUntil  time.Time // what runs here ends by itself
	ailed     time.Time // when its agent or its engine was last harmed, but by the network

	made   map[string]int  // containers ever made, by instance
	halted map[string]bool // singletons that the agent has stopped by itself
	obeyed int64           // highest epoch of an order that took effect
	clock  clock
}

func newNode(w *World, i int, zone string, memory int64) *node {
	n := &node{w: w, name: fmt.Sprintf("n%d", i), zone: zone, address: fmt.Sprintf("10.0.0.%d", i), memory: memory, cpu: 64_000, creating: map[string]bool{}, made: map[string]int{}, halted: map[string]bool{}}
	n.engine = fake.NewEngine()
	n.engine.Clock = func() time.Time { return w.now }
	n.engine.Program = w.program
	n.engine.Told = func(_, id string) { w.touch(); n.agent.told(id) }
	n.rt = n.engine.Node(n.name, n.address)
	n.disk = journal.NewDisk(func() time.Time { return w.now })
	n.agent = &agent{n: n, w: w}
	return n
}

// on reports whether the host has power.
func (n *node) on() bool { return !n.w.now.Before(n.offUntil) }

// powerCut ends all that runs on the host, unsynced writes included.
func (n *node) powerCut(d time.Duration) {
	n.offUntil = n.w.now.Add(d)
	n.agent.kill(true)
	n.restartDaemon(d)
	n.disk.PowerCut()
	n.agent.phases = nil // what was not synced is forgotten
	n.hungUntil = time.Time{}
	n.w.after(nil, d, func() { n.agent.start() })
}

// restartDaemon ends all processes, and what was asked of the daemon; it is back
// after d.
func (n *node) restartDaemon(d time.Duration) {
	n.awayUntil = n.w.now.Add(d)
	n.life++
	n.held, n.creating = nil, map[string]bool{}
	n.engine.Restart()
	n.agent.subscribed = false
}

// hang lets the daemon take requests and not answer for a while.
func (n *node) hang(d time.Duration) {
	n.hungUntil = n.w.now.Add(d)
	n.agent.subscribed = false
	n.w.after(nil, d, n.goOn)
}

// goOn ends a hang, unless another has begun: what waits is begun with before
// anything that is asked from now on.
func (n *node) goOn() {
	if n.w.now.Before(n.hungUntil) {
		return
	}
	n.hungUntil = time.Time{}
	for _, begin := range n.held {
		begin()
	}
	n.held = nil
}

var (
	errRefused  = errors.New("the daemon refuses: 409 conflict")
	errReserved = fmt.Errorf("%w: the container's name is reserved", runtime.ErrAway) // as agent/docker says it
)

// How long the daemon takes, and how long a client waits for it.
var engineTimes = map[instance.Op][2]time.Duration{
	instance.OpCreate:  {20 * time.Millisecond, 300 * time.Millisecond},
	instance.OpPull:    {100 * time.Millisecond, 4 * time.Second},
	instance.OpStart:   {50 * time.Millisecond, 500 * time.Millisecond},
	instance.OpInspect: {2 * time.Millisecond, 20 * time.Millisecond},
	instance.OpRemove:  {20 * time.Millisecond, 200 * time.Millisecond},
	opList:             {5 * time.Millisecond, 50 * time.Millisecond},
	opInfo:             {1 * time.Millisecond, 5 * time.Millisecond},
}

const (
	opList        = instance.Op(100)
	opInfo        = instance.Op(101)
	engineTimeout = 30 * time.Second
)

// answer is what the daemon says to the agent's shell.
type answer struct {
	instance.Answer
	list []runtime.Container
}

// ask carries a call to the daemon and its answer to the agent p. What the daemon
// has taken in it does, whether its client lives to hear of it or not.
func (n *node) ask(p *process, s runtime.Spec, c instance.Call, done func(answer)) {
	if c.Op == instance.OpOutput {
		p.after(0, func() { done(answer{Answer: instance.Answer{Lines: []string{"last words"}}}) })
		return
	}
	w := n.w
	away := func(d time.Duration) {
		p.after(d, func() {
			done(answer{Answer: instance.Answer{Err: fmt.Errorf("%w: timeout", runtime.ErrAway)}})
		})
	}
	times := engineTimes[c.Op]
	took := w.between("engine/"+n.name, times[0], times[1]+n.slow)
	if c.Op == instance.OpStop {
		took = w.between("engine/"+n.name, 5*time.Millisecond, min(c.Grace, 3*time.Second)+10*time.Millisecond)
		if w.chance("engine/"+n.name, 10) {
			took = c.Grace + 10*time.Millisecond // it has to be killed
		}
	}
	switch {
	case w.now.Before(n.awayUntil):
		away(5 * time.Millisecond)
		return
	case w.now.Before(n.hungUntil):
		if w.chance("engine/"+n.name, 50) {
			n.held = append(n.held, func() { n.take(s, c, took, func(answer, bool) {}) })
		}
		away(engineTimeout)
		return
	case n.refusing > 0 && c.Op < opList && c.Op != instance.OpInspect && w.chance("engine/"+n.name, n.refusing):
		p.after(took, func() { done(answer{Answer: instance.Answer{Err: errRefused}}) })
		return
	}
	unsure := n.unsure > 0 && w.chance("engine/"+n.name, n.unsure)
	if c.Op == instance.OpStop {
		n.w.check.signalled(n, s.InstanceID)
	}
	n.take(s, c, took, func(a answer, ok bool) {
		switch {
		case !ok:
			away(0)
		case unsure:
			away(w.between("engine/"+n.name, time.Second, engineTimeout))
		default:
			p.after(0, func() { done(a) })
		}
	})
}

// take lets the daemon do what it has taken in; ok is false if it ends before. A
// container's name is reserved as soon as making it begins, so that of two requests
// for the same one the second is refused, and never makes another after the first is
// gone.
func (n *node) take(s runtime.Spec, c instance.Call, took time.Duration, then func(a answer, ok bool)) {
	life, id := n.life, s.InstanceID
	refused := c.Op == instance.OpCreate && n.creating[id]
	if c.Op == instance.OpCreate {
		n.creating[id] = true
	}
	n.w.after(nil, took, func() {
		switch {
		case n.life != life:
			then(answer{}, false)
		case refused:
			then(answer{Answer: instance.Answer{Err: errReserved}}, true)
		default:
			if c.Op == instance.OpCreate {
				delete(n.creating, id)
			}
			then(n.effect(s, c), true)
		}
	})
}

// effect is the call itself.
func (n *node) effect(s runtime.Spec, c instance.Call) (a answer) {
	ctx := n.w.ctx
	if c.Op != instance.OpInspect && c.Op < opList {
		defer n.w.did("engine of " + n.name)
	}
	switch c.Op {
	case instance.OpCreate:
		before := n.engine.Made()
		a.Container, a.Err = n.rt.Create(ctx, s)
		if n.engine.Made() > before {
			n.made[s.InstanceID]++
			n.w.say(n.name, "container of %s made", label(s.InstanceID))
			n.w.check.made(n, s)
		}
	case instance.OpPull:
		a.Err = n.rt.EnsureImage(ctx, s.Image)
	case instance.OpStart:
		a.Err = n.rt.Start(ctx, s.InstanceID)
		n.w.started(n, s)
	case instance.OpStop:
		n.w.check.stops(n, s.InstanceID)
		n.w.say(n.name, "container of %s stopped", label(s.InstanceID))
		a.Err = n.rt.Stop(ctx, s.InstanceID, 0)
	case instance.OpRemove:
		if cur, err := n.rt.Inspect(ctx, s.InstanceID); err == nil && cur.State == runtime.Running {
			n.w.check.stops(n, s.InstanceID)
			n.w.say(n.name, "running container of %s removed", label(s.InstanceID))
		}
		a.Err = n.rt.Remove(ctx, s.InstanceID)
	case instance.OpInspect:
		a.Container, a.Err = n.rt.Inspect(ctx, s.InstanceID)
	case opList:
		a.list, a.Err = n.rt.List(ctx)
	}
	return a
}
