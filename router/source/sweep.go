package source

import (
	"context"
	"maps"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// maxSince is the number of batches after which a sweep that has not ended is
// given up: Redis is too slow for it, or the leader writes all the time.
const maxSince = 20_000

// sweep is a listing read beside the stream, so that no change waits until
// 100,000 routes are read and decoded. Run's goroutine owns it.
type sweep struct {
	began  route.Version
	since  []route.Batch // applied to wanted since it began
	done   chan swept    // size 1
	stop   context.CancelFunc
	result *swept // came, and is ahead of the stream
}

// swept is what a sweep brings.
type swept struct {
	head  route.Head
	table *table.Table
	bad   []table.Bad
	err   error
}

// startSweep reads and builds a table in the background, unless that is under
// way already.
func (s *Source) startSweep(ctx context.Context, c *redis.Client) {
	if s.sweep != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &sweep{began: s.keep.wanted.Version(), done: make(chan swept, 1), stop: cancel}
	prev := s.keep.wanted
	s.sweeps.Go(func() {
		l, err := s.read(ctx, c)
		if err != nil {
			w.done <- swept{err: err}
			return
		}
		t, bad := table.BuildFrom(l.head.Version, newPacer(ctx).paced(maps.All(l.entries)), prev)
		w.done <- swept{head: l.head, table: t, bad: bad}
	})
	s.sweep = w
}

// stopSweep drops what a sweep would bring.
func (s *Source) stopSweep() {
	if s.sweep != nil {
		s.sweep.stop()
		s.sweep = nil
	}
}

// note remembers a batch that the sweep under way may have missed.
func (s *Source) note(b route.Batch) {
	if s.sweep == nil {
		return
	}
	if s.sweep.since = append(s.sweep.since, b); len(s.sweep.since) > maxSince {
		s.log.Warn("sweep of all routes given up", "batches", maxSince)
		s.stopSweep()
	}
}

// endSweep lets the keeper judge what a sweep has brought, brought forward to
// the version that is followed. Its cost is that of the batches since.
func (s *Source) endSweep(ctx context.Context, c *redis.Client) {
	w := s.sweep
	if w == nil {
		return
	}
	if w.result == nil {
		select {
		case r := <-w.done:
			w.result = &r
		default:
			return
		}
	}
	if w.result.err == nil && s.keep.wanted.Version().Less(w.result.table.Version()) {
		return // its batches are on their way; a gap lists anew
	}
	s.stopSweep()
	if w.result.err != nil {
		s.log.Warn("routes not swept", "err", w.result.err)
		return
	}
	if w.result.head.Forgets(w.began) {
		return // what was listed lacks what is served, and will be whole soon
	}
	t := w.forward()
	out := s.keep.listed(t, func() []route.Batch { return s.meant(ctx, c) })
	out.bad = w.result.bad
	s.settle(out, "list", t.Version())
}

// forward applies what the stream brought after the sweep's version. A sweep of
// a version from before it began is a stale replica's: it is left to the keeper.
func (w *sweep) forward() *table.Table {
	t := w.result.table
	if t.Version().Less(w.began) {
		return t
	}
	for _, b := range w.since {
		if t.Version().Less(b.Version) {
			t, _ = t.Apply(b)
		}
	}
	return t
}

// untilNext is how long to wait for the stream: a sweep under way is looked at
// more often.
func (s *Source) untilNext() time.Duration {
	d := min(s.cfg.Idle, time.Until(s.listAt))
	if s.sweep != nil {
		d = min(d, time.Second)
	}
	return max(d, time.Millisecond)
}
