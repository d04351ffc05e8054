// Package stats counts requests by app and release: how many, how they ended,
// and how long they took, in the layout of common/histogram. Counting is on
// the path of every request: it takes no lock and allocates nothing.
package stats

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/common/histogram"
)

// Key names a series. Both are from the route table, never from a visitor, so
// there are as many series as the platform has releases in service.
type Key struct {
	App     string // empty: requests for no app of ours
	Release int    // 0: answered before an instance was chosen
}

// Classes of status, as the index of Series.Classes: 1xx to 5xx, and 0 for
// what was not answered at all.
const Classes = 6

// Series are the counts of one release. They only grow.
type Series struct {
	Key
	class  [Classes]atomic.Uint64
	micros atomic.Uint64 // sum of all times
	since  atomic.Int64  // unix second of the first request
	last   atomic.Int64  // unix second of the last request
	hist   [histogram.Buckets]atomic.Uint64
}

const shards = 64

// maxReleases of one app are counted at a time; the one that was idle for the
// longest makes room.
const maxReleases = 8

// Recorder counts. The zero Recorder is ready.
type Recorder struct {
	mu     sync.Mutex // of writers of the maps
	shards [shards]atomic.Pointer[map[Key]*Series]
}

func shardOf(app string) uint32 {
	h := uint32(2166136261)
	for i := range len(app) {
		h = (h ^ uint32(app[i])) * 16777619
	}
	return h % shards
}

// Of returns the series of a release, for Observe. It lives on until Forget.
func (r *Recorder) Of(k Key) *Series {
	if m := r.shards[shardOf(k.App)].Load(); m != nil {
		if s := (*m)[k]; s != nil {
			return s
		}
	}
	return r.add(k)
}

func (r *Recorder) add(k Key) *Series {
	k.App = string(append([]byte(nil), k.App...)) // it may lie in a buffer
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.copyOf(k.App)
	if s := of[k]; s != nil {
		return s
	}
	makeRoom(of, k.App)
	s := &Series{Key: k}
	of[k] = s
	r.shards[shardOf(k.App)].Store(&of)
	return s
}

func (r *Recorder) copyOf(app string) map[Key]*Series {
	of := map[Key]*Series{}
	if m := r.shards[shardOf(app)].Load(); m != nil {
		for k, s := range *m {
			of[k] = s
		}
	}
	return of
}

func makeRoom(of map[Key]*Series, app string) {
	n := 0
	var oldest *Series
	for k, s := range of {
		if k.App == app {
			n++
			if oldest == nil || s.last.Load() < oldest.last.Load() {
				oldest = s
			}
		}
	}
	if n >= maxReleases {
		delete(of, oldest.Key)
	}
}

// Forget drops the series of an app that has left the table.
func (r *Recorder) Forget(app string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.copyOf(app)
	for k := range of {
		if k.App == app {
			delete(of, k)
		}
	}
	r.shards[shardOf(app)].Store(&of)
}

// Observe counts a request that has ended with a status at a time. Upgraded
// connections (101) are counted, but their life is no latency.
func (s *Series) Observe(status int, took time.Duration, now time.Time) {
	class := status / 100
	if class < 0 || class >= Classes || status == statusClientGone {
		class = 0
	}
	s.class[class].Add(1)
	if unix := now.Unix(); s.last.Load() != unix {
		s.last.Store(unix)
		s.since.CompareAndSwap(0, unix)
	}
	if status != statusUpgraded {
		s.hist[histogram.Bucket(took)].Add(1)
		s.micros.Add(uint64(max(took, 0) / time.Microsecond))
	}
}

// Statuses that are counted apart.
const (
	statusUpgraded   = 101
	statusClientGone = 499 // logged, never sent: the client left first
)

// Snapshot is a copy of a series' counts.
type Snapshot struct {
	Key
	Class  [Classes]uint64
	Sum    time.Duration // of all times
	Since  time.Time     // of the first request, to the second
	Last   time.Time     // of the last request, to the second
	Counts histogram.Counts
}

// Requests returns the sum of the classes.
func (s *Snapshot) Requests() (n uint64) {
	for _, c := range s.Class {
		n += c
	}
	return n
}

// Apps are the names of all apps that have series.
func (r *Recorder) Apps() map[string]bool {
	out := map[string]bool{}
	for i := range r.shards {
		if m := r.shards[i].Load(); m != nil {
			for k := range *m {
				out[k.App] = true
			}
		}
	}
	return out
}

// Snapshots copies all series, in no order.
func (r *Recorder) Snapshots() []Snapshot {
	var out []Snapshot
	for i := range r.shards {
		m := r.shards[i].Load()
		if m == nil {
			continue
		}
		for _, s := range *m {
			out = append(out, s.snapshot())
		}
	}
	return out
}

func (s *Series) snapshot() Snapshot {
	out := Snapshot{Key: s.Key, Sum: time.Duration(s.micros.Load()) * time.Microsecond,
		Since: time.Unix(s.since.Load(), 0), Last: time.Unix(s.last.Load(), 0)}
	for i := range s.class {
		out.Class[i] = s.class[i].Load()
	}
	for i := range s.hist {
		out.Counts[i] = s.hist[i].Load()
	}
	return out
}
