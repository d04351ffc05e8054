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
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
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
	RouteGrace  time.Duration // nodes that stay silent hold an app's routes up so long after a takeover
}

// Core is one term's reconciler: Begin, then Handle and Round in any order, by
// one goroutine.
type Core struct {
	cfg   Config
	deps  Deps
	lease store.Lease
	began time.Time

	cluster  *actual.Cluster
	sessions map[string]dispatch.Session // by node ID
	monitors map[string]dispatch.Monitor // by ID
	apps     map[string]*app             // by ID
	rows     map[string]*row             // by instance ID
	byNode   map[string]map[string]*row
	ledger   map[string]*reserved // by node ID
	releases map[string]model.Release
	avail    map[string]model.Availability
	orphans  map[string]time.Time // instance ID → first seen
	statuses map[string]model.NodeStatus

	newNodes map[string]bool // said hello; their rows are to be written
	dirty    map[string]bool // app IDs to plan
	targets  map[string]targetLine
	reload   bool      // memory and database may differ: read it all again
	swept    time.Time // last successful sweep
	open     bool      // the whole route table was handed to the publisher
}

// app is one app's desired state and what the leader remembers of it.
type app struct {
	model.App
	domains     []string
	deployments map[string]model.Deployment
	lastGood    string
	rows        map[string]*row
	slots       map[int]plan.Slot
	failures    []plan.Failure // of failuresOf's instances
	failuresOf  string         // release ID
	failedOn    map[string]int // of those, by node ID
	unplaceable time.Time
	refusal     *model.Error
	pending     []plan.Pending
	tail        *tail
	keys        map[string]string // route keys as last Set
	wake        time.Time
}

// row is one placement and how far its commands and routes are.
type row struct {
	model.Instance
	prior      bool   // it is older than this term
	inRoutes   bool   // as last Set
	routeRev   uint64 // revision at which inRoutes took its value
	everRouted bool
	seenRouted bool   // the planner has seen it routed everywhere
	sentTo     string // session ID that got its Start, or its Stop once stopping
	memory     int64
	cpu        int64
}

// tail is the output of an instance, asked for to explain why a release fails.
type tail struct {
	releaseID string
	lines     []string
	done      bool
}

type reserved struct{ memory, cpu int64 }

// New makes the reconciler of one term.
func New(cfg Config, lease store.Lease, deps Deps) *Core {
	now := deps.Now()
	return &Core{
		cfg: cfg, deps: deps, lease: lease, began: now,
		cluster: actual.New(now), sessions: map[string]dispatch.Session{}, monitors: map[string]dispatch.Monitor{},
		apps: map[string]*app{}, rows: map[string]*row{}, byNode: map[string]map[string]*row{}, ledger: map[string]*reserved{},
		releases: map[string]model.Release{}, avail: map[string]model.Availability{}, orphans: map[string]time.Time{},
		statuses: map[string]model.NodeStatus{}, newNodes: map[string]bool{}, dirty: map[string]bool{}, targets: map[string]targetLine{}, reload: true,
	}
}

// Round brings every dirty app one step further and returns how long nothing is
// to be done without an event. After an error, another round is due within a
// second and begins by reading everything again; store.ErrLost ends the term.
func (c *Core) Round(ctx context.Context) (time.Duration, error) {
	wait, err := c.round(ctx)
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
	for id, a := range c.apps {
		if !a.wake.IsZero() && !now.Before(a.wake) {
			c.dirty[id] = true
		}
	}
	if err := c.planDirty(ctx, now); err != nil {
		return 0, err
	}
	if err := c.stopOrphans(ctx, now); err != nil {
		return 0, err
	}
	c.openRoutes(now)
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
	for _, a := range c.apps {
		sooner(a.wake)
	}
	for _, n := range c.cluster.Nodes {
		sooner(c.cluster.NextChange(n, c.cfg.Limits, now))
	}
	for _, seen := range c.orphans {
		sooner(seen.Add(c.cfg.OrphanAfter))
	}
	if !c.open {
		sooner(now.Add(500 * time.Millisecond))
	}
	return max(next.Sub(now), time.Millisecond)
}

// watchNodes notes which nodes changed their status, and plans their apps.
func (c *Core) watchNodes(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(c.cluster.Nodes)) {
		n := c.cluster.Nodes[id]
		s := c.cluster.Status(n, c.cfg.Limits, now)
		if old, ok := c.statuses[id]; ok && old == s {
			continue
		}
		c.deps.Log.Info("node status changed", "node", n.Name, "from", c.statuses[id], "to", s)
		c.statuses[id] = s
		c.dirtyNode(id)
		for _, a := range c.apps { // a new node may take what waits for room
			if len(a.pending) > 0 {
				c.dirty[a.ID] = true
			}
		}
	}
}

func (c *Core) dirtyNode(nodeID string) {
	for _, r := range c.byNode[nodeID] {
		c.dirty[r.AppID] = true
	}
}

// Begin reads the routes in force, so that what serves is not taken off before
// the monitors have spoken again. On an error the term goes on all the same:
// routers serve from their own tables.
func (c *Core) Begin(ctx context.Context) error {
	table, _, err := c.deps.Routes.Current(ctx)
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	for _, id := range endpointIDs(table) {
		c.cluster.Assume(id, c.deps.Now())
	}
	return nil
}
