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
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/access"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/cert"
	"github.com/dinp/dinp/router/fast"
	"github.com/dinp/dinp/router/guard"
	"github.com/dinp/dinp/router/http3"
	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/limit"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/router/source"
	"github.com/dinp/dinp/router/stats"
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
	guard    *guard.Guard
	engine   *fast.Engine // of the fast path, by Run; nil without
	straight bool         // it accepts at the clear address itself; traffic only knows the address then
	source   *source.Source
	reporter *source.Reporter
	certs    *cert.Keeper  // by Listen; nil without HTTPS
	follow   *source.Certs // of Redis: certificates with HTTPS, ACME challenges always
	sources  *limit.Sources
	intake   *intake.Intake
	metrics  *metrics
	stats    stats.Recorder
	lines    lines
	access   *access.Log // nil: off

	traffic, secure, admin net.Listener  // by Listen; secure is nil without HTTPS
	quic                   *http3.Server // by Listen; nil without HTTP/3
	clear, private         *intake.Queue
	accessFile             io.Closer
	started                time.Time
	stopping               atomic.Bool
}

// New wires a router of a valid configuration. It does nothing yet.
func New(cfg Config, log *slog.Logger) *Router {
	log = log.With("component", "router")
	r := &Router{cfg: cfg, log: log, metrics: newMetrics(), started: time.Now()}
	trusted, _ := parsePrefixes(cfg.TrustedProxies) // Validate has seen them
	r.set = balance.New()
	r.sources = limit.New(cfg.Limits.config(trusted))
	loadBalancers, _ := parsePrefixes(cfg.ProxyProtocol)
	r.intake = intake.New(intake.Config{ProxyFrom: loadBalancers, Header: cfg.Timeouts.ReadHeader, Sources: r.sources}, log)
	r.proxy = proxy.New(proxy.Config{
		TrustedProxies: trusted, Dial: cfg.Timeouts.Dial, ResponseHeader: cfg.Timeouts.ResponseHeader,
		BackendIdle: cfg.Timeouts.BackendIdle, Done: r.done, Limited: r.limited, HTTPSPort: r.httpsPort,
	}, r.set, log)
	r.guard = guard.New(guard.Config{Stall: cfg.Timeouts.ClientStall, MinRate: cfg.Limits.MinBodyRate}, r.proxy)
	r.source = source.New(source.Config{Redis: cfg.Redis, Snapshot: cfg.Snapshot}, log, r.swap)
	r.reporter = source.NewReporter(cfg.Redis, log, r.line)
	return r
}

// config returns the limits as package limit takes them; the trusted speak for
// many, and are not limited.
func (l Limits) config(trusted []netip.Prefix) limit.Config {
	except, _ := parsePrefixes(l.Except)
	except = append(except, trusted...)
	total := fileLimit()
	if l.Connections > 0 {
		total = min(total, l.Connections)
	}
	return limit.Config{
		Connections: l.SourceConnections, Requests: l.SourceRequests, Burst: l.SourceBurst, Total: total,
		Except: func(a netip.Addr) bool { return intake.Within(a, except) },
	}
}

// swap serves a table and tells the leader so, in this order.
func (r *Router) swap(t *table.Table) {
	for _, app := range r.set.Swap(t) {
		r.stats.Forget(app)
	}
	r.reporter.Wake()
}

// done counts a request that has ended.
func (r *Router) done(rec proxy.Record) { r.count(&rec) }

// count takes note of a request; rec is not kept.
func (r *Router) count(rec *proxy.Record) {
	r.stats.Of(stats.Key{App: rec.App, Release: rec.Release}).Observe(rec.Status, rec.Duration, rec.Ended)
	if rec.Code != "" {
		r.metrics.refused.WithLabelValues(string(rec.Code)).Inc()
	}
	r.access.Write(rec, rec.Ended)
}

