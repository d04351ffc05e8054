package sim

import (
	"fmt"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

// Failure is an invariant that did not hold.
type Failure struct {
	Invariant string        // its name: short, and the same in every run
	At        time.Duration // since the run began
	Message   string
}

// Error implements error.
func (f *Failure) Error() string {
	return fmt.Sprintf("after %s: %s: %s", f.At, f.Invariant, f.Message)
}

// checker watches the invariants of DESIGN §9. The models call it at every
// effect: a commit, a container made or stopped, a route written, an order
// obeyed, a phase reported.
type checker struct {
	w       *World
	failure *Failure // the first

	wellAt   map[string]time.Time            // instance → when a monitor first told a server that it is healthy
	broken   int                             // faults that last
	hurtAt   map[string]time.Time            // app → when last something happened to its instances that nobody ordered
	desired  map[string][]wish               // app → instances wanted, with times
	away     map[string]time.Time            // node → since when it is not active
	commits  int                             // of the leader
	drains   map[string]time.Time            // instance → it gets no stop signal before
	foreign  map[string]string               // node → id of a container that is not ours
	orphanAt map[string]time.Time            // running container without a row → since when
	starts   map[string][]time.Time          // app, slot and release → when instances of it were placed of late
	ends     map[string]map[string]time.Time // node → app → when an instance of it last ended there by itself
	was      map[string]model.Availability   // node → what people wanted of it before
	drained  map[string]time.Time            // node → when it was last draining
	givenUp  map[string]time.Time            // node → when people said that it never returns
	left     map[string]bool                 // instance → it was gone while its engine refused, and may have left its container
	goneAt   map[string]time.Time            // routed instance that does not run → since when
	asked    time.Time                       // when the leader was last asked for reasons
	backends map[string]*route.Backend       // what texts in Redis say
	whole    int64                           // epoch of the leader that last said all of the table
	queued   map[instance.Op]int             // calls of an engine that waited for others to end
}

func newChecker(w *World) *checker {
	return &checker{
		w: w, wellAt: map[string]time.Time{}, hurtAt: map[string]time.Time{}, desired: map[string][]wish{}, away: map[string]time.Time{},
		drains: map[string]time.Time{}, foreign: map[string]string{}, orphanAt: map[string]time.Time{},
		starts: map[string][]time.Time{}, ends: map[string]map[string]time.Time{}, was: map[string]model.Availability{}, drained: map[string]time.Time{}, givenUp: map[string]time.Time{}, goneAt: map[string]time.Time{}, left: map[string]bool{}, queued: map[instance.Op]int{}, backends: map[string]*route.Backend{},
	}
}

func (c *checker) fail(invariant, format string, args ...any) {
	if c.failure == nil {
		c.failure = &Failure{Invariant: invariant, At: c.w.now.Sub(epoch), Message: fmt.Sprintf(format, args...)}
		c.w.say("!!!!", "%s: %s", invariant, c.failure.Message)
	}
}

// ask looks, from time to time, at what no single effect shows.
func (c *checker) ask() {
	if c.w.now.Sub(c.asked) >= askEvery {
		c.asked = c.w.now
		c.pending()
		c.stale()
		c.waiting()
	}
}

// hurtAll notes a fault that may be felt by any app.
func (c *checker) hurtAll() {
	for _, a := range sorted(c.w.db.apps) {
		c.hurtAt[a.ID] = c.w.now
	}
}

// hurt reports whether something that nobody ordered may still be felt by an app.
func (c *checker) hurt(appID string) bool {
	return c.broken > 0 || c.w.now.Sub(c.hurtAt[appID]) < slack
}

// judged takes a monitor's word that has reached a server.
func (c *checker) judged(v model.Verdict) {
	if _, known := c.wellAt[v.InstanceID]; v.Healthy && !known {
		c.wellAt[v.InstanceID] = c.w.now
	}
}
