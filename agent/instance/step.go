// Package instance brings instances from what the leader asked for to what the
// engine runs. What comes next for one instance is decided by two pure functions
// over values: Next says what to ask the engine for, Take what its answer means.
// The Set holds all instances of a node, and all of it is in the journal; who
// asks the engine and who waits is a shell around both: goroutines in the agent
// (Run), a scheduler of virtual time in the simulator.
//
// Phases only move forward. An answer the engine did not give is never taken
// for an end: only "no such container" and "its process ended" are.
package instance

import (
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// When a Move says to step again, beside any time.
const (
	rest    = time.Duration(-1) // nothing to do until something happens
	atOnce  = time.Duration(0)
	settle  = 20 * time.Millisecond // the engine has done it, and is about to say so
	retryIn = time.Second           // the engine is away
)

// maxTries is how often the engine may refuse before the instance has failed.
// Transient refusals (a registry that restarts) pass; others cost seconds.
const maxTries = 3

// Op names what the engine is asked for.
type Op int

// The calls of a step.
const (
	OpNone    Op = iota // nothing is asked: the step is over
	OpCreate            // make the container
	OpPull              // bring the image
	OpStart             // start the container
	OpInspect           // tell how it is
	OpStop              // end its process within Call.Grace
	OpRemove            // take the container away
	OpOutput            // the last lines it printed
)

// Call is one question to the engine about one instance.
type Call struct {
	Op    Op
	Grace time.Duration // with OpStop
}

// Answer is what the engine said to a Call.
type Answer struct {
	Container runtime.Container // of OpCreate and OpInspect
	Lines     []string          // of OpOutput
	Err       error             // runtime's, when it refused or did not answer
}

// Move is one step so far: what is known now, and what to ask next or, with
// OpNone, when to step again; a negative Wait means not before something happens.
// The Record counts only once no question is open.
type Move struct {
	Record journal.Record
	Call   Call
	Wait   time.Duration
}

func ask(r journal.Record, op Op) Move { return Move{Record: r, Call: Call{Op: op}} }

func wait(r journal.Record, d time.Duration) Move { return Move{Record: r, Wait: d} }

// Next begins the step that comes next for an instance.
func Next(r journal.Record, now time.Time) Move {
	switch {
	case r.Status.Phase == model.PhaseGone:
		return wait(r, rest)
	case r.End != nil:
		return ask(r, OpRemove)
	case r.Stop != nil:
		return ask(r, OpInspect)
	}
	switch r.Status.Phase {
	case model.PhaseAssigned, model.PhaseAccepted:
		return ask(r, OpCreate)
	case model.PhasePulling:
		if r.Pulled {
			return ask(r, OpCreate)
		}
		return ask(r, OpPull)
	case model.PhaseCreated:
		if r.Adopted {
			return ask(r, OpInspect)
		}
		return wait(advance(r, model.PhaseStarting), atOnce)
	case model.PhaseStarting:
		return ask(r, OpStart)
	}
	return ask(r, OpInspect)
}

// Take goes on with a step when the engine has answered c, which a Move of r asked.
func Take(r journal.Record, c Call, a Answer, now time.Time) Move {
	switch c.Op {
	case OpCreate:
		return created(r, a)
	case OpPull:
		return pulled(r, a)
	case OpStart:
		return started(r, a)
	case OpInspect:
		if r.Stop != nil {
			return stopping(r, a, now)
		}
		return inspected(r, a)
	case OpStop:
		return signalled(r, a)
	case OpRemove:
		return removed(r, a)
	case OpOutput:
		return read(r, a)
	}
	return wait(r, rest)
}

// advance moves the phase, never back.
func advance(r journal.Record, p model.Phase) journal.Record {
	r.Status.Phase = max(r.Status.Phase, p)
	r.Status.Code, r.Status.Message = "", ""
	return r
}

// created: the container is asked for before the image; most often the image is
// there, and if not the engine says so.
func created(r journal.Record, a Answer) Move {
	switch {
	case errors.Is(a.Err, runtime.ErrAway):
		return wait(waiting(r, a.Err), retryIn) // it may exist: the same call again finds it
	case errors.Is(a.Err, runtime.ErrNoImage):
		return unpulled(r, a.Err)
	case a.Err != nil:
		return wait(failed(r, model.CodeStartFailed, "create container: %v", a.Err), atOnce)
	}
	r = advance(r, model.PhaseCreated)
	r.Status.Container, r.Status.CreatedAt = a.Container.ID, a.Container.CreatedAt
	return wait(r, atOnce)
}

// unpulled goes for the image; when it has been pulled just now, something on
// the host removes images as fast as we bring them.
func unpulled(r journal.Record, err error) Move {
	r = advance(r, model.PhasePulling)
	if !r.Pulled {
		return wait(r, atOnce)
	}
	r.Pulled = false
	if r.Tries++; r.Tries >= maxTries {
		return wait(failed(r, model.CodePullFailed, "the image was pulled and is gone again: %v", err), atOnce)
	}
	return wait(r, retryIn)
}

func pulled(r journal.Record, a Answer) Move {
	switch {
	case a.Err == nil:
		r = advance(r, model.PhasePulling)
		r.Pulled = true
		return wait(r, atOnce)
	case errors.Is(a.Err, runtime.ErrAway):
		return wait(waiting(r, a.Err), retryIn)
	}
	r.Tries++
	if r.Tries >= maxTries {
		return wait(failed(r, model.CodePullFailed, "pull image: %v (tried %d times)", a.Err, r.Tries), atOnce)
	}
	r.Status.Code = model.CodePullFailed
	r.Status.Message = fmt.Sprintf("pull image: %v (try %d of %d)", a.Err, r.Tries, maxTries)
	return wait(r, time.Second<<(2*(r.Tries-1)))
}

// started: whether it took, and where the instance can be reached, is asked next.
func started(r journal.Record, a Answer) Move {
	switch {
	case errors.Is(a.Err, runtime.ErrAway):
		return wait(waiting(r, a.Err), retryIn)
	case a.Err != nil && !errors.Is(a.Err, runtime.ErrNotFound):
		return ask(failed(r, model.CodeStartFailed, "start container: %v", a.Err), OpOutput)
	}
	return ask(r, OpInspect)
}

// inspected concludes from how a container is that nobody asked to stop.
func inspected(r journal.Record, a Answer) Move {
	switch {
	case errors.Is(a.Err, runtime.ErrNotFound), errors.Is(a.Err, runtime.ErrForeign):
		r.End = &journal.End{Gone: model.GoneLost, Code: model.CodeCrashed, Message: "its container was removed by someone else"}
		return ask(gone(r), OpOutput)
	case a.Err != nil:
		return wait(waiting(r, a.Err), retryIn)
	case a.Container.State == runtime.Running:
		return wait(running(r, a.Container), rest)
	case a.Container.State == runtime.Exited:
		return ask(ended(r, a.Container), OpOutput)
	case r.Adopted:
		return wait(r, rest)
	}
	// Created: the start did not take.
	r.Tries++
	if r.Tries >= maxTries {
		return wait(failed(r, model.CodeStartFailed, "the engine does not start the container: %s", a.Container.Error), atOnce)
	}
	return wait(r, retryIn)
}

func running(r journal.Record, c runtime.Container) journal.Record {
	if r.Status.Phase <= model.PhaseRunning {
		r = advance(r, model.PhaseRunning)
	}
	r.Status.Container, r.Status.Addr, r.Status.CreatedAt, r.Status.StartedAt = c.ID, c.Addr, c.CreatedAt, c.StartedAt
	return r
}

// removed: when the engine refuses to remove a container, the instance is gone
// all the same: its process is not there any more, and the Set tries again with
// each list.
func removed(r journal.Record, a Answer) Move {
	if errors.Is(a.Err, runtime.ErrAway) {
		return wait(r, retryIn)
	}
	return wait(gone(r), rest)
}

// read adds the last lines to how it ended; without a container nothing is left
// to do.
func read(r journal.Record, a Answer) Move {
	if r.Status.Phase == model.PhaseGone {
		r.Status.Logs = a.Lines
		return wait(r, rest)
	}
	end := *r.End
	end.Logs = a.Lines
	r.End = &end
	return wait(r, atOnce)
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
