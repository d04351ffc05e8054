// Package proxy is the full path of the router, an HTTP handler: it looks the
// host up in the present table, has package balance choose an endpoint, forwards
// the request, retries where that is safe, and answers itself where nothing can
// be forwarded.
//
// It stands on net/http and httputil.ReverseProxy, and knows nothing of Redis.
// A table swap cuts no request.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/gate"
	"github.com/dinp/dinp/router/table"
)

// Config of a Proxy. Zero times take the defaults.
type Config struct {
	TrustedProxies []netip.Prefix // whose X-Forwarded-* are believed
	Dial           time.Duration  // to connect to an endpoint, 2 s
	ResponseHeader time.Duration  // from request sent to response head, 60 s
	BackendIdle    time.Duration  // an unused backend connection is kept for, 4 s
	Done           func(Record)   // called once per request when it has ended; may be nil

	// HTTPSPort returns the port at which visitors reach HTTPS, for redirects
	// to it; "" or nil for 443.
	HTTPSPort func() string
	// Limited reports whether a request's source asks too much; may be nil.
	Limited func(*http.Request) bool
}

// Proxy is the handler. Make it with New, its balance.Set gets the tables.
type Proxy struct {
	cfg Config
	log *slog.Logger
	rp  *httputil.ReverseProxy

	set       *balance.Set
	slot      balance.Slot
	gates     gate.Gates
	passwords *gate.Passwords

	requests, errors atomic.Uint64
	inflight         atomic.Int64
	closing          atomic.Bool
	idle             chan struct{} // size 1: inflight reached zero while closing
	upgrades         upgrades
}

// New returns a Proxy that serves the table of set.
func New(cfg Config, set *balance.Set, log *slog.Logger) *Proxy {
	if cfg.HTTPSPort == nil {
		cfg.HTTPSPort = func() string { return "" }
	}
	setDefault(&cfg.Dial, 2*time.Second)
	setDefault(&cfg.ResponseHeader, time.Minute)
	// Below Node's 5 s: a connection that the app is about to close cannot be
	// reused for a POST, which could not be retried.
	setDefault(&cfg.BackendIdle, 4*time.Second)
	p := &Proxy{
		cfg: cfg, log: log, set: set, passwords: gate.NewPasswords(),
		idle: make(chan struct{}, 1), upgrades: upgrades{of: map[*balance.Endpoint]map[*upgrade]struct{}{}},
	}
	p.slot = set.Attach(func(*balance.Endpoint) balance.Conns { return p.newLink() })
	set.OnLeave(p.gates.Forget)
	set.OnRetire(p.retired)
	p.rp = &httputil.ReverseProxy{
		Rewrite: p.rewrite, Transport: roundTripper{p}, ErrorHandler: p.failed, ModifyResponse: p.answered, BufferPool: newBuffers(),
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// Counts returns the requests since the start, and those of them that the
// proxy itself answered with 5xx.
func (p *Proxy) Counts() (requests, errors uint64) { return p.requests.Load(), p.errors.Load() }

// InFlight returns the number of requests being served, upgraded connections included.
func (p *Proxy) InFlight() int64 { return p.inflight.Load() }

// ServeHTTP serves one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	openTrailers(r)
	x := p.begin(w, r)
	defer p.end(x)
	if f := p.admit(x, r); f != nil {
		x.refuse(*f)
		return
	}
	if x.rules != nil {
		r = x.startClock(r)
		x.w.gzips = x.rules.Compress && acceptsGzip(r)
	}
	ctx := context.WithValue(r.Context(), exchangeKey{}, x)
	if isUpgrade(r) {
		var end context.CancelCauseFunc
		ctx, end = context.WithCancelCause(ctx)
		x.upgrade, x.timed = &upgrade{end: end}, ctx
		p.upgrades.add(x.upgrade, nil)
		defer p.upgrades.remove(x.upgrade)
	}
	p.rp.ServeHTTP(x.w, r.WithContext(ctx))
}

func (p *Proxy) begin(w http.ResponseWriter, r *http.Request) *exchange {
	p.requests.Add(1)
	p.inflight.Add(1)
	x := &exchange{p: p, r: r, start: time.Now()}
	x.w = &response{ResponseWriter: w, closing: &p.closing, head: r.Method == http.MethodHead, final: !r.ProtoAtLeast(1, 1)}
	x.Method, x.Path, x.Proto = r.Method, targetPath(r), r.Proto
	x.host, _ = table.Canon(r.Host)
	x.Host, x.Referer, x.UserAgent = x.host, r.Referer(), r.UserAgent()
	x.RequestID = requestID(r.Header.Get(headerRequestID))
	x.identify(p.cfg.TrustedProxies)
	return x
}

// admit decides without an endpoint what can be decided without one.
func (p *Proxy) admit(x *exchange, r *http.Request) *refusal {
	if r.Method == http.MethodConnect {
		return &refusedConnect
	}
	if !sound(r) {
		return &refusedTarget
	}
	if p.cfg.Limited != nil && p.cfg.Limited(r) {
		return &tooMany
	}
	b := p.set.Table().Lookup(x.host, targetPath(r))
	if b == nil {
		return &noSuchHost
	}
	x.App, x.appHost, x.rules = b.App, b.Host, b.Rules
	if f := p.byRules(x, r); f != nil {
		return f
	}
	if b.Maintenance {
		return &maintenance
	}
	dropH2C(r.Header)
	return nil
}

// errStatus ends an answer whose status is none.
var errStatus = errors.New("status below 100")

// answered changes the app's response where HTTP or the app's settings ask for it.
func (p *Proxy) answered(resp *http.Response) error {
	if resp.StatusCode < 100 { // net/http reads it, and panics when it is to be written
		return errStatus
	}
	dropAnswersTrailers(resp)
	x := exchangeOf(resp.Request)
	if x.rules == nil {
		return nil
	}
	x.stick(resp)
	if x.rules.Compress {
		resp.Header.Add("Vary", "Accept-Encoding")
	}
	return nil
}

// end is deferred by ServeHTTP, so that it also runs when the backend broke off
// within the body: then ReverseProxy panics to cut the client's connection,
// which is the only honest end of a half response.
func (p *Proxy) end(x *exchange) {
	cause := recover()
	if x.Why == "" {
		x.Why = x.endedBy()
	}
	if cause != nil && x.Why == "" {
		x.Why = WhyBackendBroke
		if x.r.Context().Err() != nil {
			x.Why = WhyClientGone
		} else if x.timed != nil && timedOut(x.timed) != nil {
			x.Why = timedOut(x.timed).Error()
		}
	}
	x.clock.stop()
	x.w.finish(cause == nil)
	x.release()
	if x.entered {
		x.gate.Leave()
	}
	x.Status, x.Bytes, x.Ended = x.w.status, x.w.bytes, time.Now()
	x.Duration = x.Ended.Sub(x.start)
	if x.Why == WhyClientGone && x.Status == 0 {
		x.Status = StatusClientGone
	}
	if p.cfg.Done != nil {
		p.cfg.Done(x.Record)
	}
	if p.inflight.Add(-1) == 0 && p.closing.Load() {
		p.signalIdle()
	}
	if cause == nil {
		return
	}
	if cause != http.ErrAbortHandler {
		p.log.Error("request handler panicked", "err", fmt.Sprint(cause), "request", x.RequestID, "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}
