// Package server is the brain of dinp: of several servers one leads, compares
// what people want with what agents report, and starts, stops and routes.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/server/lease"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/server/reconcile"
	"github.com/dinp/dinp/server/traffic"
	"github.com/dinp/dinp/sql/store"
)

// Server is one server; New, Listen, Run.
type Server struct {
	cfg   Config
	store *store.Store
	rdb   publish.Redis
	log   *slog.Logger

	grpc     *grpc.Server
	agents   *dispatch.Service
	lease    *lease.Lease
	term     atomic.Pointer[term] // nil while another server leads
	listener net.Listener
	admin    net.Listener
	metrics  *prometheus.Registry

	publish    publish.Config
	routeGrace time.Duration // see reconcile.Config
	turnedAway func(nodeID string) error
}

// term is one leadership.
type term struct {
	term  *dispatch.Term
	loop  *reconcile.Loop
	seen  *traffic.Log
	ended <-chan struct{}
}

// New makes a server; nothing runs before Listen and Run.
func New(cfg Config, st *store.Store, rdb publish.Redis, log *slog.Logger) *Server {
	return &Server{cfg: cfg, store: st, rdb: rdb, log: log.With("component", "server"), metrics: prometheus.NewRegistry(), publish: publish.DefaultConfig(), routeGrace: 20 * time.Second}
}

// Listen binds the ports, so that addresses are known before Run.
func (s *Server) Listen() (err error) {
	if s.listener, err = listen("server", s.cfg.Listen, "--listen"); err != nil {
		return err
	}
	if s.admin, err = listen("server admin", s.cfg.Admin, "--admin"); err != nil {
		s.listener.Close()
	}
	return err
}

func listen(what, addr, flag string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, model.E(model.CodePortTaken, "%s: %s is in use by another program", what, addr).WithNext("stop it, or choose another address with %s", flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return ln, nil
}

// Addr is where gRPC is served.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// AdminAddr is where /healthz, /readyz and /metrics are.
func (s *Server) AdminAddr() string { return s.admin.Addr().String() }

// Run serves until ctx ends; a leader gives its lease back.
func (s *Server) Run(ctx context.Context) error {
	advertise := s.cfg.Advertise
	if advertise == "" {
		advertise = s.Addr()
	}
	s.agents = dispatch.New(s.log, s.leaderAddress, func() bool { return s.lease.Vacant() })
	s.lease = lease.New(lease.Config{
		ID: s.cfg.ID, Address: advertise, TTL: s.cfg.LeaseTTL, Renew: s.cfg.LeaseTTL * 3 / 10, Margin: s.cfg.LeaseTTL / 5, Looked: s.agents.Looked,
	}, s.store, s.log)
	me, err := s.cfg.Authority.Issue(ctx, s.identity())
	if err != nil {
		return fmt.Errorf("certificate of server %s: %w", s.cfg.ID, err)
	}
	guard := pki.NewGuard(me)
	s.turnedAway = func(node string) error { return guard.TurnedAway(pki.Identity{Role: pki.RoleAgent, Name: node}) }
	s.serveGRPC(guard)
	admin := &http.Server{Handler: s.adminPages(), ReadHeaderTimeout: 5 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return me.Run(ctx, s.cfg.Authority.Renewer(s.identity()), s.log) })
	g.Go(func() error { return s.cfg.Authority.Watch(ctx, guard, s.log) })
	g.Go(func() error { return s.grpc.Serve(s.listener) })
	g.Go(func() error { return ignoreClosed(admin.Serve(s.admin)) })
	g.Go(func() error { return s.lease.Run(ctx, s.lead) })
	g.Go(func() error {
		<-ctx.Done()
		s.grpc.Stop() // agents and dashes come back to the next leader by themselves
		return admin.Close()
	})
	return g.Wait()
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) identity() pki.Identity {
	return pki.Identity{Role: pki.RoleServer, Name: pki.Name(s.cfg.ID)}
}

