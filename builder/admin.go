package builder

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the builder's own figures.
type metrics struct {
	registry *prometheus.Registry
	ended    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	running  prometheus.Gauge
	reused   prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dinp_builder_builds_total", Help: "Builds that ended here, by status and runtime."}, []string{"status", "runtime"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dinp_builder_phase_seconds", Help: "Time of each phase of a build.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30, 100, 300, 1000}}, []string{"phase"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "dinp_builder_builds_running", Help: "Builds under way here."}),
		reused:  prometheus.NewCounter(prometheus.CounterOpts{Name: "dinp_builder_images_reused_total", Help: "Builds whose image was there already."}),
	}
	m.registry.MustRegister(m.ended, m.seconds, m.running, m.reused)
	return m
}

func (b *Builder) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := b.ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

// ready reports why no build would succeed at the moment; nil if some would.
func (b *Builder) ready(ctx context.Context) error {
	b.mu.Lock()
	err := b.claimErr
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := b.registry.Ping(ctx); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}
