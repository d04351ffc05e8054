package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/lease"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/server/reconcile"
	"github.com/dinp/dinp/sql/store"
)

// The times of a server, as its defaults are.
const (
	heartbeat   = 5 * time.Second
	lostAfter   = 60 * time.Second
	leaseTTL    = 10 * time.Second
	leaseRenew  = 3 * time.Second
	leaseMargin = 2 * time.Second
	orphanAfter = 60 * time.Second
	debounce    = 20 * time.Millisecond
	minReady    = 10 * time.Second
	domain      = "apps.test"
)

// simServer is the shell around the server's core: its threads wait in virtual
// time for the database and Redis.
type simServer struct {
	w      *World
	name   string
	p      *process
	skew   time.Duration
	leader store.Lease // as last seen
	term   *term       // nil while another leads
}

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
	heard   map[string]time.Time // by node: when the core took in a word of it
	began   time.Time
	round   time.Time // when the last one began
	right   time.Time // until when it may act, by its server's clock
	frozen  time.Time // when last so many nodes were silent that no loss is believed
	failed  time.Time // when its last round that failed began
}

func (s *simServer) start() {
	if s.p != nil && s.p.alive {
		return
	}
	s.p, s.term, s.leader = s.w.process(s.name, s.skew), nil, store.Lease{}
	s.w.say(s.name, "server starts")
	s.p.spawn(s.elect)
}

func (s *simServer) kill() {
	if s.p == nil || !s.p.alive {
		return
	}
	s.w.say(s.name, "server is killed")
	s.p.kill()
	s.term = nil
	s.w.net.died(s.p, false)
}

func (s *simServer) leads() bool {
	return s.p != nil && s.p.alive && s.term != nil && s.term.ctx.Err() == nil
}

// until is a context that ends at a virtual time.
type until struct {
	context.Context
	s  *scheduler
	at time.Time
}

func (u until) Err() error {
	if !u.s.now.Before(u.at) {
		return context.DeadlineExceeded
	}
	return u.Context.Err()
}

// elect is lease.Run with the real Candidate and Config.
func (s *simServer) elect(t *thread) {
	cfg := lease.Config{ID: s.name, Address: s.name, TTL: leaseTTL, Renew: leaseRenew, Margin: leaseMargin}
	db := dbClient{s.w.db, s.p}
	for {
		candidate := lease.NewCandidate(cfg)
		held, since := store.Lease{}, time.Time{}
		for held.Owner == "" {
			if row, err := db.Lease(s.w.ctx); err == nil {
				s.leader = row
				if candidate.May(row, s.p.now()) {
					before := s.p.now()
					if l, err := db.TakeLease(s.w.ctx, row, s.name, before.UnixMilli()); err == nil {
						held, since, s.leader = l, before, l
						break
					}
				}
			}
			t.sleep(leaseRenew / 3)
		}
		s.w.say(s.name, "leads with epoch %d", held.Epoch)
		s.hold(t, cfg, db, held, since)
	}
}

// hold leads while the lease is renewed.
func (s *simServer) hold(t *thread, cfg lease.Config, db dbClient, held store.Lease, since time.Time) {
	term := s.lead(held)
	right, tick := cfg.Right(since), s.p.now().Add(leaseRenew)
	term.right = right
	why := error(nil)
	for why == nil {
		now := s.p.now()
		next := min(right.Sub(now), tick.Sub(now))
		if next > 0 && t.wait(&term.over, next) {
			why = errors.New("it ended by itself")
			break
		}
		now = s.p.now()
		if !now.Before(right) {
			why = lease.ErrLost
			break
		}
		if now.Before(tick) {
			continue
		}
		tick = now.Add(leaseRenew)
		err := db.RenewLease(until{s.w.ctx, s.w.scheduler, s.w.now.Add(min(leaseRenew, right.Sub(now)))}, held)
		if errors.Is(err, store.ErrLost) {
			why = lease.ErrLost
		} else if err == nil {
			right = cfg.Right(now)
			term.right = right
		}
	}
	term.stop(why)
	for term.threads > 0 {
		t.wait(&term.over, time.Second)
	}
	if s.term == term {
		s.term = nil
	}
	s.w.say(s.name, "leads no more: %v", why)
	_ = db.ReleaseLease(until{s.w.ctx, s.w.scheduler, s.w.now.Add(2 * time.Second)}, held) // best effort, as in production
}

