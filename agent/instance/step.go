// Package instance brings instances from what the leader asked for to what the
// engine runs: Step does one thing for one instance, the Set keeps one runner
// for each instance that has something to do, and all of it in the journal.
//
// Phases only move forward. An answer the engine did not give is never taken
// for an end: only "no such container" and "its process ended" are.
package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Driver is what Step acts through.
type Driver struct {
	Runtime runtime.Runtime
	// Follow begins to keep an instance's output; nil: it is not kept.
	Follow func(id string)
	// Finish returns the last n lines of an ended container; nil: none.
	Finish func(ctx context.Context, id string, n int) []string

	pulls                  *pulls
	starts, removals, asks lane
}

// NewDriver returns a Driver with its lanes.
func NewDriver(rt runtime.Runtime) *Driver {
	return &Driver{
		Runtime: rt, pulls: newPulls(rt.EnsureImage),
		starts: make(lane, startLanes), removals: make(lane, removeLanes), asks: make(lane, askLanes),
	}
}

// What Step returns beside the record: when to come back.
const (
	rest    = time.Duration(-1) // nothing to do until something happens
	atOnce  = time.Duration(0)
	settle  = 20 * time.Millisecond // the engine has done it, and is about to say so
	retryIn = time.Second           // the engine is away
)

// maxTries is how often the engine may refuse before the instance has failed.
// Transient refusals (a registry that restarts) pass; others cost seconds.
const maxTries = 3

// Step does the one thing that comes next for an instance and returns what is
// now known of it, and when to step again.
func Step(ctx context.Context, d *Driver, r journal.Record, now time.Time) (journal.Record, time.Duration) {
	switch {
	case r.Status.Phase == model.PhaseGone:
		return r, rest
	case r.End != nil:
		return remove(ctx, d, r)
	case r.Stop != nil:
		return stop(ctx, d, r, now)
	}
	switch r.Status.Phase {
	case model.PhaseAssigned, model.PhaseAccepted:
		return create(ctx, d, r)
	case model.PhasePulling:
		if r.Pulled {
			return create(ctx, d, r)
		}
		return pull(ctx, d, r)
	case model.PhaseCreated:
		if r.Adopted {
			return check(ctx, d, r)
		}
		return advance(r, model.PhaseStarting), atOnce
	case model.PhaseStarting:
		return start(ctx, d, r)
	}
	return check(ctx, d, r)
}

// advance moves the phase, never back.
func advance(r journal.Record, p model.Phase) journal.Record {
	r.Status.Phase = max(r.Status.Phase, p)
	r.Status.Code, r.Status.Message = "", ""
	return r
}

// create asks for the container before the image: most often the image is
// there, and if not the engine says so.
func create(ctx context.Context, d *Driver, r journal.Record) (journal.Record, time.Duration) {
	var c runtime.Container
	err := d.starts.do(ctx, func() (err error) {
		c, err = d.Runtime.Create(ctx, r.Spec)
		return err
	})
	switch {
	case errors.Is(err, runtime.ErrAway):
		return waiting(r, err), retryIn // it may exist: the same call again finds it
	case errors.Is(err, runtime.ErrNoImage):
		return unpulled(r, err)
	case err != nil:
		return failed(r, model.CodeStartFailed, "create container: %v", err), atOnce
	}
	r = advance(r, model.PhaseCreated)
	r.Status.Container = c.ID
	return r, atOnce
}

// unpulled goes for the image; when it has been pulled just now, something on
// the host removes images as fast as we bring them.
func unpulled(r journal.Record, err error) (journal.Record, time.Duration) {
	r = advance(r, model.PhasePulling)
	if !r.Pulled {
		return r, atOnce
	}
	r.Pulled = false
	if r.Tries++; r.Tries >= maxTries {
		return failed(r, model.CodePullFailed, "the image was pulled and is gone again: %v", err), atOnce
	}
	return r, retryIn
}

