package instance

import (
	"context"
	"errors"
	"fmt"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Reconcile compares the set with the engine's list. The list only raises
// questions: an end is concluded by a runner that has inspected the container,
// because a list is old the moment it is there.
func (s *Set) Reconcile(ctx context.Context, list []runtime.Container) error {
	listed := make(map[string]bool, len(list))
	var unknown []runtime.Container
	s.mu.Lock()
	for _, c := range list {
		listed[c.InstanceID] = true
		if e := s.entries[c.InstanceID]; e != nil {
			s.compare(e, c)
		} else {
			unknown = append(unknown, c)
		}
	}
	for id, e := range s.entries {
		if !listed[id] && watched(e) {
			s.wake(e)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, c := range unknown {
		errs = append(errs, s.adopt(ctx, c))
	}
	return errors.Join(errs...)
}

// compare needs mu.
func (s *Set) compare(e *entry, c runtime.Container) {
	switch {
	case e.rec.Status.Phase == model.PhaseGone:
		s.removeLater(c.InstanceID) // an earlier removal failed, or a create took effect after all
	case e.rec.Status.Phase == model.PhaseRunning && c.State == runtime.Running && c.Addr == e.rec.Status.Addr:
	case watched(e):
		s.wake(e)
	}
}

// removeLater needs mu. The container is proven to be over: its instance was
// reported gone, or the leader had it stopped.
func (s *Set) removeLater(id string) {
	s.spawn(func(ctx context.Context) {
		err := s.driver.removals.do(ctx, func() error { return s.driver.Runtime.Remove(ctx, id) })
		if err != nil && ctx.Err() == nil {
			s.log.Warn("container of a gone instance not removed", "instance", id, "err", err)
		}
	})
}

// adopt takes up a container that carries our label and that the journal does
// not know: it is reported, and the leader decides.
func (s *Set) adopt(ctx context.Context, c runtime.Container) error {
	if s.journal.Buried(c.InstanceID) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.removeLater(c.InstanceID)
		return nil
	}
	if !journal.ValidID(c.InstanceID) {
		return nil
	}
	c, err := s.driver.Runtime.Inspect(ctx, c.InstanceID)
	if errors.Is(err, runtime.ErrNotFound) || errors.Is(err, runtime.ErrForeign) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("adopt %s: %w", c.InstanceID, err)
	}
	r := adopted(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[c.InstanceID] != nil {
		return nil // a start of it came in meanwhile
	}
	if err := s.journal.Put(r, true); err != nil {
		return fmt.Errorf("adopt %s: %w", c.InstanceID, err)
	}
	s.log.Warn("container adopted", "instance", c.InstanceID, "app_id", c.AppID)
	s.wake(s.add(r))
	s.changed(c.InstanceID)
	return nil
}

func adopted(c runtime.Container) journal.Record {
	r := journal.Record{
		Spec: runtime.Spec{
			InstanceID: c.InstanceID, AppID: c.AppID, ReleaseID: c.ReleaseID, Hash: c.SpecHash,
			MemoryMiB: c.MemoryMiB, CPUMilli: c.CPUMilli,
		},
		Status:  model.Observed{ID: c.InstanceID, Phase: model.PhaseCreated, Container: c.ID},
		Adopted: true,
	}
	if c.State == runtime.Running {
		r.Status.Phase, r.Status.Addr, r.Status.StartedAt = model.PhaseRunning, c.Addr, c.StartedAt
	}
	return r
}