// lead begins a term.
func (s *simServer) lead(held store.Lease) *term {
	m := &term{s: s, held: held, heard: map[string]time.Time{}, began: s.w.now}
	m.ctx, m.end = context.WithCancelCause(s.w.ctx)
	log := s.w.logger(s.name)
	m.pub = publish.New(publish.DefaultConfig(), redisClient{s.w.redis, s.p}, held.Epoch, s.p.now, log, func() { m.post(reconcile.RoutesServed()) })
	p := plan.Default()
	p.MinReady = minReady
	m.core = reconcile.New(reconcile.Config{
		Plan: p, Limits: actual.Limits{UnknownAfter: 3 * heartbeat, LostAfter: lostAfter}, Domain: domain, Sweep: 30 * time.Second,
		Debounce: debounce, OrphanAfter: orphanAfter, RouteGrace: 20 * time.Second,
	}, held, reconcile.Deps{
		Store: dbClient{s.w.db, s.p}, Routes: termRoutes{m.pub, m}, Now: s.p.now, NewID: s.w.newID, Log: log, Tail: m.tail,
	})
	s.term = m
	m.threads = 2
	s.p.spawn(m.reconcile)
	s.p.spawn(m.publish)
	return m
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
	_ = m.core.Begin(until{m.ctx, m.s.w.scheduler, m.s.w.now.Add(5 * time.Second)}) // without it routers serve from their own tables
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
		wait, err = m.core.Round(m.ctx)
		if errors.Is(err, store.ErrLost) {
			return
		}
		if err != nil {
			m.s.w.say(m.s.name, "round not finished: %v", err)
			m.s.w.check.roundFailed(m, err)
		}
	}
}

func (m *term) takeIn() {
	for len(m.inbox) > 0 && m.ctx.Err() == nil {
		e := m.inbox[0]
		m.inbox = m.inbox[1:]
		m.hear(e)
		m.core.Handle(m.ctx, e)
	}
	m.news.set = false
}

func (m *term) hear(e dispatch.Event) {
	now := m.s.w.now
	switch e := e.(type) {
	case dispatch.SessionOpened:
		m.heard[e.Session.NodeID()] = now
	case dispatch.Synced:
		m.heard[e.Session.NodeID()] = now
		if x, ok := e.Session.(*serverSession); ok && e.DockerOK {
			x.synced = true
		}
	case dispatch.Reported:
		m.heard[e.Session.NodeID()] = now
	case dispatch.Beat:
		m.heard[e.Session.NodeID()] = now
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

// accept serves a connection of an agent or a monitor.
func (s *simServer) accept(c *conn) {
	first := true
	c.ends[server].take = func(m any) {
		if !first {
			return
		}
		first = false
		switch m := m.(type) {
		case *pb.AgentMessage:
			s.hello(c, m)
		case *pb.HealthMessage:
			s.watch(c, m)
		}
	}
}

func (s *simServer) leaderAddress() string {
	if s.leader.Owner != "" && s.leader.Owner != s.name {
		return s.leader.Address
	}
	return ""
}

// hello begins a session as dispatch.Service does.
func (s *simServer) hello(c *conn, first *pb.AgentMessage) {
	hello := first.GetHello()
	switch {
	case hello == nil:
		c.close(server)
		return
	case !s.leads():
		c.send(server, &pb.ServerMessage{Body: &pb.ServerMessage_NotLeader{NotLeader: &pb.NotLeader{Address: s.leaderAddress()}}})
		s.p.after(50*time.Millisecond, func() { c.close(server) })
		return
	case dispatch.Over(hello.GetMaxEpoch(), s.term.held.Epoch):
		c.close(server)
		return
	}
	m := s.term
	m.ids++
	x := &serverSession{m: m, c: c, id: fmt.Sprintf("%s/%d/%d", s.name, m.held.Epoch, m.ids), node: hello.GetNodeId()}
	m.conns = append(m.conns, x)
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Welcome{Welcome: &pb.Welcome{HeartbeatMs: heartbeat.Milliseconds()}}})
	m.post(dispatch.SessionOpened{Session: x, Hello: hello})
	inlet := dispatch.NewInlet(first.GetSeq())
	c.ends[server].take = func(v any) {
		msg := v.(*pb.AgentMessage)
		take, resync := inlet.Admit(msg)
		if resync {
			x.Resync()
		}
		if e := dispatch.EventOf(x, msg); take && e != nil {
			m.post(e)
		}
	}
	c.ends[server].broken = func(error) { m.post(dispatch.SessionClosed{Session: x}) }
}

