// Package gate counts an app's requests against the limits of its routing
// settings: at once, per second, per second and source. Counts are of one
// router; they outlive changes of the settings and end with the app.
package gate

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/router/rules"
)

// Gates are the gates of the apps that have limits, by app host.
type Gates struct{ of sync.Map }

// Gate counts one app's requests.
type Gate struct {
	inflight atomic.Int64
	all      bucket
	sources  sources
}

// Of returns the gate of an app, made on first use.
func (g *Gates) Of(host string) *Gate {
	if v, ok := g.of.Load(host); ok {
		return v.(*Gate)
	}
	v, _ := g.of.LoadOrStore(host, &Gate{})
	return v.(*Gate)
}

// Forget drops the gate of an app that is gone.
func (g *Gates) Forget(host string) { g.of.Delete(host) }

// Refusal says which limit a request met.
type Refusal string

// The refusals; empty lets the request pass.
const (
	TooMany       Refusal = "in_flight"
	TooFast       Refusal = "rate"
	TooFastSource Refusal = "source_rate"
)

// Rate counts a request against the rates. A source that asks too much is
// refused before the rate of all is touched: it must not use that up. wait is
// how long until a request may pass.
func (g *Gate) Rate(r *rules.Rules, client netip.Addr, now time.Duration) (why Refusal, wait time.Duration) {
	if r.SourceRate != nil {
		if wait := g.sources.take(client, r.SourceRate, now); wait > 0 {
			return TooFastSource, wait
		}
	}
	if r.Rate != nil {
		if wait := g.all.take(r.Rate, now); wait > 0 {
			return TooFast, wait
		}
	}
	return "", 0
}

// Enter counts a request in. When it returns no refusal, the caller calls Leave
// once the request has ended.
func (g *Gate) Enter(r *rules.Rules) Refusal {
	if n := g.inflight.Add(1); r.MaxInFlight > 0 && n > int64(r.MaxInFlight) {
		g.inflight.Add(-1)
		return TooMany
	}
	return ""
}

// Leave counts a request out.
func (g *Gate) Leave() { g.inflight.Add(-1) }
