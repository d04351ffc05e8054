// Package reconcile is the leader's reconciler: it holds the desired and the
// actual state, asks the planner app by app, writes intent to the database, and
// only then sends commands and publishes routes.
//
// Core is single-threaded and steps: events in, one round of effects out; it has
// no goroutine, timer or clock of its own, so that a simulator can drive it. Loop
// is the goroutine around it. Decisions are in plan, place and routes.
package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// Config are the reconciler's times.
type Config struct {
	Plan        plan.Config
	Limits      actual.Limits
	Domain      string        // apps answer on <app>.<Domain>
	Sweep       time.Duration // all desired state is read again so often
	Debounce    time.Duration // events that come together are planned together
	OrphanAfter time.Duration // an instance without a row is left alone so long
	RouteGrace  time.Duration // nodes that stay silent hold an app's routes up so long after a takeover, and until they would be lost where no routes were found
	SafeAfter   time.Duration // a database that lacks so much of history is not believed; 0: any is
}

// Core is one term's reconciler: Begin, then Handle and Round in any order, by
// one goroutine.
type Core struct {
	cfg   Config
	deps  Deps
	lease store.Lease
	began time.Time
	acts  time.Time // since when what is decided is done: its begin, or the end of a safe mode

	cluster  *actual.Cluster
	index    *place.Index
	nodes    map[string]*node            // by ID
	monitors map[string]dispatch.Monitor // by ID
	apps     map[string]*app             // by ID
	rows     map[string]*row             // by instance ID
	releases map[string]model.Release
	orphans  map[string]orphan // by instance ID
	owners   map[string]*app   // of route keys, as last Set

	mum     map[string]*node // those that have not told in this term what they have, by ID
	awaited *node            // the one of them that untold has found last
	came    time.Time        // when one last told for the first time in this term
	spoke   time.Time        // when the first of all did; zero: none has

	looks *alarms   // nodes whose status may change by time
	asked time.Time // when those that were due soon were last asked for their pulse
	wakes *alarms   // apps whose plan changes by time

	forgotten map[string]bool   // nodes that people have given up, gone ones too
	bad       map[string]bool   // nodes that are to be cordoned
	newNodes  map[string]bool   // said hello; their rows are to be written
	dirty     map[string]bool   // apps to plan
	waiting   map[string]bool   // apps with slots that wait, perhaps for room
	awaiting  map[string]uint64 // apps whose next step waits for routers, and the revision that they are to serve
	unrouted  map[string]bool   // apps whose routes are not known yet in this term

	safe     *model.SafeMode     // nothing is changed while it is set
	unsaved  bool                // and the database does not know of it yet
	held     bool                // it is over, and routes are not written yet
	believed bool                // people have ended one in this term
	vouched  bool                // a node that has come knows the end of what the database knows
	strays   map[string]string   // endpoints in force that have no row, and the host they serve; nil: not looked yet
	resumed  map[string]*resumed // rollouts whose deadlines were moved on in the term, by release; nil: not looked yet
	guests   map[string]*app     // strays that serve an app until its own instances do, by ID

	sittings   sitting        // so far
	planned    int            // plans of apps, so far
	view0      place.View     // reused
	room       room           // reused
	told       model.Observed // reused
	ran        []string       // reused
	noRoom     noRoom
	survey     survey
	packed     map[string]bool   // pools that are packed, by name
	inForce    map[string]routed // by instance ID, when the term began; nil as long as that was not read
	endpoints  map[string]int    // how many of those each host had; nil once the table is complete
	doubtful   map[string]bool   // apps of whose routes nothing is said until the database can be trusted
	found      route.Head        // of the table that inForce is from
	doubted    bool              // more was routed than that says
	routeGrace time.Duration     // how long after its begin silent nodes hold up the routes of their apps
	graceOver  bool              // as last looked, which may be later than it was
	reload     bool              // memory and database may differ: read it all again
	swept      time.Time         // last successful sweep
	trouble    time.Time         // since when no round was finished; zero: the last one was
	open       bool              // the whole route table was handed to the publisher
}

