package instance

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Config says how much a node may take on.
type Config struct {
	MemoryMiB int64
	CPUMilli  int64
	// Permitted says why no singleton may be begun, or ""; nil: they may.
	Permitted func(now time.Time) string
}

// Set is all instances of one node. The leader's orders go in, what is observed
// comes out; in between one runner works for each instance that has something
// to do. An instance that just runs costs no goroutine.
type Set struct {
	cfg     Config
	driver  *Driver
	journal *journal.Journal
	log     *slog.Logger
	changed func(id string) // called with mu held: it must only take a note

	kick chan struct{} // size 1: jobs is not empty

	mu      sync.Mutex // guards jobs, entries, dark and all in them
	jobs    []Job
	entries map[string]*entry
	dark    map[string]bool // ids that were given, of which no more is known until the engine was asked
}

// entry is one instance. Once it exists only its runner writes rec; orders
// wait in stop and spec until the runner takes them up.
type entry struct {
	rec       journal.Record
	stop      *journal.Stop
	spec      *runtime.Spec // of an adopted one, once the leader tells it
	busy      bool          // has a runner, or is about to
	poked     bool          // look again before resting
	unsaved   bool          // rec holds what the journal does not
	poke      chan struct{} // size 1: wakes a runner that waits
	interrupt func()
}

// New returns an empty set. changed is called with the id of each instance of
// which something new is known; it must not call back.
func New(cfg Config, d *Driver, j *journal.Journal, changed func(id string), log *slog.Logger) *Set {
	return &Set{
		cfg: cfg, driver: d, journal: j, log: log, changed: changed,
		kick: make(chan struct{}, 1), entries: map[string]*entry{}, dark: map[string]bool{},
	}
}

// Load takes up what the journal holds, after a start of the agent.
func (s *Set) Load() error {
	records, err := s.journal.Records()
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		if r.Unreadable {
			s.dark[r.Spec.InstanceID] = true
			continue
		}
		e := s.add(r)
		if r.Status.Phase != model.PhaseGone {
			s.wake(e)
		}
	}
	return nil
}

// Run lets the runners work until ctx ends, and returns when all have stopped.
// The containers stay as they are.
func (s *Set) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.kick:
			for _, job := range s.Jobs() {
				if job.Runner != nil {
					wg.Go(func() { s.run(ctx, job.Runner) })
				} else {
					wg.Go(func() { s.remove(ctx, job.Remove) })
				}
			}
		}
	}
}

