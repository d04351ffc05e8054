// Package hm is the night watch: it probes every running instance at L7 and
// tells the leader its verdicts. It never stops, starts or routes anything, and
// talks to no engine: what a verdict leads to is the leader's to decide, who
// alone sees how many would be hit at once.
package hm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/hm/monitor"
	"github.com/dinp/dinp/hm/probe"
	"github.com/dinp/dinp/hm/report"
	"github.com/dinp/dinp/proto/follow"
)

// HM is one health monitor. Make it with New, then Listen, then Run.
type HM struct {
	cfg     Config
	log     *slog.Logger
	monitor *monitor.Monitor
	client  *follow.Client
	admin   net.Listener // set by Listen
}

const shutdownTimeout = 2 * time.Second

// New returns a monitor. It does no I/O.
func New(cfg Config, log *slog.Logger) *HM {
	log = log.With("component", "hm")
	out := follow.NewOutbox()
	m := monitor.New(probe.HTTP, out.Note)
	return &HM{cfg: cfg, log: log, monitor: m, client: report.New(
		follow.Config{Servers: cfg.Servers, Identity: cfg.Identity}, uuid.NewString(), m, out, log)}
}

// Listen checks the configuration and binds the admin port.
func (h *HM) Listen() (err error) {
	if err := h.cfg.Validate(); err != nil {
		return err
	}
	if h.cfg.Admin == "" {
		return nil
	}
	h.admin, err = net.Listen("tcp", h.cfg.Admin)
	if errors.Is(err, syscall.EADDRINUSE) {
		return model.E(model.CodePortTaken, "the health monitor's port %s is in use by another program", h.cfg.Admin).
			WithNext("set admin to a free one").WithCause(err)
	}
	return err
}

// Close gives back what Listen took, when Run is not to be called.
func (h *HM) Close() error {
	if h.admin == nil {
		return nil
	}
	return h.admin.Close()
}

// AdminAddr returns where /healthz, /readyz and /metrics are served; "" when nowhere.
func (h *HM) AdminAddr() string {
	if h.admin == nil {
		return ""
	}
	return h.admin.Addr().String()
}

// Run probes and reports until ctx ends.
func (h *HM) Run(ctx context.Context) error {
	h.log.Info("health monitor started", "servers", h.cfg.Servers)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.monitor.Run(ctx) })
	g.Go(func() error { return h.client.Run(ctx) })
	if h.admin != nil {
		g.Go(func() error { return h.serveAdmin(ctx) })
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (h *HM) serveAdmin(ctx context.Context) error {
	srv := &http.Server{Handler: h.mux(), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		_ = srv.Shutdown(sctx) // who still asks then gets a closed connection
	})
	defer stop()
	if err := srv.Serve(h.admin); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin port: %w", err)
	}
	return ctx.Err()
}

func (h *HM) mux() http.Handler {
	metrics := prometheus.NewRegistry()
	gauge := func(name, help string, f func() float64) {
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("dinp_hm_targets", "Instances watched.", func() float64 { n, _ := h.monitor.Count(); return float64(n) })
	gauge("dinp_hm_healthy", "Instances with a healthy verdict.", func() float64 { _, n := h.monitor.Count(); return float64(n) })
	gauge("dinp_hm_session_up", "Whether a leader is connected.", func() float64 {
		if h.client.State().Connected {
			return 1
		}
		return 0
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /debug/state", h.debugState)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

func (h *HM) readyz(w http.ResponseWriter, _ *http.Request) {
	if s := h.client.State(); !s.Connected {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "no leader among %q: %s\n", h.cfg.Servers, s.LastError)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (h *HM) debugState(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"session": h.client.State(), "verdicts": h.monitor.All()}); err != nil {
		h.log.Debug("debug state not written", "err", err)
	}
}
