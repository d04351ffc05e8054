package proxy

import (
	"context"
	"errors"
	"sync"
)

// errRouterStops is the cause with which upgraded connections are ended.
var errRouterStops = errors.New("router stops")

// upgrades are the requests that asked to leave HTTP, which http.Server's
// Shutdown does not know.
type upgrades struct {
	mu   sync.Mutex
	ends map[*exchange]context.CancelCauseFunc
}

func (u *upgrades) add(x *exchange, end context.CancelCauseFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ends[x] = end
}

func (u *upgrades) remove(x *exchange) {
	u.mu.Lock()
	end := u.ends[x]
	delete(u.ends, x)
	u.mu.Unlock()
	end(nil)
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
			p.endUpgrades()
			return left
		}
	}
	return 0
}

func (p *Proxy) endUpgrades() {
	p.upgrades.mu.Lock()
	defer p.upgrades.mu.Unlock()
	for _, end := range p.upgrades.ends {
		end(errRouterStops)
	}
}

func (p *Proxy) signalIdle() {
	select {
	case p.idle <- struct{}{}:
	default:
	}
}
