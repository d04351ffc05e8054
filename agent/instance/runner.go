package instance

import (
	"context"
	"reflect"
	"time"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// add, wake and spawn need mu.

func (s *Set) add(r journal.Record) *entry {
	e := &entry{rec: r, poke: make(chan struct{}, 1)}
	s.entries[r.Spec.InstanceID] = e
	return e
}

// wake makes sure that a runner looks at the entry after this moment.
func (s *Set) wake(e *entry) {
	e.poked = true
	if e.busy {
		select {
		case e.poke <- struct{}{}:
		default:
		}
		return
	}
	e.busy = true
	s.spawn(Job{Runner: &Runner{set: s, e: e}})
}

func (s *Set) spawn(j Job) {
	s.jobs = append(s.jobs, j)
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Job is work that came up in a Set: an instance to be stepped, or the container
// of one that is over to be removed.
type Job struct {
	Runner *Runner // nil for a removal
	Remove string  // instance id
}

// Jobs returns what came up since it was last asked; it is to be begun at once.
func (s *Set) Jobs() []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := s.jobs
	s.jobs = nil
	return jobs
}

// Runner takes one instance from step to step: Begin, questions to the engine
// until the Move has none, End; or Drop, when the step was cut short. One
// shell at a time works with it.
type Runner struct {
	set *Set
	e   *entry
}

// Begin takes up the orders for the instance and begins a step. A stop that comes
// while the image is being pulled calls interrupt, because a pull may last for
// minutes.
func (n *Runner) Begin(now time.Time, interrupt func()) Move {
	s, e := n.set, n.e
	s.mu.Lock()
	defer s.mu.Unlock()
	e.poked = false
	if e.stop != nil {
		e.rec.Stop, e.stop = e.stop, nil
	}
	if e.spec != nil {
		e.rec.Spec, e.rec.Adopted, e.spec, e.unsaved = *e.spec, false, nil, true
		e.rec.Status.Singleton = e.rec.Spec.Singleton
		s.changed(e.rec.Spec.InstanceID)
	}
	if e.rec.Status.Phase == model.PhasePulling && !e.rec.Pulled && e.rec.Stop == nil {
		e.interrupt = interrupt
	}
	return Next(e.rec, now)
}

// Drop ends a step that was cut short: what a cut-off question returned is no
// knowledge. Nothing is lost: the journal holds the intent, and the engine can
// be asked.
func (n *Runner) Drop() {
	n.set.mu.Lock()
	defer n.set.mu.Unlock()
	n.e.interrupt = nil
}

// End notes what a step came to, in the journal first. It returns how long to
// wait before the next Begin, unless Poked says otherwise; more is false when
// nothing is left to do, and the Runner is over.
func (n *Runner) End(m Move) (pause time.Duration, more bool) {
	n.Drop()
	if !n.set.commit(n.e, m.Record) {
		return retryIn, true
	}
	if m.Wait < 0 {
		return 0, !n.set.idle(n.e)
	}
	return m.Wait, true
}

// Poked is sent to when there is a reason to look at the instance again.
func (n *Runner) Poked() <-chan struct{} { return n.e.poke }

// run is the goroutine of a Runner.
func (s *Set) run(ctx context.Context, n *Runner) {
	for ctx.Err() == nil {
		now := time.Now()
		sctx, cancel := context.WithCancel(ctx)
		m := s.driver.finish(sctx, n.Begin(now, cancel), now)
		cut := sctx.Err() != nil
		cancel()
		if cut {
			n.Drop()
			continue
		}
		pause, more := n.End(m)
		if !more {
			return
		}
		if pause > 0 {
			await(ctx, n.e, pause)
		}
	}
}

// remove is the goroutine of a removal.
func (s *Set) remove(ctx context.Context, id string) {
	err := s.driver.do(ctx, runtime.Spec{InstanceID: id}, Call{Op: OpRemove}).Err
	if err != nil && ctx.Err() == nil {
		s.log.Warn("container of a gone instance not removed", "instance", id, "err", err)
	}
}

// commit writes the record, then lets it be reported: in this order, so that a
// phase that was reported is never forgotten. It returns false when the record
// holds an intent that could not be written: then it must not be acted upon. An
// observation stays true whether it is written or not.
func (s *Set) commit(e *entry, next journal.Record) bool {
	s.mu.Lock()
	old, unsaved := e.rec, e.unsaved
	e.unsaved = false
	s.mu.Unlock()
	if !unsaved && reflect.DeepEqual(old, next) {
		return true
	}
	if err := s.journal.Put(next, lasting(next)); err != nil {
		s.log.Error("journal not written", "instance", next.Spec.InstanceID, "err", err)
		if next.Status.Phase == model.PhaseStarting {
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.rec = next
	if !reflect.DeepEqual(old.Status, next.Status) {
		s.announce(old, next)
	}
	return true
}

// lasting reports whether the record must survive the machine's sudden end. The
// phases between the order and the first start need not: the engine tells
// them, and asking it twice does no harm. Neither must running: no process
// survives that end.
func lasting(r journal.Record) bool {
	switch r.Status.Phase {
	case model.PhasePulling, model.PhaseCreated, model.PhaseRunning:
		return r.Stop != nil || r.End != nil
	}
	return true
}

func (s *Set) announce(old, next journal.Record) {
	s.changed(next.Spec.InstanceID)
	if old.Status.Phase == next.Status.Phase {
		return
	}
	st := next.Status
	attrs := []any{"instance", st.ID, "app", next.Spec.AppName, "phase", st.Phase.String()}
	switch {
	case st.Phase == model.PhaseGone:
		s.log.Info("instance gone", append(attrs, "gone", st.Gone, "code", st.Code, "why", st.Message)...)
	case st.Phase == model.PhaseRunning:
		s.log.Info("instance running", append(attrs, "addr", st.Addr)...)
	default:
		s.log.Debug("instance moved on", attrs...)
	}
}

// idle ends the runner unless something came up meanwhile.
func (s *Set) idle(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.poked {
		return false
	}
	e.busy = false
	return true
}

// await waits for d, or until the entry is poked.
func await(ctx context.Context, e *entry, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-e.poke:
	case <-ctx.Done():
	}
}
