package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// The causes with which the router ends a request that takes too long; their
// texts are the access log's reasons.
var (
	errHeaderTimeout = errors.New("timeout")      // no answer begun in time after the request was sent
	errIdleTimeout   = errors.New("idle_timeout") // no byte in either direction
	errTotalTimeout  = errors.New("total_timeout")
)

// timedOut returns which of our time-outs ended ctx, nil when none did.
func timedOut(ctx context.Context) error {
	cause := context.Cause(ctx)
	for _, e := range []error{errHeaderTimeout, errIdleTimeout, errTotalTimeout} {
		if errors.Is(cause, e) {
			return e
		}
	}
	return nil
}

// clock ends a request at the app's idle and total time-outs. Upgraded
// connections have neither.
type clock struct {
	idle, total *time.Timer // nil: none
	every       time.Duration
	end         context.CancelCauseFunc // of the request; nil without time-outs
}

// startClock puts the request under the app's time-outs.
func (x *exchange) startClock(r *http.Request) *http.Request {
	idle, total := time.Duration(x.rules.IdleTimeout), time.Duration(x.rules.TotalTimeout)
	if idle == 0 && total == 0 || isUpgrade(r) {
		return r
	}
	ctx, end := context.WithCancelCause(r.Context())
	x.clock.end = end
	if total > 0 {
		x.clock.total = time.AfterFunc(total, func() { end(errTotalTimeout) })
	}
	if idle > 0 {
		x.clock.idle, x.clock.every = time.AfterFunc(idle, func() { end(errIdleTimeout) }), idle
	}
	x.timed = ctx
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &tickingBody{ReadCloser: r.Body, clock: &x.clock}
	}
	x.w.clock = &x.clock
	return r
}

// tick notes that a byte has moved.
func (c *clock) tick() {
	if c != nil && c.idle != nil {
		c.idle.Reset(c.every)
	}
}

func (c *clock) stop() {
	for _, t := range []*time.Timer{c.idle, c.total} {
		if t != nil {
			t.Stop()
		}
	}
	if c.end != nil {
		c.end(nil)
	}
}

// tickingBody tells the clock of the client's bytes.
type tickingBody struct {
	io.ReadCloser
	clock *clock
}

// Read reads and ticks.
func (b *tickingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.clock.tick()
	}
	return n, err
}

// headClock ends an attempt whose answer does not begin in time.
type headClock struct {
	end   context.CancelCauseFunc
	limit time.Duration

	mu    sync.Mutex
	came  bool        // guarded by mu: the waiting is over
	timer *time.Timer // guarded by mu: nil until the request is sent
}

// awaitHead returns req under the header time-out, which runs from the moment
// the request is sent whole, and the function that ends the waiting.
func awaitHead(req *http.Request, limit time.Duration) (out *http.Request, headCame func()) {
	ctx, end := context.WithCancelCause(req.Context())
	c := &headClock{end: end, limit: limit}
	return req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: c.sent})), c.over
}

// sent starts the clock, unless the app has answered before it had read all.
func (c *headClock) sent(httptrace.WroteRequestInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.came && c.timer == nil {
		c.timer = time.AfterFunc(c.limit, func() { c.end(errHeaderTimeout) })
	}
}

func (c *headClock) over() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.came = true
	if c.timer != nil {
		c.timer.Stop()
	}
}
