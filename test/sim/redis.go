package sim

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/publish"
)

// redisModel is the route table's store: atomic writes, fenced as the script of
// server/publish does it. It can be flushed, be away, lose answers, and fail over
// to a replica that has not got the last writes.
type redisModel struct {
	w *World
	redisState
	past []redisState // before each of the last writes, with their times
	life int          // grows when the stream is not what it was: followers must list
	lost bool         // it has lost something once

	downUntil time.Time
	unknown   int // of 100 writes, how many answer with an error all the same
	written   func(before, after map[string]string, b route.Batch)
	wake      []func() // of routers that follow
}

// redisState is what Redis holds.
type redisState struct {
	at      time.Time
	head    route.Head
	entries map[string]string
	stream  []route.Batch
	routers map[string]route.RouterLine
}

func newRedis(w *World) *redisModel {
	return &redisModel{w: w, redisState: redisState{entries: map[string]string{}, routers: map[string]route.RouterLine{}}}
}

func (s redisState) clone(at time.Time) redisState {
	s.at, s.entries, s.routers, s.stream = at, maps.Clone(s.entries), maps.Clone(s.routers), slices.Clone(s.stream)
	return s
}

var errRedisAway = errors.New("redis does not answer")

func (r *redisModel) up(from string) bool {
	return !r.w.now.Before(r.downUntil) && r.w.net.reaches(from, "redis")
}

// flush loses everything.
func (r *redisModel) flush() {
	r.redisState = redisState{entries: map[string]string{}, routers: map[string]route.RouterLine{}}
	r.past, r.life, r.lost = nil, r.life+1, true
	r.ring()
}

// stale fails over to a replica that is some writes behind.
func (r *redisModel) stale(writes int) {
	if writes = min(writes, len(r.past)); writes == 0 {
		return
	}
	r.redisState = r.past[len(r.past)-writes]
	r.past, r.life, r.lost = r.past[:len(r.past)-writes], r.life+1, true
	r.ring()
}

// leave is away for a while; followers' connections break.
func (r *redisModel) leave(d time.Duration) {
	r.downUntil = r.w.now.Add(d)
	r.life++
}

func (r *redisModel) ring() {
	for _, f := range r.wake {
		f()
	}
}

// redisClient is a server's client; it implements publish.Table. Its calls wait
// in the thread that makes them.
type redisClient struct {
	r *redisModel
	p *process
}

const redisTimeout = 3 * time.Second

func (c redisClient) exchange(ctx context.Context, do func() error) error {
	t := c.p.s.cur
	t.sleep(c.r.w.net.latency(c.p.name, "redis"))
	if err := ctx.Err(); err != nil {
		return err
	}
	if !c.r.up(c.p.name) {
		if !c.r.w.net.reaches(c.p.name, "redis") {
			t.sleep(redisTimeout)
		}
		return errRedisAway
	}
	err := do()
	t.sleep(c.r.w.net.latency("redis", c.p.name))
	if c.r.w.net.cut("redis", c.p.name) {
		t.sleep(redisTimeout)
		return errRedisAway
	}
	return err
}

// Head implements publish.Table.
func (c redisClient) Head(ctx context.Context) (h route.Head, err error) {
	err = c.exchange(ctx, func() error { h = c.r.head; return nil })
	return h, err
}

// Read implements publish.Table.
func (c redisClient) Read(ctx context.Context) (all map[string]string, err error) {
	err = c.exchange(ctx, func() error { all = maps.Clone(c.r.entries); return nil })
	return all, err
}

// Write implements publish.Table.
func (c redisClient) Write(ctx context.Context, b route.Batch, after *route.Version) error {
	return c.exchange(ctx, func() error {
		lost := c.r.unknown > 0 && c.r.w.chance("redis/unknown", c.r.unknown)
		if lost && c.r.w.chance("redis/unknown", 50) {
			return errRedisAway
		}
		if err := c.r.write(b, after); err != nil || !lost {
			return err
		}
		return errRedisAway
	})
}

func (r *redisModel) write(b route.Batch, after *route.Version) error {
	switch {
	case !r.head.Less(b.Version):
		return publish.ErrOldVersion
	case after != nil && r.head.Version != *after:
		return publish.ErrGap
	}
	r.past = append(r.past, r.redisState.clone(r.w.now))
	if len(r.past) > keptCommits {
		r.past = r.past[1:]
	}
	before := r.entries
	r.entries = maps.Clone(before)
	for _, ch := range b.Changes {
		if ch.Value == nil {
			delete(r.entries, ch.Key)
		} else {
			r.entries[ch.Key] = *ch.Value
		}
	}
	r.head = r.headAfter(b)
	r.stream = append(slices.Clip(r.stream), b)
	r.written(before, r.entries, b)
	r.ring()
	return nil
}

// headAfter is what the table is once a batch is written.
func (r *redisModel) headAfter(b route.Batch) route.Head {
	switch {
	case !b.Partial:
		return route.Head{Version: b.Version}
	case b.Anew:
		return route.Head{Version: b.Version, Base: route.Nothing}
	case r.head == route.Head{} || r.head.Epoch == b.Epoch:
		return route.Head{Version: b.Version, Base: r.head.Base, Found: r.head.Found}
	case r.head.Base != route.Version{}:
		return route.Head{Version: b.Version, Base: r.head.Base, Found: r.head.Version}
	}
	return route.Head{Version: b.Version, Base: r.head.Version}
}

// Routers implements publish.Table.
func (c redisClient) Routers(ctx context.Context) (lines []route.RouterLine, err error) {
	err = c.exchange(ctx, func() error { lines = sorted(c.r.routers); return nil })
	return lines, err
}
