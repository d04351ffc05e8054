package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dinp/dinp/router/balance"
)

// The causes with which upgraded connections are ended; their texts are the
// access log's reasons.
var (
	errRouterStops = errors.New("router_stops")
	errDrained     = errors.New("drained") // the endpoint left, and its time to drain is over
)

// upgrade is a request that asked to leave HTTP. Nobody but us ends it:
// http.Server's Shutdown does not know it, and the app may hold it for days.
type upgrade struct {
	end context.CancelCauseFunc
	at  *balance.Endpoint // guarded by upgrades.mu: where it goes; nil until it is claimed
}

// upgrades are those of now, by endpoint; nil has those that wait for one.
type upgrades struct {
	mu sync.Mutex
	of map[*balance.Endpoint]map[*upgrade]struct{}
}

// add takes an upgrade in, and moves one that is tried at another endpoint.
func (u *upgrades) add(g *upgrade, e *balance.Endpoint) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop(g)
	g.at = e
	if u.of[e] == nil {
		u.of[e] = map[*upgrade]struct{}{}
	}
	u.of[e][g] = struct{}{}
}

func (u *upgrades) remove(g *upgrade) {
	u.mu.Lock()
	u.drop(g)
	u.mu.Unlock()
	g.end(nil)
}

// drop is called under mu.
func (u *upgrades) drop(g *upgrade) {
	delete(u.of[g.at], g)
	if len(u.of[g.at]) == 0 {
		delete(u.of, g.at)
	}
}

// endAt ends the upgraded connections of one endpoint.
func (u *upgrades) endAt(e *balance.Endpoint, why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for g := range u.of[e] {
		g.end(why)
	}
}

func (u *upgrades) endAll(why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, list := range u.of {
		for g := range list {
			g.end(why)
		}
	}
}

// retired ends, after a while, the upgraded connections of an endpoint that has
// left the table. Requests note their endpoint right after they claimed it, so
// one that is upgraded only later is ended too.
func (p *Proxy) retired(e *balance.Endpoint, after time.Duration) {
	if e.InFlight() > 0 {
		time.AfterFunc(after, func() { p.upgrades.endAt(e, errDrained) })
	}
}

// endedBy says why we ended an upgraded connection, "" if we did not.
func (x *exchange) endedBy() string {
	if x.upgrade == nil {
		return ""
	}
	for _, why := range []error{errDrained, errRouterStops} {
		if errors.Is(context.Cause(x.timed), why) {
			return why.Error()
		}
	}
	return ""
}

// LastCall makes every answer from now on end its connection.
func (p *Proxy) LastCall() {
	p.closing.Store(true)
	if p.inflight.Load() == 0 {
		p.signalIdle()
	}
}

// Drain waits, after LastCall, until no request is in flight. When ctx ends it
// ends the upgraded connections and reports how many requests were left.
func (p *Proxy) Drain(ctx context.Context) (left int64) {
	for p.inflight.Load() > 0 {
		select {
		case <-p.idle:
		case <-ctx.Done():
			left = p.inflight.Load()
			p.upgrades.endAll(errRouterStops)
			return left
		}
	}
	return 0
}

func (p *Proxy) signalIdle() {
	select {
	case p.idle <- struct{}{}:
	default:
	}
}
