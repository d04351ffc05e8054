package sim

import (
	"time"

	"github.com/dinp/dinp/server/traffic"
)

// visits are an app's answers as a leader counts them: twenty a second for each
// release of an app that is watched, all of them good. What a canary is judged
// by is for server/plan's own tests; here it is to pass its stages at any time.
type visits struct {
	now   func() time.Time
	since map[string]time.Time
}

// Watch implements reconcile.Traffic.
func (v *visits) Watch(app string) {
	if v.since == nil {
		v.since = map[string]time.Time{}
	}
	v.since[app] = v.now()
}

// Unwatch implements reconcile.Traffic.
func (v *visits) Unwatch(app string) { delete(v.since, app) }

// Watched implements reconcile.Traffic.
func (v *visits) Watched(app string, _ int) traffic.Tally {
	at, ok := v.since[app]
	if !ok {
		return traffic.Tally{}
	}
	return traffic.Tally{Requests: uint64(20 * v.now().Sub(at) / time.Second)}
}