// serverSession is a dispatch.Session over a simulated connection.
type serverSession struct {
	m    *term
	c    *conn
	id   string
	node string
	seq  uint64
	gone bool

	synced bool // the core has taken a full sync of it in
}

// ID implements dispatch.Session.
func (x *serverSession) ID() string { return x.id }

// NodeID implements dispatch.Session.
func (x *serverSession) NodeID() string { return x.node }

// Start implements dispatch.Session.
func (x *serverSession) Start(m *pb.Start) {
	x.m.s.w.say(x.m.s.name, "→ %s start %s (%s v%d slot %d)", x.node, label(m.GetInstanceId()), m.GetAppName(), m.GetRelease(), m.GetSlot())
	x.m.s.w.check.ordered(x, m.GetInstanceId())
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Start{Start: m}})
}

// Stop implements dispatch.Session.
func (x *serverSession) Stop(m *pb.Stop) {
	x.m.s.w.say(x.m.s.name, "→ %s stop %s (%s)", x.node, label(m.GetInstanceId()), m.GetReason())
	x.m.s.w.check.ordered(x, m.GetInstanceId())
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Stop{Stop: m}})
}

// Forget implements dispatch.Session.
func (x *serverSession) Forget(ids []string) {
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Forget{Forget: &pb.Forget{InstanceIds: ids}}})
}

// Resync implements dispatch.Session.
func (x *serverSession) Resync() {
	x.m.s.w.say(x.m.s.name, "→ %s resync", x.node)
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Resync{Resync: &pb.Resync{}}})
}

// Close implements dispatch.Session.
func (x *serverSession) Close(error) {
	if x.gone {
		return
	}
	x.gone = true
	x.c.close(server)
	x.m.post(dispatch.SessionClosed{Session: x})
}

// Logs implements dispatch.Session; nobody asks by it here.
func (x *serverSession) Logs(context.Context, *pb.LogRequest, func(*pb.LogChunk) error) error {
	return dispatch.ErrClosed
}

func (x *serverSession) send(m *pb.ServerMessage) {
	x.seq++
	m.Epoch, m.LeaderId, m.Session, m.Seq = x.m.held.Epoch, x.m.held.Owner, x.id, x.seq
	x.m.s.w.garble(func() { x.c.send(server, m) }, func() {
		x.m.s.p.after(x.m.s.w.between("garble", 0, clientKeepalive), func() { x.c.drop(server, errBroken) })
	})
}

// watch begins a monitor's stream as dispatch.Service does.
func (s *simServer) watch(c *conn, first *pb.HealthMessage) {
	if !s.leads() {
		c.send(server, &pb.HealthTargets{NotLeader: &pb.NotLeader{Address: s.leaderAddress()}})
		s.p.after(50*time.Millisecond, func() { c.close(server) })
		return
	}
	m := s.term
	x := &serverMonitor{c: c, id: first.GetMonitorId()}
	m.conns = append(m.conns, &serverSession{m: m, c: c, gone: false, node: "hm"})
	m.post(dispatch.MonitorOpened{Monitor: x})
	take := func(msg *pb.HealthMessage) {
		if len(msg.GetVerdicts()) == 0 {
			return
		}
		verdicts := make([]model.Verdict, len(msg.GetVerdicts()))
		for i, v := range msg.GetVerdicts() {
			verdicts[i] = wire.ToVerdict(v)
			m.s.w.check.judged(verdicts[i])
		}
		m.post(dispatch.Judged{Monitor: x, Verdicts: verdicts})
	}
	take(first)
	c.ends[server].take = func(v any) { take(v.(*pb.HealthMessage)) }
	c.ends[server].broken = func(error) { m.post(dispatch.MonitorClosed{Monitor: x}) }
}

// serverMonitor is a dispatch.Monitor over a simulated connection.
type serverMonitor struct {
	c  *conn
	id string
}

// ID implements dispatch.Monitor.
func (x *serverMonitor) ID() string { return x.id }

// Targets implements dispatch.Monitor.
func (x *serverMonitor) Targets(t *pb.HealthTargets) { x.c.send(server, t) }