// pull brings the image.
func pull(ctx context.Context, d *Driver, r journal.Record) (journal.Record, time.Duration) {
	err := d.pulls.do(ctx, r.Spec.Image)
	switch {
	case err == nil:
		r = advance(r, model.PhasePulling)
		r.Pulled = true
		return r, atOnce
	case errors.Is(err, runtime.ErrAway):
		return waiting(r, err), retryIn
	}
	r.Tries++
	if r.Tries >= maxTries {
		return failed(r, model.CodePullFailed, "pull image: %v (tried %d times)", err, r.Tries), atOnce
	}
	r.Status.Code = model.CodePullFailed
	r.Status.Message = fmt.Sprintf("pull image: %v (try %d of %d)", err, r.Tries, maxTries)
	return r, time.Second << (2 * (r.Tries - 1))
}

// start starts the container and learns where it can be reached.
func start(ctx context.Context, d *Driver, r journal.Record) (journal.Record, time.Duration) {
	err := d.starts.do(ctx, func() error { return d.Runtime.Start(ctx, r.Spec.InstanceID) })
	switch {
	case errors.Is(err, runtime.ErrAway):
		return waiting(r, err), retryIn
	case err != nil && !errors.Is(err, runtime.ErrNotFound):
		r = failed(r, model.CodeStartFailed, "start container: %v", err)
		r.End.Logs = d.finish(ctx, r)
		return r, atOnce
	}
	return check(ctx, d, r)
}

// check asks the engine how the container is.
func check(ctx context.Context, d *Driver, r journal.Record) (journal.Record, time.Duration) {
	c, err := d.inspect(ctx, r)
	switch {
	case errors.Is(err, runtime.ErrNotFound), errors.Is(err, runtime.ErrForeign):
		r.End = &journal.End{
			Gone: model.GoneLost, Code: model.CodeCrashed, Message: "its container was removed by someone else",
			Logs: d.finish(ctx, r),
		}
		return gone(r), rest
	case err != nil:
		return waiting(r, err), retryIn
	case c.State == runtime.Running:
		return running(d, r, c), rest
	case c.State == runtime.Exited:
		return ended(ctx, d, r, c), atOnce
	case r.Adopted:
		return r, rest
	}
	// Created: the start did not take.
	r.Tries++
	if r.Tries >= maxTries {
		return failed(r, model.CodeStartFailed, "the engine does not start the container: %s", c.Error), atOnce
	}
	return r, retryIn
}

func running(d *Driver, r journal.Record, c runtime.Container) journal.Record {
	if r.Status.Phase <= model.PhaseRunning {
		r = advance(r, model.PhaseRunning)
	}
	r.Status.Container, r.Status.Addr, r.Status.StartedAt = c.ID, c.Addr, c.StartedAt
	if d.Follow != nil {
		d.Follow(r.Spec.InstanceID)
	}
	return r
}

// remove takes the container away. When the engine refuses to, the instance is
// gone all the same: its process is not there any more, and the Set tries again
// with each list.
func remove(ctx context.Context, d *Driver, r journal.Record) (journal.Record, time.Duration) {
	err := d.removals.do(ctx, func() error { return d.Runtime.Remove(ctx, r.Spec.InstanceID) })
	if errors.Is(err, runtime.ErrAway) {
		return r, retryIn
	}
	return gone(r), rest
}

func gone(r journal.Record) journal.Record {
	r.Status.Phase = model.PhaseGone
	r.Status.Gone, r.Status.ExitCode = r.End.Gone, r.End.ExitCode
	r.Status.Code, r.Status.Message, r.Status.Logs = r.End.Code, r.End.Message, r.End.Logs
	r.Status.Addr = ""
	r.End = nil
	return r
}

// waiting notes that the engine is away; nothing else is concluded. Of what
// runs already it says nothing: that is the node's condition.
func waiting(r journal.Record, err error) journal.Record {
	if r.Status.Phase < model.PhaseRunning {
		r.Status.Code, r.Status.Message = model.CodeDockerAway, err.Error()
	}
	return r
}

func (d *Driver) inspect(ctx context.Context, r journal.Record) (c runtime.Container, err error) {
	err = d.asks.do(ctx, func() error {
		c, err = d.Runtime.Inspect(ctx, r.Spec.InstanceID)
		return err
	})
	return c, err
}
