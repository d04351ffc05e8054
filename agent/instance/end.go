package instance

import (
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// maxDrain is the longest drain there is; more than that left is a clock that
// jumped back.
const maxDrain = time.Hour

// stopping brings an instance down, as far as its container's state says: drain,
// stop signal, grace, kill.
func stopping(r journal.Record, a Answer, now time.Time) Move {
	switch {
	case errors.Is(a.Err, runtime.ErrNotFound), errors.Is(a.Err, runtime.ErrForeign):
		made := r.Status.Phase >= model.PhaseCreated
		r.End = &journal.End{Gone: model.GoneExited, Message: stopped(r)}
		if r = gone(r); made {
			return ask(r, OpOutput)
		}
		return wait(r, rest)
	case a.Err != nil:
		return wait(waiting(r, a.Err), retryIn)
	case a.Container.State != runtime.Running:
		return ask(ended(r, a.Container), OpOutput)
	}
	r.Status.Container = a.Container.ID
	if left := r.Stop.DrainUntil.Sub(now); r.Status.Phase <= model.PhaseDraining && left > 0 && left <= maxDrain {
		return wait(advance(r, model.PhaseDraining), left)
	}
	return kill(r, now)
}

// kill sends the signal once the phase says so; the grace left is counted from
// the first signal, also across the agent's own restart.
func kill(r journal.Record, now time.Time) Move {
	if r.Status.Phase < model.PhaseStopping || r.Stop.KillAt.IsZero() {
		r = advance(r, model.PhaseStopping)
		order := *r.Stop
		order.KillAt = now.Add(order.Grace)
		r.Stop = &order
		return wait(r, atOnce)
	}
	left := min(max(0, r.Stop.KillAt.Sub(now)), r.Stop.Grace)
	return Move{Record: r, Call: Call{Op: OpStop, Grace: left}}
}

func signalled(r journal.Record, a Answer) Move {
	if a.Err != nil {
		return wait(waiting(r, a.Err), retryIn)
	}
	return wait(r, settle)
}

// ended notes how a container's process ended.
func ended(r journal.Record, c runtime.Container) journal.Record {
	e := journal.End{Gone: model.GoneExited, ExitCode: c.ExitCode, Code: model.CodeCrashed}
	switch {
	case r.Stop != nil:
		e.Code, e.Message = "", stopped(r)
	case c.State == runtime.Created:
		e.Gone, e.Code, e.Message = model.GoneFailed, model.CodeStartFailed, c.Error
	case c.OOM:
		e.Gone = model.GoneOOM
		e.Message = fmt.Sprintf("killed for using more than its %d MiB of memory", r.Spec.MemoryMiB)
	default:
		e.Message = fmt.Sprintf("its process ended with exit code %d%s", c.ExitCode, codeMeaning(c.ExitCode))
	}
	r.End = &e
	return toEnd(r)
}

// toEnd lets the leader know at once that the instance serves no more, while
// its container is still being removed.
func toEnd(r journal.Record) journal.Record {
	r = advance(r, model.PhaseStopping)
	r.Status.Code, r.Status.Message = r.End.Code, r.End.Message
	return r
}

// failed notes an end before the process ran.
func failed(r journal.Record, code model.Code, format string, args ...any) journal.Record {
	r.End = &journal.End{Gone: model.GoneFailed, Code: code, Message: fmt.Sprintf(format, args...)}
	return toEnd(r)
}

func stopped(r journal.Record) string {
	if r.Stop.Reason == "" {
		return "stopped"
	}
	return "stopped: " + r.Stop.Reason
}

func codeMeaning(code int) string {
	switch code {
	case 126:
		return " (the command cannot be executed)"
	case 127:
		return " (the command was not found)"
	case 137:
		return " (killed)"
	case 139:
		return " (segmentation fault)"
	case 143:
		return " (terminated)"
	}
	return ""
}

// order makes a stop of what the leader asked; a later one can only shorten the
// drain, and, before the signal is sent, the grace.
func order(old *journal.Stop, drain, grace time.Duration, reason string, now time.Time) *journal.Stop {
	next := journal.Stop{DrainUntil: now.Add(drain), Grace: grace, Reason: reason}
	if old == nil {
		return &next
	}
	if !next.DrainUntil.Before(old.DrainUntil) {
		return old
	}
	o := *old
	o.DrainUntil = next.DrainUntil
	if o.KillAt.IsZero() {
		o.Grace = min(o.Grace, next.Grace)
	}
	return &o
}
