package instance

import (
	"context"
	"strings"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Driver asks the engine what steps want to know, in lanes.
type Driver struct {
	Runtime runtime.Runtime
	// Follow begins to keep an instance's output; nil: it is not kept.
	Follow func(id string)
	// Used is called when an image is on the host for an instance; nil: nobody asks.
	Used func(image string)
	// Finish returns the last n lines of an ended container; nil: none.
	Finish func(ctx context.Context, id string, n int) []string

	gate gate
}

// NewDriver returns a Driver of an engine.
func NewDriver(rt runtime.Runtime) *Driver { return &Driver{Runtime: rt} }

// finish asks until a step has no question open.
func (d *Driver) finish(ctx context.Context, m Move, now time.Time) Move {
	for m.Call.Op != OpNone {
		m = Take(m.Record, m.Call, d.do(ctx, m.Record.Spec, m.Call), now)
	}
	if d.Follow != nil && m.Wait < 0 && m.Record.Status.Phase == model.PhaseRunning {
		d.Follow(m.Record.Spec.InstanceID)
	}
	return m
}

// do asks the engine once, when there is room for it.
func (d *Driver) do(ctx context.Context, s runtime.Spec, c Call) (a Answer) {
	a.Err = d.gate.do(ctx, c.Op, s.Image, func(ctx context.Context) (err error) {
		switch c.Op {
		case OpCreate:
			a.Container, err = d.Runtime.Create(ctx, s)
		case OpPull:
			err = d.Runtime.EnsureImage(ctx, s.Image)
		case OpStart:
			err = d.Runtime.Start(ctx, s.InstanceID)
		case OpInspect:
			a.Container, err = d.Runtime.Inspect(ctx, s.InstanceID)
		case OpStop:
			err = d.Runtime.Stop(ctx, s.InstanceID, c.Grace)
		case OpRemove:
			err = d.Runtime.Remove(ctx, s.InstanceID)
		case OpOutput:
			a.Lines = d.output(ctx, s.InstanceID)
		}
		return err
	})
	if (c.Op == OpCreate || c.Op == OpPull) && a.Err == nil && d.Used != nil {
		d.Used(s.Image)
	}
	return a
}

// How much of an app's output goes with its end.
const (
	lastLines    = 50
	lastLineLen  = 500
	lastLinesLen = 8 << 10
)

// output returns the last lines an app printed, cut to what fits in a report.
func (d *Driver) output(ctx context.Context, id string) []string {
	if d.Finish == nil {
		return nil
	}
	lines := d.Finish(ctx, id, lastLines)
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
