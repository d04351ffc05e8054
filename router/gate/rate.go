package gate

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/common/model"
)

// bucket is the generic cell rate algorithm (ITU-T I.371): one number, the time
// at which the next request would come at the permitted rate. The rate is given
// with each request, so that it can change under way.
type bucket struct{ due atomic.Int64 }

// take counts a request and returns how long it is too early; 0 lets it pass.
// One that is refused costs nothing.
func (b *bucket) take(r *model.Rate, now time.Duration) (wait time.Duration) {
	step := max(int64(float64(time.Second)/r.PerSecond), 1)
	saved := step * int64(burst(r))
	for {
		due := b.due.Load()
		next := max(due, int64(now)) + step
		if over := next - int64(now) - saved; over > 0 {
			return time.Duration(over)
		}
		if b.due.CompareAndSwap(due, next) {
			return 0
		}
	}
}

func burst(r *model.Rate) int {
	if r.Burst > 0 {
		return r.Burst
	}
	return max(int(math.Ceil(r.PerSecond)), 1)
}

// maxSources bounds the memory of one app's source rate to about 2 MB. Beyond
// it newcomers share one bucket, so that an attacker with a network of
// addresses limits himself first.
const maxSources = 20_000

// sources are the buckets by source address; an IPv6 address counts by its
// /64, which is what one subscriber has.
type sources struct {
	mu     sync.Mutex
	of     map[netip.Addr]*bucket
	swept  time.Duration
	others bucket
}

func (s *sources) take(a netip.Addr, r *model.Rate, now time.Duration) time.Duration {
	return s.bucket(group(a), now).take(r, now)
}

func (s *sources) bucket(a netip.Addr, now time.Duration) *bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.of[a]
	if b != nil {
		return b
	}
	if len(s.of) >= maxSources {
		s.sweep(now)
	}
	if len(s.of) >= maxSources {
		return &s.others
	}
	if s.of == nil {
		s.of = map[netip.Addr]*bucket{}
	}
	b = &bucket{}
	s.of[a] = b
	return b
}

// sweep forgets who has recovered; a full map is looked through once a second.
func (s *sources) sweep(now time.Duration) {
	if s.swept != 0 && now < s.swept+time.Second {
		return
	}
	s.swept = now
	for a, b := range s.of {
		if b.due.Load() <= int64(now) {
			delete(s.of, a)
		}
	}
}

func group(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if p, err := a.Prefix(64); a.Is6() && err == nil {
		return p.Addr()
	}
	return a
}
