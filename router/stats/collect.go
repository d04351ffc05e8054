package stats

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dinp/dinp/common/histogram"
)

// The series as Prometheus sees them.
var (
	descRequests = prometheus.NewDesc("dinp_router_requests_total",
		"Requests that have ended, by app (empty: no such host), release (0: none was chosen) and class of status (none: the client left first).",
		[]string{"app", "release", "class"}, nil)
	descSeconds = prometheus.NewDesc("dinp_router_app_request_seconds",
		"Time from a request's head to the end of its response, by app.", []string{"app"}, nil)
	descAll = prometheus.NewDesc("dinp_router_request_seconds",
		"Time from a request's head to the end of its response.", nil, nil)
)

// maxApps bounds the number of apps with a histogram of their own at
// /metrics. Where there are more, Redis has them all.
const maxApps = 1000

// Describe implements prometheus.Collector.
func (r *Recorder) Describe(ch chan<- *prometheus.Desc) {
	ch <- descRequests
	ch <- descSeconds
	ch <- descAll
}

// Collect implements prometheus.Collector.
func (r *Recorder) Collect(ch chan<- prometheus.Metric) {
	type sum struct {
		counts histogram.Counts
		took   time.Duration
	}
	all, apps := sum{}, map[string]*sum{}
	for _, s := range r.Snapshots() {
		release := strconv.Itoa(s.Release)
		for class, n := range s.Class {
			if n > 0 {
				ch <- prometheus.MustNewConstMetric(descRequests, prometheus.CounterValue, float64(n), s.App, release, className(class))
			}
		}
		all.counts.Merge(&s.Counts)
		all.took += s.Sum
		app := apps[s.App]
		if app == nil && len(apps) < maxApps {
			app = &sum{}
			apps[s.App] = app
		}
		if app != nil {
			app.counts.Merge(&s.Counts)
			app.took += s.Sum
		}
	}
	for name, app := range apps {
		ch <- expose(descSeconds, &app.counts, app.took, name)
	}
	ch <- expose(descAll, &all.counts, all.took)
}

func className(class int) string {
	if class == 0 {
		return "none"
	}
	return strconv.Itoa(class) + "xx"
}

// expose folds the layout into one bucket a doubling, 256 µs to 67 s, whose
// bounds are bounds of the layout: nothing is estimated.
func expose(d *prometheus.Desc, c *histogram.Counts, took time.Duration, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, 19)
	next := 256 * time.Microsecond
	var seen uint64
	for i, n := range c {
		if low, _ := histogram.Bounds(i); low == next && low <= 68*time.Second {
			buckets[low.Seconds()] = seen
			next *= 2
		}
		seen += n
	}
	return prometheus.MustNewConstHistogram(d, seen, took.Seconds(), buckets, labels...)
}
