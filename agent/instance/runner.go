package instance

import (
	"context"
	"reflect"
	"time"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/common/model"
)

// add, wake and takeJobs need mu, unless said otherwise.

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
	s.spawn(func(ctx context.Context) { s.run(ctx, e) })
}

func (s *Set) spawn(job func(context.Context)) {
	s.jobs = append(s.jobs, job)
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// takeJobs takes mu itself.
func (s *Set) takeJobs() []func(context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := s.jobs
	s.jobs = nil
	return jobs
}

// run is an instance's runner: it steps until there is nothing to do.
func (s *Set) run(ctx context.Context, e *entry) {
	for ctx.Err() == nil {
		r, sctx, done := s.begin(ctx, e)
		next, again := Step(sctx, s.driver, r, time.Now())
		interrupted := sctx.Err() != nil
		done()
		if interrupted {
			// What a cut-off step returned is no knowledge. Nothing is lost: the
			// journal holds the intent, and the engine can be asked.
			continue
		}
		if !s.commit(e, next) {
			again = retryIn
		}
		switch {
		case again < 0 && s.idle(e):
			return
		case again > 0:
			await(ctx, e, again)
		}
	}
}

// begin takes up the orders for an entry and returns its record, and a context
// for one step: a stop cuts a pull short, because it may last for minutes.
func (s *Set) begin(ctx context.Context, e *entry) (journal.Record, context.Context, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.poked = false
	if e.stop != nil {
		e.rec.Stop, e.stop = e.stop, nil
	}
	if e.spec != nil {
		e.rec.Spec, e.rec.Adopted, e.spec = *e.spec, false, nil
	}
	r := e.rec
	ctx, cancel := context.WithCancel(ctx)
	if r.Status.Phase == model.PhasePulling && r.Stop == nil {
		e.interrupt = cancel
	}
	return r, ctx, func() {
		s.mu.Lock()
		e.interrupt = nil
		s.mu.Unlock()
		cancel()
	}
}

// commit writes the record, then lets it be reported: in this order, so that a
// phase that was reported is never forgotten. It returns false when the record
// holds an intent that could not be written: then it must not be acted upon. An
// observation stays true whether it is written or not.
func (s *Set) commit(e *entry, next journal.Record) bool {
	s.mu.Lock()
	old := e.rec
	s.mu.Unlock()
	if reflect.DeepEqual(old, next) {
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
