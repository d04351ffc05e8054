package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// How much of an app's output goes with its end.
const (
	lastLines    = 50
	lastLineLen  = 500
	lastLinesLen = 8 << 10
)

// maxDrain is the longest drain there is; more than that left is a clock that
// jumped back.
const maxDrain = time.Hour

// stop brings an instance down: drain, stop signal, grace, kill.
func stop(ctx context.Context, d *Driver, r journal.Record, now time.Time) (journal.Record, time.Duration) {
	c, err := d.inspect(ctx, r)
	switch {
	case errors.Is(err, runtime.ErrNotFound), errors.Is(err, runtime.ErrForeign):
		r.End = &journal.End{Gone: model.GoneExited, Message: stopped(r)}
		if r.Status.Phase >= model.PhaseCreated {
			r.End.Logs = d.finish(ctx, r)
		}
		return gone(r), rest
	case err != nil:
		return waiting(r, err), retryIn
	case c.State != runtime.Running:
		return ended(ctx, d, r, c), atOnce
	}
	r.Status.Container = c.ID
	if left := r.Stop.DrainUntil.Sub(now); r.Status.Phase <= model.PhaseDraining && left > 0 && left <= maxDrain {
		return advance(r, model.PhaseDraining), left
	}
	return kill(ctx, d, r, now)
}

// kill sends the signal once the phase says so; the grace left is counted from
// the first signal, also across the agent's own restart.
func kill(ctx context.Context, d *Driver, r journal.Record, now time.Time) (journal.Record, time.Duration) {
	if r.Status.Phase < model.PhaseStopping || r.Stop.KillAt.IsZero() {
		r = advance(r, model.PhaseStopping)
		order := *r.Stop
		order.KillAt = now.Add(order.Grace)
		r.Stop = &order
		return r, atOnce
	}
	left := min(max(0, r.Stop.KillAt.Sub(now)), r.Stop.Grace)
	if err := d.Runtime.Stop(ctx, r.Spec.InstanceID, left); err != nil {
		return waiting(r, err), retryIn
	}
	return r, settle
}

// ended notes how a container's process ended.
func ended(ctx context.Context, d *Driver, r journal.Record, c runtime.Container) journal.Record {
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
	e.Logs = d.finish(ctx, r)
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

// finish returns the last lines an app printed, cut to what fits in a report.
func (d *Driver) finish(ctx context.Context, r journal.Record) []string {
	if d.Finish == nil {
		return nil
	}
	lines := d.Finish(ctx, r.Spec.InstanceID, lastLines)
	total := 0
	for i := len(lines) - 1; i >= 0; i-- {
		lines[i] = clip(lines[i])
		if total += len(lines[i]); total > lastLinesLen {
			return lines[i+1:]
		}
	}
	return lines
}

func clip(s string) string {
	if len(s) > lastLineLen {
		s = s[:lastLineLen] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// order makes a stop of what the leader asked; a later one can only shorten the drain.
func order(old *journal.Stop, drain, grace time.Duration, reason string, now time.Time) *journal.Stop {
	next := journal.Stop{DrainUntil: now.Add(drain), Grace: grace, Reason: reason}
	if old == nil {
		return &next
	}
	if next.DrainUntil.Before(old.DrainUntil) {
		o := *old
		o.DrainUntil = next.DrainUntil
		return &o
	}
	return old
}
