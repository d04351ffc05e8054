// Package reconcile is the leader's loop: it holds the desired and the actual
// state, asks the planner app by app, writes intent to the database, and only
// then sends commands and publishes routes.
//
// One goroutine owns all state here, so there are no locks; what comes from
// outside arrives as events. Decisions are in plan, place and routes.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/sql/store"
)

// Config are the loop's times.
type Config struct {
	Plan        plan.Config
	Limits      actual.Limits
	Domain      string        // apps answer on <app>.<Domain>
	Sweep       time.Duration // all desired state is read again so often
	Debounce    time.Duration // events that come together are planned together
	OrphanAfter time.Duration // an instance without a row is left alone so long
	RouteGrace  time.Duration // nodes that stay silent hold an app's routes up so long after a takeover
}

// Loop is one term's reconciler.
type Loop struct {
	cfg   Config
	store *store.Store
	lease store.Lease
	pub   *publish.Publisher
	log   *slog.Logger
	inbox chan dispatch.Event
	began time.Time

	cluster  *actual.Cluster
	sessions map[string]*dispatch.Session // by node ID
	monitors map[*dispatch.Monitor]bool
	apps     map[string]*app // by ID
	rows     map[string]*row // by instance ID
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
	tails    sync.WaitGroup
	term     context.Context // Run's: readers of output end with it
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

// New makes the loop of one term. inbox must be the channel that the term's
// events go to.
func New(cfg Config, st *store.Store, lease store.Lease, pub *publish.Publisher, inbox chan dispatch.Event, log *slog.Logger) *Loop {
	now := time.Now()
	return &Loop{
		cfg: cfg, store: st, lease: lease, pub: pub, log: log, inbox: inbox, began: now,
		cluster: actual.New(now), sessions: map[string]*dispatch.Session{}, monitors: map[*dispatch.Monitor]bool{},
		apps: map[string]*app{}, rows: map[string]*row{}, byNode: map[string]map[string]*row{}, ledger: map[string]*reserved{},
		releases: map[string]model.Release{}, avail: map[string]model.Availability{}, orphans: map[string]time.Time{},
		statuses: map[string]model.NodeStatus{}, newNodes: map[string]bool{}, dirty: map[string]bool{}, targets: map[string]targetLine{}, reload: true,
	}
}

// Run reconciles until ctx ends or the lease is lost.
func (l *Loop) Run(ctx context.Context) error {
	l.term = ctx
	defer l.tails.Wait()
	if err := l.assume(ctx); err != nil {
		l.log.Warn("routes in force not read; apps serve on from the routers' own tables", "err", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e := <-l.inbox:
			l.handle(ctx, e)
			l.drain(ctx)
		case <-timer.C:
		}
		wait, err := l.round(ctx)
		if errors.Is(err, store.ErrLost) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			l.log.Warn("round not finished", "err", err)
			l.reload, wait = true, time.Second
		}
		timer.Reset(wait)
	}
}

// drain takes in what arrives within the debounce time, so that one round
// serves all of it.
func (l *Loop) drain(ctx context.Context) {
	end := time.NewTimer(l.cfg.Debounce)
	defer end.Stop()
	for {
		select {
		case e := <-l.inbox:
			l.handle(ctx, e)
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// round brings every dirty app one step further and returns how long nothing is
// to be done.
func (l *Loop) round(ctx context.Context) (time.Duration, error) {
	now := time.Now()
	if l.reload || now.Sub(l.swept) >= l.cfg.Sweep {
		if err := l.sweep(ctx, now); err != nil {
			return 0, err
		}
	}
	l.watchNodes(now)
	for id, a := range l.apps {
		if !a.wake.IsZero() && !now.Before(a.wake) {
			l.dirty[id] = true
		}
	}
	if err := l.planDirty(ctx, now); err != nil {
		return 0, err
	}
	if err := l.stopOrphans(ctx, now); err != nil {
		return 0, err
	}
	l.openRoutes(now)
	return l.nextWake(time.Now()), nil
}

// nextWake is how long until something is due by time alone.
func (l *Loop) nextWake(now time.Time) time.Duration {
	next := l.swept.Add(l.cfg.Sweep)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for _, a := range l.apps {
		sooner(a.wake)
	}
	for _, n := range l.cluster.Nodes {
		sooner(l.cluster.NextChange(n, l.cfg.Limits, now))
	}
	for _, seen := range l.orphans {
		sooner(seen.Add(l.cfg.OrphanAfter))
	}
	if !l.open {
		sooner(now.Add(500 * time.Millisecond))
	}
	return max(next.Sub(now), time.Millisecond)
}

// watchNodes notes which nodes changed their status, and plans their apps.
func (l *Loop) watchNodes(now time.Time) {
	for id, n := range l.cluster.Nodes {
		s := l.cluster.Status(n, l.cfg.Limits, now)
		if old, ok := l.statuses[id]; ok && old == s {
			continue
		}
		l.log.Info("node status changed", "node", n.Name, "from", l.statuses[id], "to", s)
		l.statuses[id] = s
		l.dirtyNode(id)
		for _, a := range l.apps { // a new node may take what waits for room
			if len(a.pending) > 0 {
				l.dirty[a.ID] = true
			}
		}
	}
}

func (l *Loop) dirtyNode(nodeID string) {
	for _, r := range l.byNode[nodeID] {
		l.dirty[r.AppID] = true
	}
}

// assume reads the routes in force, so that what serves is not taken off before
// the monitors have spoken again.
func (l *Loop) assume(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	table, _, err := l.pub.Current(ctx)
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	for _, id := range endpointIDs(table) {
		l.cluster.Assume(id, time.Now())
	}
	return nil
}
