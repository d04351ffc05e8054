package instance

import (
	"context"
	"sync"
)

// How much is asked of the engine at once (rule R17). Removals have their own
// lane, so that cleaning up never waits behind slow starts, nor holds them up.
const (
	pullLanes   = 3
	startLanes  = 4
	removeLanes = 2
	askLanes    = 16
)

// lane lets a few through at a time.
type lane chan struct{}

// do calls f once there is room.
func (l lane) do(ctx context.Context, f func() error) error {
	select {
	case l <- struct{}{}:
		defer func() { <-l }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pulls pulls each image once however many instances want it.
type pulls struct {
	pull func(ctx context.Context, image string) error
	lane lane

	mu    sync.Mutex // guards calls and the waiters in them
	calls map[string]*pullCall
}

// pullCall is one pull under way.
type pullCall struct {
	waiters int
	cancel  context.CancelFunc
	done    chan struct{} // closed when err is set
	err     error
}

func newPulls(pull func(context.Context, string) error) *pulls {
	return &pulls{pull: pull, lane: make(lane, pullLanes), calls: map[string]*pullCall{}}
}

// do returns when the image is there. The pull goes on while anyone waits for
// it, and is given up with the last.
func (p *pulls) do(ctx context.Context, image string) error {
	c := p.join(ctx, image)
	select {
	case <-c.done:
		p.leave(image, c)
		return c.err
	case <-ctx.Done():
		p.leave(image, c)
		return ctx.Err()
	}
}

func (p *pulls) join(ctx context.Context, image string) *pullCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.calls[image]
	if c == nil {
		// Not the first waiter's context: others may wait when it has left.
		pctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &pullCall{cancel: cancel, done: make(chan struct{})}
		p.calls[image] = c
		go func() {
			c.err = p.lane.do(pctx, func() error { return p.pull(pctx, image) })
			close(c.done)
		}()
	}
	c.waiters++
	return c
}

// leave ends the pull with its last waiter, and waits for that: no goroutine
// is left behind.
func (p *pulls) leave(image string, c *pullCall) {
	p.mu.Lock()
	c.waiters--
	last := c.waiters == 0
	if last && p.calls[image] == c {
		delete(p.calls, image)
	}
	p.mu.Unlock()
	if last {
		c.cancel()
		<-c.done
	}
}

// waiting returns how many images are being pulled or wait for a lane.
func (p *pulls) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}
