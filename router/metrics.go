package router

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/router/source"
)

// metrics are the router's numbers. Labels are bounded: apps are those in the
// table, never what a visitor writes, and they go with their app.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec // by app and class of status
	refused  *prometheus.CounterVec // by code
	duration prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dinp_router_requests_total", Help: "Requests that have ended, by app (empty: no such host) and class of status.",
		}, []string{"app", "class"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dinp_router_refused_total", Help: "Requests the router answered itself, by error code.",
		}, []string{"code"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dinp_router_request_seconds", Help: "Time from a request's head to the end of its response.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}),
	}
	m.registry.MustRegister(m.requests, m.refused, m.duration,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) observe(r proxy.Record) {
	m.requests.WithLabelValues(r.App, strconv.Itoa(r.Status/100)+"xx").Inc()
	if r.Code != "" {
		m.refused.WithLabelValues(string(r.Code)).Inc()
	}
	if r.Status != 101 { // an upgraded connection's life is no latency
		m.duration.Observe(r.Duration.Seconds())
	}
}

func (m *metrics) forget(app string) {
	m.requests.DeletePartialMatch(prometheus.Labels{"app": app})
}

// watch registers what others count.
func (m *metrics) watch(p *proxy.Proxy, set *balance.Set, s *source.Source) {
	m.gauge("in_flight", "Requests being served.", func() float64 { return float64(p.InFlight()) })
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
