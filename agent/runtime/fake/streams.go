package fake

import (
	"context"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// Events implements runtime.Runtime.
func (r *Runtime) Events(ctx context.Context, f func(runtime.Event)) error {
	l := &listener{node: r.node, queue: []runtime.Event{{}}, signal: make(chan struct{}, 1)}
	l.signal <- struct{}{}
	r.engine.subscribe(l)
	defer r.engine.unsubscribe(l)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-l.signal:
			for _, ev := range r.engine.take(l) {
				f(ev)
			}
			if !open {
				return runtime.ErrAway
			}
		}
	}
}

func (e *Engine) subscribe(l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners[l] = true
}

func (e *Engine) unsubscribe(l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.listeners, l)
}

func (e *Engine) take(l *listener) []runtime.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := l.queue
	l.queue = nil
	return out
}

// Logs implements runtime.Runtime.
func (r *Runtime) Logs(ctx context.Context, instanceID string, since time.Time, follow bool, f func(runtime.Line) error) error {
	r.engine.mu.Lock()
	c, err := r.find(ctx, instanceID)
	r.engine.mu.Unlock()
	if err != nil {
		return err
	}
	for next := 0; ; {
		lines, more, changed := r.engine.output(c, next)
		for _, l := range lines {
			next++
			if l.At.Before(since) {
				continue
			}
			if err := f(l); err != nil {
				return err
			}
		}
		if !follow || !more {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// output returns the lines from number next on, whether more may come, and what to wait for.
func (e *Engine) output(c *container, next int) ([]runtime.Line, bool, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return c.lines[next:len(c.lines):len(c.lines)], c.State == runtime.Running, c.changed
}
