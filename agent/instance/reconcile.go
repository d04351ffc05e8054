package instance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Reconcile compares the set with the engine's list, and takes up what the
// journal does not know.
func (s *Set) Reconcile(ctx context.Context, list []runtime.Container) error {
	var errs []error
	for _, id := range s.Compare(list) {
		c, err := s.driver.Runtime.Inspect(ctx, id)
		errs = append(errs, s.Adopt(id, c, err))
	}
	return errors.Join(errs...)
}

// Compare compares the set with the engine's list. The list only raises
// questions: an end is concluded by a runner that has inspected the container,
// because a list is old the moment it is there. It returns the instances that the
// journal does not know, or not any more: they are to be inspected, for Adopt.
func (s *Set) Compare(list []runtime.Container) (unknown []string) {
	listed := make(map[string]bool, len(list))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range list {
		listed[c.InstanceID] = true
		if e := s.entries[c.InstanceID]; e != nil {
			s.compare(e, c)
		} else if s.journal.Buried(c.InstanceID) {
			s.removeLater(c.InstanceID)
		} else if journal.ValidID(c.InstanceID) {
			unknown = append(unknown, c.InstanceID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.entries)) {
		if e := s.entries[id]; !listed[id] && watched(e) {
			s.wake(e)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.dark)) {
		if s.entries[id] != nil {
			delete(s.dark, id)
		} else if !listed[id] {
			unknown = append(unknown, id)
		}
	}
	return unknown
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
func (s *Set) removeLater(id string) { s.spawn(Job{Remove: id}) }

// Adopt takes up a container that carries our label and that the journal does
// not know: it is reported, and the leader decides. c and err are what an Inspect
// of it said. An instance that was given, and has no container, is lost: were it
// begun again, its id would have had two.
func (s *Set) Adopt(id string, c runtime.Container, err error) error {
	none := errors.Is(err, runtime.ErrNotFound) || errors.Is(err, runtime.ErrForeign)
	if err != nil && !none {
		return fmt.Errorf("adopt %s: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[id] != nil || none && !s.dark[id] {
		return nil // a start or a stop of it came in meanwhile, or it is gone again
	}
	r := lost(id)
	if !none {
		r = adopted(c)
		if s.journal.Buried(id) {
			s.removeLater(id) // a stop of it came in and was forgotten meanwhile
			return nil
		}
	}
	if err := s.journal.Put(r, true); err != nil {
		return fmt.Errorf("adopt %s: %w", id, err)
	}
	delete(s.dark, id)
	s.log.Warn("instance taken up without a record", "instance", id, "app_id", c.AppID, "phase", r.Status.Phase)
	s.wake(s.add(r))
	s.changed(id)
	return nil
}

// lost is an instance of which there is neither record nor container any more.
func lost(id string) journal.Record {
	return journal.Record{Spec: runtime.Spec{InstanceID: id}, Status: model.Observed{
		ID: id, Phase: model.PhaseGone, Gone: model.GoneLost, Code: model.CodeCrashed,
		Message: "the agent's record of it cannot be read, and it has no container",
	}}
}

func adopted(c runtime.Container) journal.Record {
	r := journal.Record{
		Spec: runtime.Spec{
			InstanceID: c.InstanceID, AppID: c.AppID, ReleaseID: c.ReleaseID, Hash: c.SpecHash,
			MemoryMiB: c.MemoryMiB, CPUMilli: c.CPUMilli,
		},
		Status:  model.Observed{ID: c.InstanceID, Phase: model.PhaseCreated, Container: c.ID, CreatedAt: c.CreatedAt},
		Adopted: true,
	}
	if c.State == runtime.Running {
		r.Status.Phase, r.Status.Addr, r.Status.StartedAt = model.PhaseRunning, c.Addr, c.StartedAt
	}
	return r
}
