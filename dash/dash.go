// Package dash is the front door for people and scripts: the web pages and the
// REST API under /api/v1. Both call the same use cases (service_*.go), which ask
// dash/policy who may do what, write the desired state through sql/store and tell
// the leader that it changed. What is observed rather than stored is asked of the
// leader; when no server leads, dash still reads and writes the desired state.
//
// Dash never talks to agents, Docker, Redis or routers, never decides where
// something runs, and never acts on a session or token it cannot find.
package dash

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/retention"
	"github.com/dinp/dinp/sql/store"
)

// Dash is the part. Make it with New, then Listen, then Run.
type Dash struct {
	cfg       Config
	store     *store.Store
	log       *slog.Logger
	leader    *leaderClient
	artifacts *artifactStore
	rules     retention.Rules
	sweeper   Sweeper // nil: the registry frees room on its own
	uploads   *uploadStore
	passwords passwords
	throttle  *throttle
	metrics   *metrics
	handler   http.Handler

	main, admin net.Listener
	stopping    chan struct{} // closed once, by Run; ends streams and waits
	stopOnce    sync.Once
}

// New makes a dash on an open store. It does no I/O.
func New(cfg Config, st *store.Store, log *slog.Logger) (*Dash, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log = log.With("component", "dash")
	artifacts, err := newArtifactStore(cfg.Registry)
	if err != nil {
		return nil, err
	}
	d := &Dash{
		cfg: cfg, store: st, log: log,
		leader:    newLeaderClient(cfg.Servers, cfg.Identity, log),
		artifacts: artifacts,
		rules:     retentionRules(cfg),
		uploads:   newUploadStore(filepath.Join(cfg.Data, "uploads"), cfg.maxUpload()),
		passwords: newPasswords(),
		throttle:  newThrottle(),
		metrics:   newMetrics(),
		stopping:  make(chan struct{}),
	}
	d.handler, err = d.routes()
	return d, err
}

// Listen makes the data directory and binds the ports, so that a port that is
// taken is an error before anything runs.
func (d *Dash) Listen() error {
	if err := os.MkdirAll(d.uploads.dir, 0o700); err != nil {
		return fmt.Errorf("dash: data directory: %w", err)
	}
	var err error
	if d.main, err = listen(d.cfg.Listen, "listen"); err != nil || d.cfg.Admin == "" {
		return err
	}
	if d.admin, err = listen(d.cfg.Admin, "admin"); err != nil {
		return errors.Join(err, d.main.Close())
	}
	return nil
}

func listen(addr, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, model.E(model.CodePortTaken, "dash cannot listen on %s: another program has the port", addr).
			WithCause(err).WithNext("stop that program, or set dash's %s to another port", setting)
	case err != nil:
		return nil, model.E(model.CodeBadConfig, "dash cannot listen on %s", addr).WithCause(err).WithNext("set dash's %s to an address of this machine", setting)
	}
	return l, nil
}

// Addr is where pages and API are served, after Listen.
func (d *Dash) Addr() string { return d.main.Addr().String() }

// AdminAddr is where /healthz, /readyz and /metrics are served, after Listen;
// "" when that is off.
func (d *Dash) AdminAddr() string {
	if d.admin == nil {
		return ""
	}
	return d.admin.Addr().String()
}

// Handler serves pages and API without a listener of its own.
func (d *Dash) Handler() http.Handler { return d.handler }

// shutdownTime bounds the wait for requests under way at the end.
const shutdownTime = 10 * time.Second

// Run serves until ctx ends, then lets the requests under way finish. Listen
// must have been called.
func (d *Dash) Run(ctx context.Context) error {
	if d.main == nil {
		return errors.New("dash: Run before Listen")
	}
	servers := []*http.Server{d.server(d.handler)}
	listeners := []net.Listener{d.main}
	if d.admin != nil {
		servers, listeners = append(servers, d.server(d.adminHandler())), append(listeners, d.admin)
	}
	failed := make(chan error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			if err := s.Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("dash: serve %s: %w", listeners[i].Addr(), err)
			}
		})
	}
	work, cancel := context.WithCancel(ctx)
	wg.Go(func() { d.uploads.sweep(work, d.log) })
	wg.Go(func() { d.collectRegularly(work) })
	wg.Go(func() { d.rebases(work) })
	d.log.Info("dash started", "addr", d.Addr(), "admin", d.AdminAddr())
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	err = errors.Join(err, d.shutdown(ctx, servers))
	wg.Wait()
	return err
}

// shutdown stops taking requests, ends streams, and waits for the rest.
func (d *Dash) shutdown(ctx context.Context, servers []*http.Server) error {
	d.stopOnce.Do(func() { close(d.stopping) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime) // ctx has ended: that is why we are here
	defer cancel()
	var errs []error
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, s.Close()) // what does not end in time is cut
		}
	}
	return errors.Join(append(errs, d.leader.close())...)
}

// server has no ReadTimeout and no WriteTimeout: uploads and streams are long.
// Bodies and streams set their own deadlines, moved on with each bit of progress.
func (d *Dash) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
}
