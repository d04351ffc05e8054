package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/dispatch"
)

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
		s.term.overtaken(hello.GetMaxEpoch(), hello.GetNodeId())
		c.close(server)
		return
	}
	m := s.term
	m.ids++
	x := &serverSession{m: m, c: c, id: fmt.Sprintf("%s/%d/%d", s.name, m.held.Epoch, m.ids), node: hello.GetNodeId(), pulse: dispatch.NewPulse(s.p.now())}
	m.conns = append(m.conns, x)
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Welcome{Welcome: &pb.Welcome{HeartbeatMs: heartbeat.Milliseconds(), LostMs: (limits.UnknownAfter + limits.LostAfter).Milliseconds()}}})
	m.post(dispatch.SessionOpened{Session: x, Hello: hello, Pulse: x.pulse})
	inlet := dispatch.NewInlet(first.GetSeq())
	c.ends[server].take = func(v any) {
		msg := v.(*pb.AgentMessage)
		take, resync := inlet.Admit(msg)
		if resync {
			x.Resync()
		}
		if take && x.pulse.Take(msg.GetHeartbeat(), s.p.now()) {
			m.note(x.node)
			x.heard(msg)
		} else if e := dispatch.EventOf(x, msg); take && e != nil {
			m.post(e)
			x.heard(msg)
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
	took uint64 // of the agent's last message that the core has
	gone bool

	pulse  *dispatch.Pulse
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
	x.m.s.w.check.unrouted(x, m.GetInstanceId())
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Stop{Stop: m}})
}

// Forget implements dispatch.Session.
func (x *serverSession) Forget(ids []string) {
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Forget{Forget: &pb.Forget{InstanceIds: ids}}})
}

// Needed implements dispatch.Session.
func (x *serverSession) Needed(keep, free []string) {
	x.send(&pb.ServerMessage{Body: &pb.ServerMessage_Needed{Needed: &pb.Needed{Keep: keep, Free: free}}})
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
	m.Epoch, m.LeaderId, m.Session, m.Seq, m.Heard = x.m.held.Epoch, x.m.held.Owner, x.id, x.seq, x.took
	m.WrittenMs = x.m.s.w.db.told[holder{x.m.s.p, m.Epoch}].age
	if x.m.s.w.garble(func() { x.c.send(server, m) }) {
		x.m.s.p.after(x.m.s.w.between("garble", 0, clientKeepalive), func() { x.c.drop(server, errBroken) })
	}
}

// heard notes that the core has a message, and says so if the agent asks.
func (x *serverSession) heard(m *pb.AgentMessage) {
	x.took = m.GetSeq()
	if m.GetHeartbeat().GetAnswer() {
		x.send(&pb.ServerMessage{Body: &pb.ServerMessage_HeardNow{HeardNow: &pb.Heard{}}})
	}
}

// watch begins a monitor's stream as dispatch.Service does.
func (s *simServer) watch(c *conn, first *pb.HealthMessage) {
	if !s.leads() {
		c.send(server, &pb.HealthTargets{NotLeader: &pb.NotLeader{Address: s.leaderAddress()}})
		s.p.after(50*time.Millisecond, func() { c.close(server) })
		return
	}
	m := s.term
	x := &serverMonitor{m: m, c: c, id: first.GetMonitorId()}
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
	m  *term
	c  *conn
	id string
}

// ID implements dispatch.Monitor.
func (x *serverMonitor) ID() string { return x.id }

// Targets implements dispatch.Monitor.
func (x *serverMonitor) Targets(t *pb.HealthTargets) { x.c.send(server, t) }

// Close implements dispatch.Monitor.
func (x *serverMonitor) Close(error) {
	x.c.close(server)
	x.m.post(dispatch.MonitorClosed{Monitor: x})
}
