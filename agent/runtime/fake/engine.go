// Package fake is a container engine in memory. It passes the same conformance
// suite as Docker, starts thousands of containers a second, and can be told
// what its programs do; Faulty makes it, or any other engine, fail on demand.
package fake

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// Engine is one engine; several nodes may share it, as on a Docker host.
type Engine struct {
	// Program says what a container does once started; nil: it runs until it is
	// stopped. Set it before the first container is made.
	Program func(runtime.Spec) Program
	// Images says whether an image can be pulled; nil: all can.
	Images func(image string) error
	// Clock gives the time; nil: time.Now.
	Clock func() time.Time
	// Told is called with each event, besides the subscribers; it must not call
	// back. Set it before the first container is made.
	Told func(node, instanceID string)

	mu         sync.Mutex
	containers map[string]*container // by instance
	images     map[string]bool
	pulls      map[string]int
	listeners  map[*listener]bool
	made       int // containers ever made; also the source of ids and ports
}

// Program is what a container's process does.
type Program struct {
	Lines      []string // printed at start
	Exit       bool     // ends at once, with Code
	Code       int
	StartError string // the engine cannot even start it
	IgnoreTerm bool   // has to be killed
}

// container is guarded by Engine.mu.
type container struct {
	runtime.Container
	node    string // "" for one that is not ours
	spec    runtime.Spec
	port    int
	lines   []runtime.Line
	changed chan struct{} // closed and replaced when lines or State change
}

// listener holds the events one subscriber has not taken yet.
type listener struct {
	node   string
	queue  []runtime.Event
	signal chan struct{} // size 1
}

// NewEngine returns an empty engine.
func NewEngine() *Engine {
	return &Engine{
		containers: map[string]*container{}, images: map[string]bool{}, pulls: map[string]int{},
		listeners: map[*listener]bool{},
	}
}

// Node returns the engine as the node nodeID sees it; address is where the
// node's instances are reached.
func (e *Engine) Node(nodeID, address string) *Runtime {
	return &Runtime{engine: e, node: nodeID, address: address}
}

// Exit ends a container's process from inside.
func (e *Engine) Exit(instanceID string, code int, oom bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[instanceID]; c != nil && c.State == runtime.Running {
		e.end(c, code, oom)
	}
}

// Print makes a container's process print a line.
func (e *Engine) Print(instanceID, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[instanceID]; c != nil {
		e.print(c, text)
	}
}

// Vanish removes a container behind the agent's back. With quiet, no event tells.
func (e *Engine) Vanish(instanceID string, quiet bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[instanceID]
	if c == nil {
		return
	}
	delete(e.containers, instanceID)
	c.State = runtime.Exited
	c.wake()
	if !quiet {
		e.tell(c)
	}
}

// Occupy makes a container that is not ours hold an instance's name.
func (e *Engine) Occupy(instanceID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made++
	e.containers[instanceID] = &container{
		Container: runtime.Container{ID: fmt.Sprintf("foreign%d", e.made), State: runtime.Running},
		changed:   make(chan struct{}),
	}
}

// Restart does what an engine's restart does: every process ends, every
// subscription breaks.
func (e *Engine) Restart() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(e.containers)) {
		if c := e.containers[id]; c.State == runtime.Running {
			e.end(c, 255, false)
		}
	}
	for l := range e.listeners {
		close(l.signal)
	}
	e.listeners = map[*listener]bool{}
}

// Count returns how many containers of the node run, and how many there are.
func (e *Engine) Count(nodeID string) (running, all int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.node != nodeID {
			continue
		}
		all++
		if c.State == runtime.Running {
			running++
		}
	}
	return running, all
}

// At returns the container that answers at an address; ok is false when none
// runs there.
func (e *Engine) At(addr string) (c runtime.Container, s runtime.Spec, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.State == runtime.Running && c.Addr == addr {
			return c.Container, c.spec, true
		}
	}
	return c, s, false
}

// All returns every container, sorted by instance, with its spec; those that are
// not ours have none.
func (e *Engine) All() (cs []runtime.Container, specs []runtime.Spec) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(e.containers)) {
		cs, specs = append(cs, e.containers[id].Container), append(specs, e.containers[id].spec)
	}
	return cs, specs
}

// Made returns how many containers were ever made, and Pulled how often an image was.
func (e *Engine) Made() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.made
}

// Pulled returns how often an image was pulled.
func (e *Engine) Pulled(image string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pulls[image]
}

// Has reports whether an image is on the host.
func (e *Engine) Has(image string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.images[image]
}

func (e *Engine) now() time.Time {
	if e.Clock != nil {
		return e.Clock()
	}
	return time.Now()
}

// end, print and tell need Engine.mu.
func (e *Engine) end(c *container, code int, oom bool) {
	c.State, c.ExitCode, c.OOM, c.Addr = runtime.Exited, code, oom, ""
	c.wake()
	e.tell(c)
}

func (e *Engine) print(c *container, text string) {
	c.lines = append(c.lines, runtime.Line{At: e.now(), Text: text})
	c.wake()
}

func (e *Engine) tell(c *container) {
	if e.Told != nil {
		e.Told(c.node, c.InstanceID)
	}
	for l := range e.listeners {
		if l.node != c.node {
			continue
		}
		l.queue = append(l.queue, runtime.Event{InstanceID: c.InstanceID})
		select {
		case l.signal <- struct{}{}:
		default:
		}
	}
}

// wake lets followers of the container's output look again.
func (c *container) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}