// orphan is an instance that a node has and nobody wants.
type orphan struct {
	node      *node
	since     time.Time // first seen, or told to stop
	unrouted  uint64    // the revision from which on no route leads to it; 0: not known yet
	singleton bool      // no singleton is started beside it
}

// New makes the reconciler of one term.
func New(cfg Config, lease store.Lease, deps Deps) *Core {
	now := deps.Now()
	return &Core{
		cfg: cfg, deps: deps, lease: lease, began: now, acts: now, cluster: actual.New(cfg.Limits, now), index: place.New(),
		nodes: map[string]*node{}, mum: map[string]*node{}, monitors: map[string]dispatch.Monitor{}, apps: map[string]*app{}, rows: map[string]*row{},
		releases: map[string]model.Release{}, orphans: map[string]orphan{}, owners: map[string]*app{}, looks: newAlarms(), wakes: newAlarms(),
		guests: map[string]*app{}, forgotten: map[string]bool{}, bad: map[string]bool{}, newNodes: map[string]bool{}, dirty: map[string]bool{}, waiting: map[string]bool{}, awaiting: map[string]uint64{}, unrouted: map[string]bool{}, doubtful: map[string]bool{},
		reload: true,
	}
}

func (c *Core) log() *slog.Logger { return c.deps.Log }

// Begin reads the routes in force, so that what serves is not taken off before
// agents and monitors have spoken again. On an error the term goes on all the
// same, since routers serve from their own tables; but no routes are set before
// Learn was called with what was read in the end.
func (c *Core) Begin(ctx context.Context) error {
	table, found, err := c.deps.Routes.Current(ctx)
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	c.Learn(table, found)
	return nil
}

// Round brings every dirty app one step further and returns how long nothing is
// to be done without an event. After an error, another round is due within a
// second and begins by reading everything again; store.ErrLost ends the term.
func (c *Core) Round(ctx context.Context) (time.Duration, error) {
	wait, err := c.round(ctx)
	switch {
	case err == nil:
		c.trouble = time.Time{}
	case c.trouble.IsZero():
		c.trouble = c.deps.Now()
	}
	if err != nil {
		c.reload, wait = true, time.Second
	}
	return wait, err
}

func (c *Core) round(ctx context.Context) (time.Duration, error) {
	now := c.deps.Now()
	if c.reload || now.Sub(c.swept) >= c.cfg.Sweep {
		if err := c.sweep(ctx, now); err != nil {
			return 0, err
		}
	}
	c.watchNodes(now)
	c.doubtRoutes()
	if c.safe != nil {
		return c.hold(ctx)
	}
	for due, ok := c.wakes.pop(now); ok; due, ok = c.wakes.pop(now) {
		c.dirty[due.key] = true
	}
	if err := c.planDirty(ctx, now); err != nil {
		return 0, err
	}
	c.goOnWriting()
	if err := c.stopOrphans(ctx, now); err != nil {
		return 0, err
	}
	c.openRoutes(now)
	if c.survey.due(now) {
		c.surveyOn(now)
	}
	return c.nextWake(c.deps.Now()), nil
}

// nextWake is how long until something is due by time alone.
func (c *Core) nextWake(now time.Time) time.Duration {
	next := c.swept.Add(c.cfg.Sweep)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	sooner(c.wakes.next())
	sooner(c.looks.next())
	for id, o := range c.orphans {
		switch due := o.since.Add(c.cfg.OrphanAfter); {
		case c.guests[id] != nil:
		case due.After(now):
			sooner(due)
		default: // it waits for routers
			sooner(now.Add(time.Second))
		}
	}
	for id := range c.bad {
		if n := c.nodes[id]; n != nil {
			sooner(n.badAt.Add(badFor))
		}
	}
	if !c.open {
		sooner(now.Add(500 * time.Millisecond))
	}
	if c.survey.index != nil {
		sooner(c.survey.next)
	}
	if len(c.dirty) > 0 { // a plan that waits for something, or begot another
		sooner(now)
	}
	return max(next.Sub(now), time.Millisecond)
}
