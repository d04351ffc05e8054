package fake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// Runtime is an Engine as one node sees it.
type Runtime struct {
	engine  *Engine
	node    string
	address string
}

// firstPort is the port of the first container; the following ones count up and wrap.
const firstPort = 20000

// Info implements runtime.Runtime.
func (r *Runtime) Info(ctx context.Context) (runtime.Info, error) {
	return runtime.Info{Version: "fake"}, ctx.Err()
}

// EnsureImage implements runtime.Runtime.
func (r *Runtime) EnsureImage(ctx context.Context, image string) error {
	e := r.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.images[image] {
		return nil
	}
	e.pulls[image]++
	if e.Images != nil {
		if err := e.Images(image); err != nil {
			return err
		}
	}
	e.images[image] = true
	return ctx.Err()
}

// RemoveImage implements runtime.Runtime.
func (r *Runtime) RemoveImage(ctx context.Context, image string) error {
	e := r.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", runtime.ErrAway, err)
	}
	for _, c := range e.containers {
		if c.spec.Image == image {
			return runtime.ErrImageUsed
		}
	}
	delete(e.images, image)
	return nil
}

// Create implements runtime.Runtime.
func (r *Runtime) Create(ctx context.Context, s runtime.Spec) (runtime.Container, error) {
	e := r.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return runtime.Container{}, fmt.Errorf("%w: %w", runtime.ErrAway, err)
	}
	if c := e.containers[s.InstanceID]; c != nil {
		if c.node != r.node {
			return runtime.Container{}, runtime.ErrForeign
		}
		return c.Container, nil
	}
	if !e.images[s.Image] {
		return runtime.Container{}, runtime.ErrNoImage
	}
	e.made++
	c := &container{
		Container: runtime.Container{
			ID: fmt.Sprintf("c%d", e.made), InstanceID: s.InstanceID, AppID: s.AppID, ReleaseID: s.ReleaseID,
			SpecHash: s.Hash, MemoryMiB: s.MemoryMiB, CPUMilli: s.CPUMilli, CreatedAt: e.now(),
		},
		node: r.node, spec: s, port: firstPort + e.made%40000, changed: make(chan struct{}),
	}
	e.containers[s.InstanceID] = c
	return c.Container, nil
}

// Start implements runtime.Runtime.
func (r *Runtime) Start(ctx context.Context, instanceID string) error {
	e := r.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := r.find(ctx, instanceID)
	if err != nil || c.State != runtime.Created {
		return err
	}
	var p Program
	if e.Program != nil {
		p = e.Program(c.spec)
	}
	if p.StartError != "" {
		c.Error = p.StartError
		return errors.New(p.StartError)
	}
	c.State, c.StartedAt = runtime.Running, e.now()
	c.Addr = net.JoinHostPort(r.address, strconv.Itoa(c.port))
	for _, l := range p.Lines {
		e.print(c, l)
	}
	if p.Exit {
		e.end(c, p.Code, false)
	} else {
		e.tell(c)
	}
	return nil
}

// Stop implements runtime.Runtime.
func (r *Runtime) Stop(ctx context.Context, instanceID string, grace time.Duration) error {
	code := 143
	if r.ignoresTerm(instanceID) {
		code = 137
		if err := wait(ctx, grace); err != nil {
			return err
		}
	}
	e := r.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := r.find(ctx, instanceID)
	if err == nil && c.State == runtime.Running {
		e.end(c, code, false)
	}
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", runtime.ErrAway, ctx.Err())
	}
}

func (r *Runtime) ignoresTerm(instanceID string) bool {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	c := r.engine.containers[instanceID]
	if c == nil || c.node != r.node || c.State != runtime.Running || r.engine.Program == nil {
		return false
	}
	return r.engine.Program(c.spec).IgnoreTerm
}

// Remove implements runtime.Runtime.
func (r *Runtime) Remove(ctx context.Context, instanceID string) error {
	e := r.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := r.find(ctx, instanceID)
	if err != nil {
		if errors.Is(err, runtime.ErrNotFound) {
			return nil
		}
		return err
	}
	delete(e.containers, instanceID)
	c.State = runtime.Exited
	c.wake()
	e.tell(c)
	return nil
}

// Inspect implements runtime.Runtime.
func (r *Runtime) Inspect(ctx context.Context, instanceID string) (runtime.Container, error) {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	c, err := r.find(ctx, instanceID)
	if err != nil {
		return runtime.Container{}, err
	}
	return c.Container, nil
}

// List implements runtime.Runtime.
func (r *Runtime) List(ctx context.Context) ([]runtime.Container, error) {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", runtime.ErrAway, err)
	}
	var out []runtime.Container
	for _, id := range slices.Sorted(maps.Keys(r.engine.containers)) {
		c := r.engine.containers[id]
		if c.node != r.node {
			continue
		}
		out = append(out, runtime.Container{
			ID: c.ID, InstanceID: c.InstanceID, AppID: c.AppID, ReleaseID: c.ReleaseID, SpecHash: c.SpecHash,
			State: c.State, Addr: c.Addr,
		})
	}
	return out, nil
}

// find needs Engine.mu.
func (r *Runtime) find(ctx context.Context, instanceID string) (*container, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", runtime.ErrAway, err)
	}
	c := r.engine.containers[instanceID]
	if c == nil {
		return nil, runtime.ErrNotFound
	}
	if c.node != r.node {
		return nil, runtime.ErrForeign
	}
	return c, nil
}