// Start obeys a start order. It is idempotent by the instance's id: a known one
// is only reported again, and one with a tombstone is refused.
func (s *Set) Start(spec runtime.Spec, now time.Time) {
	id := spec.InstanceID
	if !journal.ValidID(id) {
		s.log.Error("start of an impossible id refused", "instance", id)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil {
		s.again(e, spec)
		return
	}
	if s.dark[id] {
		return // it was begun once already; what the engine says of it is told then
	}
	r := journal.Record{Spec: spec, Status: model.Observed{ID: id, Phase: model.PhaseAccepted, Singleton: spec.Singleton}}
	if s.journal.Buried(id) {
		r = reject(r, "", "it was stopped before this start arrived")
	} else if why := s.admit(spec); why != "" {
		r = reject(r, model.CodeNoMemory, why)
	} else if why := s.unpermitted(spec, now); why != "" {
		r = reject(r, model.CodeCutOff, why)
	}
	// The record is the intent: on disk before the engine is asked anything.
	if err := s.journal.Put(r, true); err != nil {
		s.log.Error("journal not written", "instance", id, "err", err)
		r = reject(r, model.CodeInternal, "the agent cannot write its journal: "+err.Error())
	}
	s.changed(id)
	if e := s.add(r); r.Status.Phase != model.PhaseGone {
		s.wake(e)
	}
}

// again answers a start of a known instance: the sender did not know its state.
func (s *Set) again(e *entry, spec runtime.Spec) {
	if (e.rec.Adopted || e.rec.Spec.Singleton != spec.Singleton) && e.rec.Status.Phase != model.PhaseGone {
		e.spec = &spec
		s.wake(e)
	}
	s.changed(spec.InstanceID)
}

// unpermitted returns why a singleton may not be begun: its start has been so long
// on its way that another may have been placed elsewhere (rule R11).
func (s *Set) unpermitted(spec runtime.Spec, now time.Time) string {
	if !spec.Singleton || s.cfg.Permitted == nil {
		return ""
	}
	return s.cfg.Permitted(now)
}

// Singletons returns the ids of those that are not gone.
func (s *Set) Singletons() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for id, e := range s.entries {
		if e.rec.Status.Phase != model.PhaseGone && (e.rec.Spec.Singleton || e.spec != nil && e.spec.Singleton) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// admit returns why the node has no room, or "" (rule R16). Only sums of what
// was promised count: what happens to be free at the moment says nothing.
func (s *Set) admit(spec runtime.Spec) string {
	memory, cpu := s.reserved()
	if spec.MemoryMiB <= 0 || spec.CPUMilli < 0 {
		return fmt.Sprintf("%d MiB and %d CPU thousandths are no sizes", spec.MemoryMiB, spec.CPUMilli)
	}
	if memory+spec.MemoryMiB > s.cfg.MemoryMiB {
		return fmt.Sprintf("%d MiB asked, %d of %d MiB left on this node", spec.MemoryMiB, max(0, s.cfg.MemoryMiB-memory), s.cfg.MemoryMiB)
	}
	if spec.CPUMilli > 0 && cpu+spec.CPUMilli > s.cfg.CPUMilli {
		return fmt.Sprintf("%d CPU thousandths asked, %d of %d left on this node", spec.CPUMilli, max(0, s.cfg.CPUMilli-cpu), s.cfg.CPUMilli)
	}
	return ""
}

func reject(r journal.Record, code model.Code, why string) journal.Record {
	r.Status.Phase, r.Status.Gone = model.PhaseGone, model.GoneRejected
	r.Status.Code, r.Status.Message = code, why
	return r
}

// Stop obeys a stop order. Of an unknown instance it leaves a tombstone, so
// that a start that was overtaken is refused (rule R3).
func (s *Set) Stop(id string, drain, grace time.Duration, reason string, now time.Time) {
	if !journal.ValidID(id) {
		s.log.Error("stop of an impossible id refused", "instance", id)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		s.stopUnknown(id, now)
		return
	}
	s.changed(id)
	if e.rec.Status.Phase == model.PhaseGone {
		return
	}
	old := e.stop
	if old == nil {
		old = e.rec.Stop
	}
	e.stop = order(old, drain, grace, reason, now)
	if e.interrupt != nil {
		e.interrupt()
	}
	s.wake(e)
}

func (s *Set) stopUnknown(id string, now time.Time) {
	if err := s.journal.Bury(id, now); err != nil {
		s.log.Error("tombstone not written", "instance", id, "err", err)
		return // not reported gone: the leader asks again
	}
	r := journal.Record{Spec: runtime.Spec{InstanceID: id}, Status: model.Observed{ID: id}}
	r = reject(r, "", "not known on this node; a late start of it will be refused")
	if err := s.journal.Put(r, true); err != nil {
		s.log.Error("journal not written", "instance", id, "err", err)
	}
	s.add(r)
	s.changed(id)
}

// Forget drops what is remembered of gone instances, but for a tombstone.
func (s *Set) Forget(ids []string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		e := s.entries[id]
		if e == nil || e.rec.Status.Phase != model.PhaseGone {
			continue
		}
		if err := s.journal.Forget(id, now); err != nil {
			s.log.Error("journal not written", "instance", id, "err", err)
			continue
		}
		delete(s.entries, id)
		s.changed(id)
	}
}

// Poke says that something may have happened to an instance's container.
func (s *Set) Poke(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil && watched(e) {
		s.wake(e)
	}
}

// watched reports whether a change of the container is news: in the phases
// before and after, the runner is at work on it anyhow.
func watched(e *entry) bool {
	p := e.rec.Status.Phase
	return p == model.PhaseRunning || p == model.PhaseDraining || (e.rec.Adopted && p != model.PhaseGone)
}

// Snapshot returns what is known of every instance, by id.
func (s *Set) Snapshot() []model.Observed {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]model.Observed, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, e.rec.Status)
	}
	slices.SortFunc(out, func(a, b model.Observed) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Find returns what is known of one instance.
func (s *Set) Find(id string) (model.Observed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		return model.Observed{}, false
	}
	return e.rec.Status, true
}

// Reserved returns how much is promised to the instances that are not gone.
func (s *Set) Reserved() (memoryMiB, cpuMilli int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserved()
}

// Images returns those of the instances that are not gone.
func (s *Set) Images() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]bool{}
	for _, e := range s.entries {
		if e.rec.Status.Phase != model.PhaseGone && e.rec.Spec.Image != "" {
			out[e.rec.Spec.Image] = true
		}
	}
	return out
}

// Pulling returns how many images are being pulled.
func (s *Set) Pulling() int { return s.driver.gate.pulling() }

func (s *Set) reserved() (memory, cpu int64) {
	for e := range maps.Values(s.entries) {
		if e.rec.Status.Phase != model.PhaseGone {
			memory += e.rec.Spec.MemoryMiB
			cpu += e.rec.Spec.CPUMilli
		}
	}
	return memory, cpu
}
