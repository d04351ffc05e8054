package instance

import (
	"context"
	"sync"
)

// gate lets goroutines wait for their turns in the Lanes.
type gate struct {
	mu    sync.Mutex // guards lanes
	lanes Lanes[*errand]
}

// errand is the call of a turn.
type errand struct {
	call   func() error
	cancel context.CancelFunc
	done   chan struct{} // closed when err is set
	err    error
}

// do makes a call when it is its turn, or waits for one of the same kind that has
// the same effect. It returns when the call has ended, or, when ctx ends before, as
// soon as the call is left to others or has been called off: no goroutine is left
// behind.
func (g *gate) do(ctx context.Context, op Op, image string, call func(context.Context) error) error {
	t := g.join(ctx, op, image, call)
	select {
	case <-t.Errand.done:
		return t.Errand.err
	case <-ctx.Done():
		g.leave(t)
		return ctx.Err()
	}
}

func (g *gate) join(ctx context.Context, op Op, image string, call func(context.Context) error) *Turn[*errand] {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, fresh := g.lanes.Join(op, image)
	if fresh {
		// Not the first waiter's context: others may wait when it has left.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		t.Errand = &errand{call: func() error { return call(own) }, cancel: cancel, done: make(chan struct{})}
		g.begin()
	}
	return t
}

// begin needs mu.
func (g *gate) begin() {
	for _, t := range g.lanes.Next() {
		go g.run(t)
	}
}

func (g *gate) run(t *Turn[*errand]) {
	e := t.Errand
	e.err = e.call()
	e.cancel()
	g.mu.Lock()
	g.lanes.End(t)
	g.begin()
	g.mu.Unlock()
	close(e.done)
}

func (g *gate) leave(t *Turn[*errand]) {
	g.mu.Lock()
	callOff := g.lanes.Leave(t)
	g.mu.Unlock()
	if callOff {
		t.Errand.cancel()
		<-t.Errand.done
	}
}

// pulling returns how many images are being pulled or wait for that.
func (g *gate) pulling() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lanes.pulling()
}