func (s *Server) serveGRPC(guard *pki.Guard) {
	s.grpc = Endpoint(guard)
	pb.RegisterCertificatesServer(s.grpc, enrol.NewService(s.cfg.Authority, s.log))
	pb.RegisterAgentsServer(s.grpc, s.agents)
	pb.RegisterHealthServer(s.grpc, s.agents)
	pb.RegisterPlatformServer(s.grpc, &platform{s: s})
}

// Endpoint is a server's gRPC before any service is registered: guarded, and with
// buffers for very many connections.
func Endpoint(guard *pki.Guard) *grpc.Server {
	return grpc.NewServer(append(guard.Options(),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(16<<20),
		// Constant, or gRPC measures each connection by a ping with every message.
		grpc.StaticStreamWindowSize(256<<10), grpc.StaticConnWindowSize(1<<20),
		grpc.InTapHandle(dispatch.Tap),
		// Ten thousand agents are connected and nearly silent: their buffers are most of what they cost.
		grpc.ReadBufferSize(0), grpc.WriteBufferSize(4<<10), // gRPC shares the latter
	)...)
}

// lead runs one term: the reconciler and the publisher, under a context that
// ends with the lease.
func (s *Server) lead(ctx context.Context, held store.Lease) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	whole, began := ctx, time.Now()
	overtaken := func(epoch int64, by string) {
		if lease.Overtakes(epoch, held, time.Since(began)) {
			s.log.Warn("this leader steps down: somebody has obeyed a higher epoch", "epoch", held.Epoch, "theirs", epoch, "who", by)
			end(&lease.Overtaken{Epoch: epoch, By: by})
		}
	}
	inbox := make(chan dispatch.Event, 1024)
	t := dispatch.NewTerm(ctx, held.Epoch, held.Owner, s.cfg.Heartbeat, inbox)
	limits := s.cfg.limits()
	t.Lost = limits.UnknownAfter + limits.LostAfter
	t.Overtaken = overtaken
	t.Written = func() int64 { return s.store.Written(held.Epoch) }
	pub := publish.New(s.publish, publish.NewRedisTable(s.rdb), held.Epoch, time.Now, s.log, func() { t.Post(reconcile.RoutesServed()) })
	pub.Newer = func(epoch int64) { overtaken(epoch, "redis") }
	seen := new(traffic.Log)
	loop := reconcile.NewLoop(reconcile.Config{
		Plan: s.cfg.plan(), Limits: s.cfg.limits(), Domain: s.cfg.Domain, Sweep: s.cfg.Sweep,
		Debounce: 20 * time.Millisecond, OrphanAfter: s.cfg.Orphans, RouteGrace: s.routeGrace, SafeAfter: s.cfg.SafeAfter,
	}, held, reconcile.Deps{Store: s.store, Routes: pub, Traffic: seen, NewID: store.NewID, Log: s.log, TurnedAway: s.turnedAway}, inbox)
	s.term.Store(&term{term: t, loop: loop, seen: seen, ended: ctx.Done()})
	s.agents.Lead(t)
	defer s.agents.Lead(nil)
	defer s.term.Store(nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return pub.Run(ctx) })
	g.Go(func() error { return s.keepCertificates(ctx, held.Epoch) })
	g.Go(func() error { return observe(ctx, seen, pub) })
	g.Go(func() error {
		err := loop.Run(ctx)
		end(err)
		return err
	})
	return errors.Join(g.Wait(), context.Cause(whole))
}

func (s *Server) leaderAddress() string {
	if l := s.lease.Leader(); l != nil && l.Owner != "" && l.Owner != s.cfg.ID {
		return l.Address
	}
	return ""
}

// Leads reports whether this server leads at the moment.
func (s *Server) Leads() bool { return s.term.Load() != nil }

func (s *Server) adminPages() http.Handler {
	leads := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dinp_server_leads", Help: "1 while this server leads."}, func() float64 {
		if s.Leads() {
			return 1
		}
		return 0
	})
	s.metrics.MustRegister(leads)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	return mux
}

// ready answers 200 when the database answers and some server leads.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	if l := s.lease.Leader(); l == nil || l.Owner == "" {
		http.Error(w, "no server leads yet", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
