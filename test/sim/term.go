package sim

import (
	"context"
	"errors"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/lease"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/server/reconcile"
	"github.com/dinp/dinp/sql/store"
)

// term is one leadership.
type term struct {
	s       *simServer
	held    store.Lease
	ctx     context.Context
	end     context.CancelCauseFunc
	core    *reconcile.Core
	pub     *publish.Publisher
	inbox   []dispatch.Event
	news    signal // for the reconciler
	dirty   signal // for the publisher
	threads int
	over    signal // the last thread has ended
	conns   []*serverSession
	ids     int
	open    map[string]string // by node: its session, as far as the core knows
	began   time.Time
	slept   time.Duration // how long its machine had slept when it asked for the lease that it has
	busy    bool          // its core is at work: nobody else may ask it anything

	// By its server's clock.
	since  time.Time            // when it began
	heard  map[string]time.Time // by node: when the core took in a word of it
	round  time.Time            // when the last one began
	right  time.Time            // until when it may act
	lost   map[string]time.Time // by node: the round in which what was on it was given up
	frozen time.Time            // when last so many nodes were silent that no loss is believed
	failed time.Time            // when its last round that failed began
}

// lead begins a term.
func (s *simServer) lead(held store.Lease) *term {
	m := &term{s: s, held: held, heard: map[string]time.Time{}, open: map[string]string{}, lost: map[string]time.Time{}, began: s.w.now, since: s.p.now()}
	m.ctx, m.end = context.WithCancelCause(s.w.ctx)
	log := s.w.logger(s.name)
	times := publish.DefaultConfig()
	times.Part = s.w.part
	m.pub = publish.New(times, redisClient{s.w.redis, s.p}, held.Epoch, s.p.now, log, func() { m.post(reconcile.RoutesServed()) })
	p := plan.Default()
	p.MinReady = minReady
	m.core = reconcile.New(reconcile.Config{
		Plan: p, Limits: limits, Domain: domain, Sweep: 30 * time.Second,
		Debounce: debounce, OrphanAfter: orphanAfter, RouteGrace: 20 * time.Second, SafeAfter: safeAfter,
	}, held, reconcile.Deps{
		Store: dbClient{s.w.db, s.p}, Routes: termRoutes{m.pub, m}, Traffic: &visits{now: s.p.now}, Now: s.p.now, NewID: s.w.newID, Log: log, Tail: m.tail,
	})
	m.pub.Newer = func(epoch int64) { m.overtaken(epoch, "redis") }
	s.term = m
	m.threads = 2
	s.p.spawn(m.reconcile)
	s.p.spawn(m.publish)
	return m
}

// overtaken ends the term as Server.lead does when it is told of a higher epoch.
func (m *term) overtaken(epoch int64, by string) {
	if lease.Overtakes(epoch, m.held, m.s.p.now().Sub(m.since)) {
		m.s.w.say(m.s.name, "steps down: %s has obeyed epoch %d", by, epoch)
		m.stop(&lease.Overtaken{Epoch: epoch, By: by})
	}
}

// stop ends the term: its sessions end, its threads soon.
func (m *term) stop(why error) {
	m.end(why)
	for _, c := range m.conns {
		c.Close(why)
	}
	m.news.raise()
	m.dirty.raise()
}

func (m *term) ended() {
	m.threads--
	m.over.raise()
}

func (m *term) post(e dispatch.Event) {
	if m.ctx.Err() == nil {
		m.inbox = append(m.inbox, e)
		m.news.raise()
	}
}

// tail answers later, as an agent would.
func (m *term) tail(_ dispatch.Session, id string, done func([]string)) {
	m.s.p.after(m.s.w.between("tail", time.Millisecond, 3*time.Second), func() {
		m.post(dispatch.Do(func() { done([]string{"output of " + label(id)}) }))
	})
}

// reconcile is reconcile.Loop.Run around the real Core.
func (m *term) reconcile(t *thread) {
	defer m.ended()
	m.busy = true
	err := m.core.Begin(until{m.ctx, m.s.w.scheduler, m.s.w.now.Add(5 * time.Second)}) // without it routers serve from their own tables
	m.busy = false
	if err != nil {
		m.threads++
		m.s.p.spawn(m.beginLate)
	}
	for wait := time.Duration(0); ; {
		if t.wait(&m.news, wait) {
			m.takeIn()
			if m.ctx.Err() == nil {
				t.sleep(debounce)
				m.takeIn()
			}
		}
		if m.ctx.Err() != nil {
			return
		}
		m.s.w.check.round(m)
		var err error
		m.busy = true
		wait, err = m.core.Round(m.ctx)
		m.busy = false
		if errors.Is(err, store.ErrLost) {
			return
		}
		if err != nil {
			m.s.w.say(m.s.name, "round not finished: %v", err)
			m.s.w.check.roundFailed(m, err)
		}
	}
}

// beginLate is reconcile.Loop's. Its end is not that of the term.
func (m *term) beginLate(t *thread) {
	defer func() {
		if m.threads--; m.ctx.Err() != nil {
			m.over.raise()
		}
	}()
	for m.ctx.Err() == nil {
		t.sleep(reconcile.RetryBegin)
		if table, found, err := m.pub.Current(m.ctx); err == nil {
			m.post(dispatch.Do(func() { m.core.Learn(table, found) }))
			return
		}
	}
}

func (m *term) takeIn() {
	for len(m.inbox) > 0 && m.ctx.Err() == nil {
		e := m.inbox[0]
		m.inbox = m.inbox[1:]
		m.hear(e)
		m.busy = true
		m.core.Handle(m.ctx, e)
		m.busy = false
	}
	m.news.set = false
}

// note remembers that the core takes in a word of a node.
func (m *term) note(node string) { m.heard[node] = m.s.p.now() }

func (m *term) hear(e dispatch.Event) {
	switch e := e.(type) {
	case dispatch.SessionOpened:
		m.note(e.Session.NodeID())
		m.open[e.Session.NodeID()] = e.Session.ID()
	case dispatch.SessionClosed:
		if m.open[e.Session.NodeID()] == e.Session.ID() {
			delete(m.open, e.Session.NodeID())
		}
	case dispatch.Synced:
		m.note(e.Session.NodeID())
		if x, ok := e.Session.(*serverSession); ok && e.DockerOK {
			x.synced = true
		}
	case dispatch.Reported:
		m.note(e.Session.NodeID())
	case dispatch.Beat:
		m.note(e.Session.NodeID())
	}
}

// termRoutes wakes the publisher's thread when there is something to write.
type termRoutes struct {
	*publish.Publisher
	m *term
}

// Set implements reconcile.Routes.
func (r termRoutes) Set(changes []route.Change) uint64 {
	rev := r.Publisher.Set(changes)
	r.m.dirty.raise()
	return rev
}

// Complete implements reconcile.Routes.
func (r termRoutes) Complete() {
	r.Publisher.Complete()
	r.m.dirty.raise()
}

// Hold implements reconcile.Routes.
func (r termRoutes) Hold(held bool) {
	r.Publisher.Hold(held)
	r.m.dirty.raise()
}

// publish is publish.Publisher.Run around the real Round.
func (m *term) publish(t *thread) {
	defer m.ended()
	for mend := m.s.w.now.Add(30 * time.Second); m.ctx.Err() == nil; {
		wait := m.pub.Round(m.ctx)
		t.wait(&m.dirty, wait)
		if !m.s.w.now.Before(mend) {
			m.pub.Mend()
			mend = m.s.w.now.Add(30 * time.Second)
		}
	}
}
