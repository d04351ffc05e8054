// Package limit bounds what one source address may take of a router: open
// connections, and requests per second. It is on the path of every connection
// and request, so it costs one map look-up per connection and one atomic
// exchange per request, and its memory is bounded whatever addresses come.
package limit

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config of the limits. Zero means no limit.
type Config struct {
	Connections int                   // open at once, per source
	Requests    float64               // per second, per source
	Burst       int                   // requests at once above that rate; at least 1
	Total       int                   // connections open at once, of all sources
	Except      func(netip.Addr) bool // sources that are not counted one by one, may be nil
}

// maxSources bounds the memory: about 100 bytes each. Beyond it newcomers
// share one source, so that an attacker with a network of addresses limits
// himself first.
const maxSources = 200_000

const shards = 64

// Sources counts by source address. IPv6 addresses count by their /64, which
// is what one subscriber has.
type Sources struct {
	cfg    Config
	step   int64 // nanoseconds between requests at the permitted rate; 0: no limit
	burst  int64 // nanoseconds that may be saved up
	open   atomic.Int64
	known  atomic.Int64
	shards [shards]shard
	others Source
}

type shard struct {
	mu sync.Mutex
	of map[netip.Addr]*Source
}

// Source is one address. The nil Source is one without limits.
type Source struct {
	owner *Sources
	conns atomic.Int64
	due   atomic.Int64 // when the next request would come at the permitted rate
}

// New returns Sources under the limits.
func New(cfg Config) *Sources {
	s := &Sources{cfg: cfg}
	if cfg.Requests > 0 {
		s.step = int64(float64(time.Second) / cfg.Requests)
		s.burst = s.step * int64(max(cfg.Burst, 1))
	}
	for i := range s.shards {
		s.shards[i].of = map[netip.Addr]*Source{}
	}
	s.others.owner = s
	return s
}

// Refusal says which limit a connection met.
type Refusal string

// The refusals of Open; empty means taken.
const (
	TooManyConnections Refusal = "total"  // of all sources
	TooManyOfSource    Refusal = "source" // of this one
)

// Open counts a connection from addr. When it is taken, the caller calls
// Close with the Source once the connection has ended.
func (s *Sources) Open(addr netip.Addr) (*Source, Refusal) {
	if n := s.open.Add(1); s.cfg.Total > 0 && n > int64(s.cfg.Total) {
		s.open.Add(-1)
		return nil, TooManyConnections
	}
	if s.cfg.Connections == 0 && s.step == 0 || s.cfg.Except != nil && s.cfg.Except(addr) {
		return nil, ""
	}
	src := s.take(group(addr))
	if s.cfg.Connections > 0 && src.conns.Load() > int64(s.cfg.Connections) {
		s.Close(src)
		return nil, TooManyOfSource
	}
	return src, ""
}

// take finds or makes a source and counts the connection, under the lock that
// Sweep holds, too: a source with a connection is never forgotten.
func (s *Sources) take(a netip.Addr) *Source {
	sh := &s.shards[spread(a)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	src := sh.of[a]
	if src == nil {
		if s.known.Load() >= maxSources {
			src = &s.others
		} else {
			src = &Source{owner: s}
			sh.of[a] = src
			s.known.Add(1)
		}
	}
	src.conns.Add(1)
	return src
}

// Close counts a connection off.
func (s *Sources) Close(src *Source) {
	s.open.Add(-1)
	if src != nil {
		src.conns.Add(-1)
	}
}

// Connections returns how many are open, and of how many sources we know.
func (s *Sources) Connections() (open, sources int) { return int(s.open.Load()), int(s.known.Load()) }

// Sweep forgets the sources without connections whose rate has recovered. now
// is any monotonic time, the same as Allow gets.
func (s *Sources) Sweep(now time.Duration) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for a, src := range sh.of {
			if src.conns.Load() == 0 && src.due.Load() <= int64(now) {
				delete(sh.of, a)
				s.known.Add(-1)
			}
		}
		sh.mu.Unlock()
	}
}

// Allow counts a request and reports whether it is within the rate: the
// generic cell rate algorithm (ITU-T I.371), one number per source. A request
// refused costs the source nothing.
func (src *Source) Allow(now time.Duration) bool {
	if src == nil || src.owner.step == 0 {
		return true
	}
	for {
		due := src.due.Load()
		next := max(due, int64(now)) + src.owner.step
		if next-int64(now) > src.owner.burst {
			return false
		}
		if src.due.CompareAndSwap(due, next) {
			return true
		}
	}
}

// group is what counts as one source.
func group(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// spread chooses the shard. It need not withstand attack: the maps within do.
func spread(a netip.Addr) int {
	b := a.As16()
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return int(h % shards)
}
