// Package router is the front door for traffic: it sends each request for an
// app's host to one of the app's ready instances. The table of routes comes
// from Redis (package source), is an immutable value (package table), and is
// served by package proxy; this package wires them and gives them a life.
//
// It must survive the death of every other part: it goes on serving the last
// good table with Redis and the leader away, and starts from disk. It imports
// no other part, and reads no flags, environment or signals.
package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/router/source"
	"github.com/dinp/dinp/router/table"
)

// maxHeaderBytes is what a request's head may take; more is answered 431.
const maxHeaderBytes = 64 << 10

// Router is one router. Make it with New; Listen and Run once each.
type Router struct {
	cfg      Config
	log      *slog.Logger
	set      *balance.Set // the table in use, and what is known of its endpoints
	proxy    *proxy.Proxy
	source   *source.Source
	reporter *source.Reporter
	metrics  *metrics
	access   *accessLog

	traffic, admin net.Listener // by Listen
	accessFile     io.Closer
	started        time.Time
	stopping       atomic.Bool
}

// New wires a router of a valid configuration. It does nothing yet.
func New(cfg Config, log *slog.Logger) *Router {
	log = log.With("component", "router")
	r := &Router{cfg: cfg, log: log, metrics: newMetrics(), started: time.Now(), access: &accessLog{}}
	trusted, _ := parsePrefixes(cfg.TrustedProxies) // Validate has seen them
	r.set = balance.New()
	r.proxy = proxy.New(proxy.Config{
		TrustedProxies: trusted, Dial: cfg.Timeouts.Dial, ResponseHeader: cfg.Timeouts.ResponseHeader,
		BackendIdle: cfg.Timeouts.BackendIdle, Done: r.done,
	}, r.set, log)
	r.source = source.New(source.Config{Redis: cfg.Redis, Snapshot: cfg.Snapshot}, log, r.swap)
	r.reporter = source.NewReporter(cfg.Redis, log, r.line)
	r.metrics.watch(r.proxy, r.set, r.source)
	return r
}

// swap serves a table and tells the leader so, in this order.
func (r *Router) swap(t *table.Table) {
	for _, app := range r.set.Swap(t) {
		r.metrics.forget(app)
	}
	r.reporter.Wake()
}

func (r *Router) done(rec proxy.Record) {
	r.metrics.observe(rec)
	r.access.write(rec)
}

// line is what the router says of itself in Redis.
func (r *Router) line() route.RouterLine {
	requests, failed := r.proxy.Counts()
	addr := r.cfg.Advertise
	if addr == "" {
		addr = r.Addr()
	}
	return route.RouterLine{
		ID: r.cfg.ID, Addr: addr, Serves: r.set.Table().Version(), At: time.Now().UTC(), Started: r.started.UTC(),
		Requests: requests, Errors: failed,
	}
}

// Listen validates the configuration, binds both addresses and opens the access
// log. Connections wait until Run.
func (r *Router) Listen() (err error) {
	if err := r.cfg.Validate(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			r.closeListeners()
		}
	}()
	if r.traffic, err = bind("listen", r.cfg.Listen); err != nil {
		return err
	}
	if r.admin, err = bind("admin", r.cfg.Admin); err != nil {
		return err
	}
	if err := r.openAccessLog(); err != nil {
		return err
	}
	if r.cfg.ID == "" {
		r.cfg.ID = defaultID(r.traffic)
	}
	return nil
}

func bind(name, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(addr)
		return nil, model.E(model.CodePortTaken, "port %s of the router's %s address %s is in use", port, name, addr).
			WithNext("stop what uses port %s, or give the router another %s address", port, name).WithCause(err)
	}
	if err != nil {
		return nil, fmt.Errorf("router %s address: %w", name, err)
	}
	return l, nil
}

// defaultID keeps two routers of one host apart.
func defaultID(l net.Listener) string {
	name, err := os.Hostname()
	if err != nil {
		name = "router"
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return name + ":" + port
}

func (r *Router) openAccessLog() error {
	r.access.w = r.cfg.AccessWriter
	if r.access.w != nil || r.cfg.AccessLog == "" {
		return nil
	}
	f, err := os.OpenFile(r.cfg.AccessLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("router access log: %w", err)
	}
	r.access.w, r.accessFile = f, f
	return nil
}

func (r *Router) closeListeners() {
	for _, l := range []net.Listener{r.traffic, r.admin} {
		if l != nil {
			l.Close()
		}
	}
	r.traffic, r.admin = nil, nil
}

// Addr returns the address that serves traffic, once Listen has bound it.
func (r *Router) Addr() string { return addrOf(r.traffic) }

// AdminAddr returns the address of health, metrics and debug.
func (r *Router) AdminAddr() string { return addrOf(r.admin) }

func addrOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// Run serves until ctx ends and what was in flight then has ended or run out
// of time. It returns nil after an orderly stop.
func (r *Router) Run(ctx context.Context) error {
	if r.traffic == nil {
		if err := r.Listen(); err != nil {
			return err
		}
	}
	r.source.Load()
	// Everything but the intake outlives ctx: while requests end, the table
	// is still followed and the leader still hears of it.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, inner := errgroup.WithContext(inner)
	traffic, admin := r.trafficServer(), r.adminServer()
	g.Go(func() error { return serve(traffic, r.traffic) })
	g.Go(func() error { return serve(admin, r.admin) })
	g.Go(func() error { return r.source.Run(inner) })
	g.Go(func() error { return r.reporter.Run(inner) })
	r.log.Info("router started", "addr", r.Addr(), "admin", r.AdminAddr(), "id", r.cfg.ID)
	select {
	case <-ctx.Done():
		r.drain(inner, traffic)
	case <-inner.Done(): // a part failed: g.Wait says which
	}
	stop()
	traffic.Close()
	admin.Close()
	err := g.Wait()
	r.set.Close()
	if r.accessFile != nil {
		err = errors.Join(err, r.accessFile.Close())
	}
	r.log.Info("router stopped")
	return err
}

func serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drain stops in the order that loses nothing: unready first, so that the load
// balancer sends no more; then no reuse of connections; then no new ones; then
// wait, and at the deadline end what does not end by itself.
func (r *Router) drain(ctx context.Context, traffic *http.Server) {
	r.stopping.Store(true)
	r.log.Info("router draining", "in_flight", r.proxy.InFlight())
	r.proxy.LastCall()
	pause(ctx, r.cfg.Timeouts.LameDuck)
	limited, cancel := context.WithTimeout(ctx, r.cfg.Timeouts.Drain)
	defer cancel()
	if err := traffic.Shutdown(limited); err != nil {
		r.log.Debug("listener closed with requests in flight", "err", err)
	}
	if left := r.proxy.Drain(limited); left > 0 {
		r.log.Warn("requests cut at the drain deadline", "count", left)
		traffic.Close()
		last, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		r.proxy.Drain(last) // so that each is in the access log
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (r *Router) trafficServer() *http.Server {
	return &http.Server{
		Handler: r.proxy, ReadHeaderTimeout: r.cfg.Timeouts.ReadHeader, IdleTimeout: r.cfg.Timeouts.ClientIdle,
		MaxHeaderBytes: maxHeaderBytes, Protocols: onlyHTTP1(), DisableGeneralOptionsHandler: true,
		ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug), // a client's mistakes must not fill our log
	}
}

func onlyHTTP1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}
