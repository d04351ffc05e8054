package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/dinp/dinp/common/api"
)

// Chart is the last hour of an app's traffic as lines of an SVG of 60 × 20 units.
type Chart struct {
	Requests, Failed, P99 string // points
	MostRequests          uint64 // in a minute
	SlowestP99            string
}

// chartMinutes and chartHeight are the size of a Chart.
const (
	chartMinutes = 60
	chartHeight  = 20
)

// newChart draws minutes that end at the last of them; those that are missing
// had no requests.
func newChart(minutes []api.MinuteTraffic) *Chart {
	if len(minutes) == 0 {
		return nil
	}
	last := minutes[len(minutes)-1].At
	var requests, failed, p99 [chartMinutes]float64
	c := &Chart{}
	slowest := 0.0
	for _, m := range minutes {
		i := chartMinutes - 1 - int(last.Sub(m.At)/time.Minute)
		if i < 0 || i >= chartMinutes {
			continue
		}
		requests[i], failed[i], p99[i] = float64(m.Requests), float64(m.Failed), m.P99
		c.MostRequests, slowest = max(c.MostRequests, m.Requests), max(slowest, m.P99)
	}
	c.SlowestP99 = millis(slowest)
	c.Requests, c.Failed, c.P99 = line(requests[:], float64(c.MostRequests)), line(failed[:], float64(c.MostRequests)), line(p99[:], slowest)
	return c
}

// line is the points of values, the highest of which is top.
func line(values []float64, top float64) string {
	var b strings.Builder
	for i, v := range values {
		y := chartHeight - 0.5
		if top > 0 {
			y -= v / top * (chartHeight - 1)
		}
		fmt.Fprintf(&b, "%d,%.1f ", i, y)
	}
	return strings.TrimSpace(b.String())
}

// millis writes milliseconds for people.
func millis(ms float64) string {
	switch {
	case ms == 0:
		return "–"
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 10_000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

// rate writes a number per second for people.
func rate(perSecond float64) string {
	if perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return fmt.Sprintf("%.0f", perSecond)
}
