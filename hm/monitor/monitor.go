// Package monitor probes every target at its own pace and keeps a verdict of
// each. It only watches: what a verdict leads to, the leader decides.
//
// Targets and verdicts outlive the connection to the leader: a monitor that is
// cut off goes on probing, and tells all when it is back.
package monitor

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/hm/probe"
	"github.com/dinp/dinp/hm/verdict"
)

// How often instances are probed, and how many at once.
const (
	startingEvery = 250 * time.Millisecond // a new instance is waited for
	runningEvery  = 5 * time.Second
	lanes         = 256
)

// Target is an instance to watch.
type Target struct {
	ID string
	probe.Target
	Known   bool // the leader holds a verdict already
	Healthy bool // that verdict
}

// Monitor watches a set of targets.
type Monitor struct {
	probe   func(context.Context, probe.Target) probe.Result
	changed func(id string) // called with mu held: it must only take a note
	lanes   chan struct{}
	kick    chan struct{} // size 1: fresh is not empty

	mu      sync.Mutex // guards all below
	watches map[string]*watch
	fresh   []*watch // not begun
}

// watch is one target under watch; all but target is guarded by Monitor.mu.
type watch struct {
	target   Target
	dropped  bool               // not to be watched any more
	cancel   context.CancelFunc // ends its goroutine; nil before there is one
	status   verdict.Status
	evidence string
	answered time.Time // the first probe that was answered in any way; zero: none was
}

// New returns a monitor without targets. changed is called with the id of each
// instance whose verdict, or the evidence of a bad one, is new here.
func New(probe func(context.Context, probe.Target) probe.Result, changed func(id string)) *Monitor {
	return &Monitor{
		probe: probe, changed: changed, lanes: make(chan struct{}, lanes), kick: make(chan struct{}, 1),
		watches: map[string]*watch{},
	}
}

// Run probes until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.kick:
			for _, w := range m.take() {
				if wctx, ok := m.begin(ctx, w); ok {
					wg.Go(func() { m.watch(wctx, w) })
				}
			}
		}
	}
}

func (m *Monitor) take() []*watch {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := m.fresh
	m.fresh = nil
	return fresh
}

func (m *Monitor) begin(ctx context.Context, w *watch) (context.Context, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.dropped {
		return nil, false
	}
	ctx, w.cancel = context.WithCancel(ctx)
	return ctx, true
}

// Replace watches exactly these targets. Those that were watched already keep their verdict.
func (m *Monitor) Replace(targets []Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keep := make(map[string]bool, len(targets))
	for _, t := range targets {
		keep[t.ID] = true
		m.set(t)
	}
	for id := range m.watches {
		if !keep[id] {
			m.drop(id)
		}
	}
}

// Change adds or changes some targets and drops others.
func (m *Monitor) Change(set []Target, remove []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range set {
		m.set(t)
	}
	for _, id := range remove {
		m.drop(id)
	}
}

// set needs mu. A target at the same place keeps what was observed of it: our
// own eyes are fresher than what the leader remembers. What it remembers of
// others is our verdict until they show otherwise, and is told as one: a leader
// that heard of an instance only once something changed would first hear of it
// from a monitor that cannot reach it, and believe that one alone.
func (m *Monitor) set(t Target) {
	if w := m.watches[t.ID]; w != nil {
		if w.target.Target == t.Target {
			return
		}
		m.drop(t.ID)
	}
	w := &watch{target: t}
	if t.Known {
		w.status = verdict.From(t.Healthy, time.Now())
		w.evidence = "as the leader remembers"
	}
	m.watches[t.ID] = w
	if t.Known {
		m.changed(t.ID)
	}
	m.fresh = append(m.fresh, w)
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// drop needs mu.
func (m *Monitor) drop(id string) {
	if w := m.watches[id]; w != nil {
		w.dropped = true
		if w.cancel != nil {
			w.cancel()
		}
		delete(m.watches, id)
	}
}

// Verdicts returns the verdicts of these instances, as far as there are any.
func (m *Monitor) Verdicts(ids []string) []model.Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var out []model.Verdict
	for _, id := range ids {
		if w := m.watches[id]; w != nil && w.status.Known {
			out = append(out, w.verdict(now))
		}
	}
	return out
}

// verdict is what is known of a target, as it is told now.
func (w *watch) verdict(now time.Time) model.Verdict {
	v := model.Verdict{InstanceID: w.target.ID, Healthy: w.status.Healthy, Since: w.status.Since, Evidence: w.evidence}
	if !w.answered.IsZero() {
		v.Answers = max(now.Sub(w.answered), time.Millisecond)
	}
	return v
}

// All returns every verdict, by instance.
func (m *Monitor) All() []model.Verdict {
	ids := m.ids()
	slices.SortFunc(ids, strings.Compare)
	return m.Verdicts(ids)
}

// Count returns how many targets there are, and how many are healthy.
func (m *Monitor) Count() (targets, healthy int) {
	for _, v := range m.All() {
		if v.Healthy {
			healthy++
		}
	}
	return len(m.ids()), healthy
}

func (m *Monitor) ids() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]string, 0, len(m.watches))
	for id := range m.watches {
		ids = append(ids, id)
	}
	return ids
}

// watch probes one target until it is dropped.
func (m *Monitor) watch(ctx context.Context, w *watch) {
	defer w.cancel()
	for wait := m.first(w); pause(ctx, wait); wait = m.every(w) {
		r, ok := m.attempt(ctx, w.target.Target)
		if !ok {
			return
		}
		m.note(w, r, time.Now())
	}
}

// attempt probes in a lane; ok is false when there is no point any more.
func (m *Monitor) attempt(ctx context.Context, t probe.Target) (r probe.Result, ok bool) {
	select {
	case m.lanes <- struct{}{}:
		defer func() { <-m.lanes }()
	case <-ctx.Done():
		return r, false
	}
	r = m.probe(ctx, t)
	return r, ctx.Err() == nil // cut short is not failed
}

// note takes up one probe's result.
func (m *Monitor) note(w *watch, r probe.Result, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next, changed := verdict.Next(w.status, r.OK, now)
	news := changed || (next.Known && !next.Healthy && !r.OK && r.Evidence != w.evidence)
	w.status = next
	if r.Answered && w.answered.IsZero() {
		w.answered = now
	}
	if r.OK == next.Healthy || changed {
		w.evidence = r.Evidence
	}
	if news && !w.dropped {
		m.changed(w.target.ID)
	}
}

// first spreads the known ones, so that a restarted monitor does not probe the
// whole platform in one instant; a new one is probed at once.
func (m *Monitor) first(w *watch) time.Duration {
	if w.target.Known && w.target.Healthy {
		return rand.N(runningEvery)
	}
	return 0
}

func (m *Monitor) every(w *watch) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.status.Starting() {
		return startingEvery
	}
	return runningEvery - rand.N(runningEvery/10)
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
