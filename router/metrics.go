package router

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/limit"
	"github.com/dinp/dinp/router/source"
)

// metrics are the router's numbers. Labels are bounded: apps and releases are
// those in the table, never what a visitor writes, and they go with their app.
type metrics struct {
	registry *prometheus.Registry
	refused  *prometheus.CounterVec // by code
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dinp_router_refused_total", Help: "Requests the router answered itself, by error code.",
		}, []string{"code"}),
	}
	m.registry.MustRegister(m.refused, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch registers what others count.
func (r *Router) watch() {
	m := r.metrics
	m.registry.MustRegister(&r.stats)
	m.watchSource(r.set, r.source)
	m.watchIntake(r.intake, r.sources)
	m.gauge("in_flight", "Requests being served.", func() float64 { return float64(r.inFlight()) })
	m.counter("stalled_total", "Requests ended because their client sent or took nothing.", nil, func() float64 { return float64(r.stalled()) })
	m.counter("access_lines_dropped_total", "Lines of the access log for which there was no room.", nil, func() float64 { return float64(r.access.Dropped()) })
	if r.certs != nil {
		m.gauge("certificates", "Names with a certificate.", func() float64 { return float64(len(r.certs.Table().Names())) })
		m.counter("http3_refused_total", "Connections of HTTP/3 that were too many.", nil, func() float64 { return float64(r.quicRefused()) })
		m.counter("tls_no_certificate_total", "Handshakes refused for want of a certificate.", nil, func() float64 { return float64(r.certs.Misses()) })
	}
}

func (m *metrics) watchIntake(in *intake.Intake, sources *limit.Sources) {
	m.gauge("connections", "Connections open.", func() float64 { n, _ := sources.Connections(); return float64(n) })
	m.gauge("sources", "Addresses that are counted.", func() float64 { _, n := sources.Connections(); return float64(n) })
	for outcome, n := range map[string]*atomic.Uint64{
		"taken": &in.Counts.Taken, "too_many": &in.Counts.RefusedTotal, "too_many_of_source": &in.Counts.RefusedSource, "no_proxy_header": &in.Counts.BadHeader,
	} {
		m.counter("connections_total", "Connections that came, by what became of them.", prometheus.Labels{"outcome": outcome}, func() float64 { return float64(n.Load()) })
	}
}

func (m *metrics) watchSource(set *balance.Set, s *source.Source) {
	m.gauge("table_epoch", "Epoch of the table served.", func() float64 { return float64(set.Table().Version().Epoch) })
	m.gauge("table_seq", "Sequence number of the table served.", func() float64 { return float64(set.Table().Version().Seq) })
	m.gauge("table_hosts", "App hosts in the table served.", func() float64 { n, _ := set.Table().Len(); return float64(n) })
	m.gauge("redis_connected", "1 while Redis answers.", func() float64 { return number(s.Status().Connected) })
	m.gauge("withdrawal_held", "1 while a mass withdrawal is held back.", func() float64 { return number(s.Status().Held) })
	m.counter("route_bad_values_total", "Values in Redis that could not be read.", nil, func() float64 { return float64(s.Status().BadValues) })
	m.counter("route_lists_total", "Listings of all routes.", nil, func() float64 { return float64(s.Status().Lists) })
	for _, reason := range source.Reasons() {
		m.counter("route_refusals_total", "Lists, batches and checks that were not simply taken, by reason.",
			prometheus.Labels{"reason": reason}, func() float64 { return float64(s.Status().Refusals[reason]) })
	}
}

func (m *metrics) gauge(name, help string, f func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dinp_router_" + name, Help: help}, f))
}

func (m *metrics) counter(name, help string, labels prometheus.Labels, f func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dinp_router_" + name, Help: help, ConstLabels: labels}, f))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
