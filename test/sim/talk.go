package sim

import (
	"time"

	"github.com/dinp/dinp/agent/session"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// simTalk is one session.
type simTalk struct {
	*session.Talk
	a        *agent
	conn     *conn
	welcomed bool
	synced   bool // told all once; reports may go out
	syncing  bool // the engine is being asked for a sync
	again    bool // another sync is due
	flushing bool
	flushed  time.Time
}

// dial opens a session with a server.
func (a *agent) dial(addr string) {
	s := a.w.server(addr)
	c := a.w.net.connect(a.p, s.p)
	if c == nil {
		wait := time.Millisecond
		if !a.w.net.reaches(a.n.name, addr) {
			wait = welcomeMax
		}
		a.p.after(wait, func() { a.redial(errBroken, false) })
		return
	}
	t := &simTalk{a: a, conn: c}
	t.Talk = session.NewTalk(session.Node{
		Set: a.set, Journal: a.journal, Outbox: a.outbox, Permit: a.permit, Hello: a.hello, Docker: func() session.Docker { return a.docker },
	})
	a.talk = t
	c.ends[client].take = func(m any) { t.take(m.(*pb.ServerMessage)) }
	c.ends[client].broken = t.end
	s.accept(c)
	t.send(t.Hello(a.p.now()))
	a.p.after(welcomeMax, func() {
		if a.talk == t && !t.welcomed {
			t.end(errBroken)
		}
	})
}

func (a *agent) redial(err error, established bool) {
	addr, wait := a.search.Next(err, established, a.w.rnd("dial/"+a.n.name).Int64N)
	a.p.after(wait+time.Millisecond, func() { a.dial(addr) })
}

func (a *agent) hello() *pb.Hello {
	e := a.journal.Epoch()
	return &pb.Hello{NodeId: a.n.name, BootId: "b", Name: a.n.name, Address: a.n.address, Zone: a.n.zone, MemoryMib: a.n.memory, CpuMilli: a.n.cpu, MaxEpoch: e.Max, LeaderId: e.Leader, WrittenMs: e.Written}
}

func (t *simTalk) live() bool { return t.a.talk == t && t.a.p.alive }

// end ends the session and looks for the leader again.
func (t *simTalk) end(err error) {
	if !t.live() {
		return
	}
	t.a.w.say(t.a.n.name, "session with %s ends: %v", t.conn.ends[server].p.name, err)
	t.a.talk = nil
	t.conn.close(client)
	t.a.redial(err, t.welcomed)
}

func (t *simTalk) send(all ...*pb.AgentMessage) {
	for _, m := range all {
		m := t.Stamp(m, t.a.p.now())
		t.a.w.garble(func() { t.conn.send(client, m) })
	}
}

func (t *simTalk) take(m *pb.ServerMessage) {
	if !t.live() {
		return
	}
	if !t.welcomed {
		if err := t.Welcomed(m); err != nil {
			t.end(err)
			return
		}
		t.welcomed = true
		t.a.w.check.obeyed(t.a.n, m)
		t.a.w.say(t.a.n.name, "session with %s, epoch %d", t.Leader, t.Epoch)
		t.sync()
		t.a.p.after(t.Period, t.beat)
		return
	}
	obey, err := t.Hear(m)
	if err != nil {
		t.end(err)
		return
	}
	if !obey {
		return
	}
	t.a.w.check.obeyed(t.a.n, m)
	resync := t.Obey(m, t.a.p.now())
	t.a.pump()
	if resync {
		t.sync()
	}
}

func (t *simTalk) sync() {
	if t.syncing {
		t.again = true
		return
	}
	t.syncing = true
	t.a.refresh(refreshMax, func() {
		if !t.live() {
			return
		}
		t.syncing, t.synced = false, true
		t.send(t.Sync())
		if t.again {
			t.again = false
			t.sync()
		}
	})
}

func (t *simTalk) flushSoon() {
	if t.flushing {
		return
	}
	t.flushing = true
	t.a.p.after(max(0, reportBatch-t.a.w.now.Sub(t.flushed)), func() {
		t.flushing = false
		if t.live() && !t.syncing {
			t.flushed = t.a.w.now
			t.send(t.Report()...)
		}
	})
}

func (t *simTalk) beat() {
	if !t.live() {
		return
	}
	if !t.syncing {
		t.send(t.Beat()...)
	}
	t.a.p.after(t.Period-t.a.w.between("beat/"+t.a.n.name, 0, t.Period/10), t.beat)
}
