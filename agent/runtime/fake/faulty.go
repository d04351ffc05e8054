package fake

import (
	"context"
	"fmt"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// Op names a call of runtime.Runtime.
type Op string

// The calls that can be made to fail.
const (
	OpInfo    Op = "info"
	OpPull    Op = "pull"
	OpRmImage Op = "remove image"
	OpCreate  Op = "create"
	OpStart   Op = "start"
	OpStop    Op = "stop"
	OpRemove  Op = "remove"
	OpInspect Op = "inspect"
	OpList    Op = "list"
	OpEvents  Op = "events"
	OpLogs    Op = "logs"
)

// Fault is what happens to one call.
type Fault struct {
	Err   error // returned, if set
	After bool  // the call takes effect before Err is returned: the answer is lost
	Hang  bool  // the call blocks until its deadline, and then fails as ErrAway
}

// hangLimit is the deadline that every Runtime has of its own.
const hangLimit = time.Minute

// Faulty passes calls to an engine, or lets them fail as Hook says.
type Faulty struct {
	runtime.Runtime
	// Hook is asked before each call with the instance or image it is about; it
	// may block. It must be safe for concurrent use.
	Hook func(op Op, id string) Fault
}

func (f *Faulty) do(ctx context.Context, op Op, id string, call func() error) error {
	fault := f.Hook(op, id)
	if fault.Hang {
		select {
		case <-ctx.Done():
		case <-time.After(hangLimit):
		}
		return fmt.Errorf("%w: it hangs", runtime.ErrAway)
	}
	if fault.Err == nil {
		return call()
	}
	if fault.After {
		_ = call() // its answer is what gets lost
	}
	return fault.Err
}

// Info implements runtime.Runtime.
func (f *Faulty) Info(ctx context.Context) (info runtime.Info, err error) {
	err = f.do(ctx, OpInfo, "", func() error { info, err = f.Runtime.Info(ctx); return err })
	return info, err
}

// EnsureImage implements runtime.Runtime.
func (f *Faulty) EnsureImage(ctx context.Context, image string) error {
	return f.do(ctx, OpPull, image, func() error { return f.Runtime.EnsureImage(ctx, image) })
}

// RemoveImage implements runtime.Runtime.
func (f *Faulty) RemoveImage(ctx context.Context, image string) error {
	return f.do(ctx, OpRmImage, image, func() error { return f.Runtime.RemoveImage(ctx, image) })
}

// Create implements runtime.Runtime.
func (f *Faulty) Create(ctx context.Context, s runtime.Spec) (c runtime.Container, err error) {
	err = f.do(ctx, OpCreate, s.InstanceID, func() error { c, err = f.Runtime.Create(ctx, s); return err })
	return c, err
}

// Start implements runtime.Runtime.
func (f *Faulty) Start(ctx context.Context, id string) error {
	return f.do(ctx, OpStart, id, func() error { return f.Runtime.Start(ctx, id) })
}

// Stop implements runtime.Runtime.
func (f *Faulty) Stop(ctx context.Context, id string, grace time.Duration) error {
	return f.do(ctx, OpStop, id, func() error { return f.Runtime.Stop(ctx, id, grace) })
}

// Remove implements runtime.Runtime.
func (f *Faulty) Remove(ctx context.Context, id string) error {
	return f.do(ctx, OpRemove, id, func() error { return f.Runtime.Remove(ctx, id) })
}

// Inspect implements runtime.Runtime.
func (f *Faulty) Inspect(ctx context.Context, id string) (c runtime.Container, err error) {
	err = f.do(ctx, OpInspect, id, func() error { c, err = f.Runtime.Inspect(ctx, id); return err })
	return c, err
}

// List implements runtime.Runtime.
func (f *Faulty) List(ctx context.Context) (cs []runtime.Container, err error) {
	err = f.do(ctx, OpList, "", func() error { cs, err = f.Runtime.List(ctx); return err })
	return cs, err
}

// Events implements runtime.Runtime.
func (f *Faulty) Events(ctx context.Context, fn func(runtime.Event)) error {
	return f.do(ctx, OpEvents, "", func() error { return f.Runtime.Events(ctx, fn) })
}

// Logs implements runtime.Runtime.
func (f *Faulty) Logs(ctx context.Context, id string, since time.Time, follow bool, fn func(runtime.Line) error) error {
	return f.do(ctx, OpLogs, id, func() error { return f.Runtime.Logs(ctx, id, since, follow, fn) })
}
