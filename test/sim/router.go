package sim

import (
	"slices"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/source"
	"github.com/dinp/dinp/router/table"
)

// simRouter is the shell around the router's keeper of routes, which decides what
// is served of what Redis says. Its snapshot on disk is written at once.
type simRouter struct {
	w     *World
	name  string
	p     *process
	clock clock
	keep  *source.Keeper
	disk  *table.Table // the snapshot

	life   int // of Redis' stream that is followed; -1: list
	cursor int
	due    bool // a look is on its way
	listed time.Time
	since  time.Time // when it has become available; zero while it is not
}

const (
	routerLine   = 2 * time.Second
	routerList   = time.Minute
	routerNotice = 25 * time.Millisecond
)

func newRouter(w *World, name string) *simRouter {
	r := &simRouter{w: w, name: name}
	w.redis.wake = append(w.redis.wake, r.hint)
	return r
}

func (r *simRouter) start() {
	if r.p != nil && r.p.alive {
		return
	}
	r.p, r.keep, r.life = r.w.process(r.name, &r.clock), source.NewKeeper(), -1
	if r.disk != nil {
		r.keep.Restore(r.disk)
	}
	r.tick()
}

func (r *simRouter) kill() { r.p.kill() }

func (r *simRouter) tick() {
	r.look()
	r.report()
	r.p.after(routerLine, r.tick)
}

// hint says that Redis changed.
func (r *simRouter) hint() {
	if r.p == nil || !r.p.alive || r.due || !r.w.redis.up(r.name) {
		return
	}
	r.due = true
	p := r.p
	r.w.after(nil, r.w.net.latency("redis", r.name), func() {
		r.due = false
		if r.p == p {
			p.after(0, r.look)
		}
	})
}

// look reads what Redis has got, and serves what the keeper lets through.
func (r *simRouter) look() {
	red := r.w.redis
	if !red.up(r.name) {
		r.life = -1 // the connection is gone
		return
	}
	before := r.keep.Served()
	if r.life != red.life || r.w.now.Sub(r.listed) >= routerList {
		r.list()
	}
	for r.life == red.life && r.cursor < len(red.stream) {
		b := red.stream[r.cursor]
		r.cursor++
		if r.keep.Batch(b).Gap() {
			r.list()
			break
		}
	}
	if t := r.keep.Served(); t != before {
		r.w.check.served(r, before, t)
		r.disk = t
		r.w.say(r.name, "serves %s", t.Version())
		r.w.touch()
		r.p.after(routerNotice, r.report)
	}
}

func (r *simRouter) list() {
	red := r.w.redis
	r.life, r.cursor, r.listed = red.life, len(red.stream), r.w.now
	served := r.keep.Served().Version()
	r.keep.List(red.head, red.entries, func() []route.Batch {
		return slices.DeleteFunc(slices.Clone(red.stream), func(b route.Batch) bool { return !b.Meant || !served.Less(b.Version) })
	})
}

func (r *simRouter) report() {
	if !r.w.redis.up(r.name) {
		return
	}
	line := route.RouterLine{ID: r.name, Addr: r.name, Serves: r.keep.Served().Version(), At: r.p.now().Round(0)}
	r.w.after(nil, r.w.net.latency(r.name, "redis"), func() {
		if r.w.redis.up(r.name) {
			r.w.redis.routers[r.name] = line
		}
	})
}

// sends reports whether the router sends requests to an instance.
func (r *simRouter) sends(host, instance string) bool {
	b := r.keep.Served().Host(host)
	return b != nil && slices.ContainsFunc(b.Endpoints(), func(e route.Endpoint) bool { return e.Instance == instance })
}

// available reports whether the leader can know what the router serves.
func (r *simRouter) available() bool {
	return r.p != nil && r.p.alive && !r.w.now.Before(r.p.pausedUntil) && r.w.redis.up(r.name)
}

// watch notes since when it is available.
func (r *simRouter) watch() {
	switch {
	case !r.available():
		r.since = time.Time{}
	case r.since.IsZero():
		r.since = r.w.now
	}
}
