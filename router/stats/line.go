package stats

import (
	"cmp"
	"slices"
	"time"

	"github.com/dinp/dinp/common/route"
)

// recent is how long after its last request a release stays in the router's
// line: longer than anybody waits between two readings.
const recent = time.Minute

// Lines returns the counts for the router's line in Redis: of the releases
// with a request within the last minute, those with the most since the router
// started, at most route.MaxAppLines. omitted is how many there was no room
// for; as the counts only grow, nothing is lost with them.
func (r *Recorder) Lines(now time.Time) (lines []route.AppLine, omitted int) {
	for _, s := range r.Snapshots() {
		if now.Sub(s.Last) < recent && s.App != "" {
			lines = append(lines, route.AppLine{
				App: s.App, Release: s.Release, Since: s.Since.Unix(), Requests: s.Requests(), Failed: s.Class[5],
				Seconds: s.Sum.Seconds(), Latency: s.Counts.Encode(),
			})
		}
	}
	slices.SortFunc(lines, func(a, b route.AppLine) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.App, b.App), cmp.Compare(a.Release, b.Release))
	})
	if len(lines) > route.MaxAppLines {
		omitted = len(lines) - route.MaxAppLines
		lines = lines[:route.MaxAppLines]
	}
	return lines, omitted
}