// line is what the router says of itself in Redis.
func (r *Router) line() route.RouterLine {
	requests, failed := r.requests()
	apps, omitted := r.lines.of(&r.stats, time.Now())
	addr := r.cfg.Advertise
	if addr == "" {
		addr = r.Addr()
	}
	return route.RouterLine{
		ID: r.cfg.ID, Addr: addr, Serves: r.set.Table().Version(), At: time.Now().UTC(), Started: r.started.UTC(),
		Requests: requests, Errors: failed, Apps: apps, Omitted: omitted,
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
	if err := r.listenTraffic(); err != nil {
		return err
	}
	if r.admin, err = r.bind("admin", r.cfg.Admin, false); err != nil {
		return err
	}
	if err := r.openAccessLog(); err != nil {
		return err
	}
	if r.cfg.ID == "" {
		r.cfg.ID = r.defaultID()
	}
	r.watch()
	return nil
}

func (r *Router) listenTraffic() (err error) {
	if r.traffic, err = r.bind("listen", r.cfg.Listen, r.cfg.ReusePort); err != nil {
		return err
	}
	r.clear = intake.NewQueue(r.traffic.Addr())
	if r.cfg.TLS.Listen == "" {
		r.follow = source.NewCerts(r.cfg.Redis, r.log, nil)
		return nil
	}
	if r.certs, err = cert.New(cert.Config{
		Files: r.cfg.TLS.Certificates, SelfSigned: r.cfg.TLS.SelfSigned, Fallback: r.cfg.TLS.Fallback, Secret: r.cfg.Secret, Snapshot: r.cfg.TLS.Snapshot,
	}, r.log); err != nil {
		return model.E(model.CodeBadConfig, "router: %v", err).WithNext("correct router.tls in the configuration, or the files it names")
	}
	r.follow = source.NewCerts(r.cfg.Redis, r.log, r.certs)
	if r.secure, err = r.bind("tls.listen", r.cfg.TLS.Listen, r.cfg.ReusePort); err != nil {
		return err
	}
	r.private = intake.NewQueue(r.secure.Addr())
	return r.listenQUIC()
}

// defaultID keeps two routers of one host apart, also those that share a port.
func (r *Router) defaultID() string {
	name, err := os.Hostname()
	if err != nil {
		name = "router"
	}
	_, port, _ := net.SplitHostPort(r.Addr())
	id := name + ":" + port
	if r.cfg.ReusePort {
		_, admin, _ := net.SplitHostPort(r.AdminAddr())
		id += "/" + admin
	}
	return id
}

func (r *Router) openAccessLog() error {
	out := r.cfg.AccessWriter
	switch {
	case out != nil || r.cfg.AccessLog == "":
	case r.cfg.AccessLog == "-":
		out = os.Stdout
	default:
		f, err := access.OpenFile(r.cfg.AccessLog)
		if err != nil {
			return fmt.Errorf("router access log: %w", err)
		}
		out, r.accessFile = f, f
	}
	if out != nil {
		r.access = access.New(out, access.Format(r.cfg.AccessFormat))
	}
	return nil
}

func (r *Router) closeListeners() {
	for _, l := range []net.Listener{r.traffic, r.secure, r.admin} {
		if l != nil {
			l.Close()
		}
	}
	if r.quic != nil {
		r.quic.Close()
	}
	r.traffic, r.secure, r.admin, r.quic = nil, nil, nil, nil
}

// Addr returns the address that serves traffic, once Listen has bound it.
func (r *Router) Addr() string { return addrOf(r.traffic) }

// httpsPort is where visitors reach HTTPS: 443 wherever else it is ended.
func (r *Router) httpsPort() string {
	port := strconv.Itoa(r.cfg.TLS.PublicPort)
	if r.cfg.TLS.PublicPort == 0 {
		_, port, _ = net.SplitHostPort(r.TLSAddr())
	}
	if port == "443" {
		return ""
	}
	return port
}

// TLSAddr returns the address that serves HTTPS, and "" without it.
func (r *Router) TLSAddr() string { return addrOf(r.secure) }

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
	if err := r.startEngine(); err != nil {
		return err
	}
	r.source.Load()
	// Everything but the intake outlives ctx: while requests end, the table
	// is still followed and the leader still hears of it.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, inner := errgroup.WithContext(inner)
	traffic, admin := r.trafficServer(), r.adminServer()
	taking := r.serveTraffic(inner, g, traffic)
	g.Go(func() error { return serve(admin, r.admin) })
	for _, run := range []func(context.Context) error{r.source.Run, r.reporter.Run, r.guard.Run, r.sweep} {
		g.Go(func() error { return run(inner) })
	}
	logging, stopLogging := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLogging()
	var log errgroup.Group
	log.Go(func() error { return r.access.Run(logging) })
	r.log.Info("router started", "addr", r.Addr(), "tls", r.TLSAddr(), "admin", r.AdminAddr(), "id", r.cfg.ID)
	select {
	case <-ctx.Done():
		r.drain(inner, traffic, taking)
	case <-inner.Done(): // a part failed: g.Wait says which
	}
	stop()
	r.stopTaking(taking)
	if r.engine != nil {
		r.engine.Close()
	}
	traffic.Close()
	admin.Close()
	err := g.Wait()
	r.set.Close()
	stopLogging()
	err = errors.Join(err, log.Wait())
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
func (r *Router) drain(ctx context.Context, traffic *http.Server, taking *sync.WaitGroup) {
	r.stopping.Store(true)
	r.log.Info("router draining", "in_flight", r.inFlight())
	r.proxy.LastCall()
	if r.engine != nil {
		r.engine.LastCall()
	}
	pause(ctx, r.leave())
	r.stopTaking(taking)
	limited, cancel := context.WithTimeout(ctx, r.cfg.Timeouts.Drain)
	defer cancel()
	var quic sync.WaitGroup
	r.drainQUIC(limited, &quic)
	defer quic.Wait()
	left := r.drainEngine(limited)
	if err := traffic.Shutdown(limited); err != nil {
		r.log.Debug("listener closed with requests in flight", "err", err)
	}
	if left += r.proxy.Drain(limited); left > 0 {
		r.log.Warn("requests cut at the drain deadline", "count", left)
		traffic.Close()
		last, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		r.proxy.Drain(last) // so that each is in the access log
	}
}

// handover is how long a router that shares its ports goes on accepting after
// new connections were sent to its successor: those on their way arrive in it.
const handover = 200 * time.Millisecond

// leave gives the ports to a successor, if one may be there, and returns how
// long to go on accepting.
func (r *Router) leave() time.Duration {
	if !r.cfg.ReusePort {
		return r.cfg.Timeouts.LameDuck
	}
	for _, s := range r.doors() {
		if err := sendElsewhere(s); err != nil {
			r.log.Warn("new connections not sent to a successor; some may be reset", "err", err)
		}
	}
	return max(r.cfg.Timeouts.LameDuck, handover)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
