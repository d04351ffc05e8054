// Package guard ends requests whose client stalls: one that sends its body, or
// takes its answer, so slowly that it is no visitor but a burden. Only the
// time spent waiting for the client counts, never the app's: an event stream
// that is quiet for hours waits for nobody.
package guard

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config of a Guard.
type Config struct {
	Stall   time.Duration // a single wait of this length ends the request
	MinRate int           // bytes per second, on average over all waits, once they sum up to Stall; 0: none
}

// Guard is a handler in front of another. Make it with New; Run it.
type Guard struct {
	cfg   Config
	next  http.Handler
	since time.Time
	ended atomic.Uint64

	mu   sync.Mutex
	live map[*exchange]struct{}
}

// New returns a Guard in front of next.
func New(cfg Config, next http.Handler) *Guard {
	return &Guard{cfg: cfg, next: next, since: time.Now(), live: map[*exchange]struct{}{}}
}

// Ended counts the requests that were ended.
func (g *Guard) Ended() uint64 { return g.ended.Load() }

// Run looks after the requests until ctx ends. One look-out for all costs a
// request two clock readings a wait, and no timer.
func (g *Guard) Run(ctx context.Context) error {
	tick := time.NewTicker(max(g.cfg.Stall/20, 5*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			g.look()
		}
	}
}

func (g *Guard) look() {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for x := range g.live {
		if x.over(&g.cfg, now) {
			delete(g.live, x) // once is enough
			g.ended.Add(1)
			x.end()
		}
	}
}

// now is never 0, which means "not waiting".
func (g *Guard) now() int64 { return int64(time.Since(g.since)) + 1 }

// ServeHTTP serves one request.
func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{g: g, control: http.NewResponseController(w)}
	if r.Body != nil && r.Body != http.NoBody && !quiet(r) {
		r.Body = &body{r.Body, x}
	}
	g.mu.Lock()
	g.live[x] = struct{}{}
	g.mu.Unlock()
	defer g.forget(x)
	g.next.ServeHTTP(&writer{w, x}, r)
}

func (g *Guard) forget(x *exchange) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.live, x)
}

// quiet are requests whose body may rightly say nothing for hours: streams in
// both directions, such as gRPC's. What they may cost is bounded by the
// connections and streams of a source.
func quiet(r *http.Request) bool {
	return r.ProtoMajor >= 2 && r.ContentLength < 0 || strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// exchange is a request on its way.
type exchange struct {
	g           *Guard
	control     *http.ResponseController
	read, write waits
}

func (x *exchange) over(c *Config, now int64) bool {
	return x.read.over(c, now) || x.write.over(c, now)
}

// end makes the wait fail, in whichever direction. The handler sees a time-out
// of its client.
func (x *exchange) end() {
	past := time.Unix(1, 0)
	x.control.SetReadDeadline(past)
	x.control.SetWriteDeadline(past)
}

// waits are those of one direction. One goroutine waits, another looks.
type waits struct {
	since atomic.Int64 // began to wait; 0: does not wait
	spent atomic.Int64 // nanoseconds, in earlier waits
	bytes atomic.Int64
}

func (w *waits) begin(now int64) { w.since.Store(now) }

func (w *waits) finish(now int64, n int) {
	w.spent.Add(now - w.since.Load())
	w.bytes.Add(int64(n))
	w.since.Store(0)
}

func (w *waits) over(c *Config, now int64) bool {
	since := w.since.Load()
	if since == 0 {
		return false
	}
	this := now - since
	total := time.Duration(w.spent.Load() + this)
	return time.Duration(this) > c.Stall ||
		total > c.Stall && float64(w.bytes.Load()) < float64(c.MinRate)*total.Seconds()
}

// body is a request's body under watch.
type body struct {
	src interface {
		Read([]byte) (int, error)
		Close() error
	}
	x *exchange
}

// Read waits for the client.
func (b *body) Read(p []byte) (int, error) {
	b.x.read.begin(b.x.g.now())
	n, err := b.src.Read(p)
	b.x.read.finish(b.x.g.now(), n)
	return n, err
}

// Close closes the body.
func (b *body) Close() error { return b.src.Close() }

// writer is a response under watch.
type writer struct {
	http.ResponseWriter
	x *exchange
}

// Write waits for the client to make room.
func (w *writer) Write(p []byte) (int, error) {
	w.x.write.begin(w.x.g.now())
	n, err := w.ResponseWriter.Write(p)
	w.x.write.finish(w.x.g.now(), n)
	return n, err
}

// FlushError waits for the client to make room.
func (w *writer) FlushError() error {
	w.x.write.begin(w.x.g.now())
	err := w.x.control.Flush()
	w.x.write.finish(w.x.g.now(), 0)
	return err
}

// Unwrap lets http.ResponseController reach what is not watched.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
