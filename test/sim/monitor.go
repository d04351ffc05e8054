package sim

import (
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/hm/verdict"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
	"github.com/dinp/dinp/proto/wire"
)

// simMonitor is the shell around the monitor's verdicts: probes and a stream to
// the leader, in virtual time.
type simMonitor struct {
	w      *World
	name   string
	p      *process
	clock  clock
	search *follow.Search
	conn   *conn
	watch  map[string]*watched

	established time.Time // when the leader of this stream first told what to watch; zero: there is none
}

type watched struct {
	addr     string
	status   verdict.Status
	answered time.Time // first; zero: it has not
	over     bool
}

const (
	probeStarting = 250 * time.Millisecond
	probeRunning  = 5 * time.Second
)

func (h *simMonitor) start() {
	if h.p != nil && h.p.alive {
		return
	}
	h.p, h.watch, h.conn, h.established = h.w.process(h.name, &h.clock), map[string]*watched{}, nil, time.Time{}
	h.search = &follow.Search{Servers: h.w.serverNames()}
	h.dial(h.search.First())
}

func (h *simMonitor) kill() {
	if h.p == nil || !h.p.alive {
		return
	}
	h.w.say(h.name, "monitor is killed")
	h.p.kill()
	h.w.net.died(h.p, false)
}

func (h *simMonitor) dial(addr string) {
	s := h.w.server(addr)
	c := h.w.net.connect(h.p, s.p)
	if c == nil {
		h.p.after(time.Second, func() { h.redial(errBroken, false) })
		return
	}
	h.conn, h.established = c, time.Time{}
	established := false
	c.ends[client].take = func(v any) {
		m := v.(*pb.HealthTargets)
		if m.GetNotLeader() != nil {
			h.end(c, m.GetNotLeader().GetAddress(), established)
			return
		}
		if established = true; h.established.IsZero() {
			h.established = h.w.now
		}
		h.take(m)
	}
	c.ends[client].broken = func(error) { h.end(c, "", established) }
	s.accept(c)
	c.send(client, &pb.HealthMessage{MonitorId: h.name})
	h.p.after(welcomeMax, func() {
		if h.conn == c && !established {
			h.end(c, "", false)
		}
	})
}

func (h *simMonitor) end(c *conn, to string, established bool) {
	if h.conn != c {
		return
	}
	h.conn, h.established = nil, time.Time{}
	c.close(client)
	if to != "" {
		h.p.after(100*time.Millisecond, func() { h.dial(to) })
		return
	}
	h.redial(errBroken, established)
}

func (h *simMonitor) redial(err error, established bool) {
	addr, wait := h.search.Next(err, established, h.w.rnd("dial/"+h.name).Int64N)
	h.p.after(wait+time.Millisecond, func() { h.dial(addr) })
}

// take takes the leader's targets up as hm/monitor does.
func (h *simMonitor) take(m *pb.HealthTargets) {
	keep := map[string]bool{}
	for _, t := range m.GetSet() {
		keep[t.GetInstanceId()] = true
		h.set(t)
	}
	for _, id := range m.GetRemove() {
		h.drop(id)
	}
	if !m.GetFull() {
		return
	}
	for _, id := range h.ids() {
		if !keep[id] {
			h.drop(id)
		}
	}
	h.tell(h.ids())
}

func (h *simMonitor) ids() []string {
	var ids []string
	for id := range h.watch {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (h *simMonitor) set(t *pb.HealthTarget) {
	id := t.GetInstanceId()
	if old := h.watch[id]; old != nil {
		if old.addr == t.GetAddr() {
			return
		}
		h.drop(id)
	}
	x := &watched{addr: t.GetAddr()}
	wait := time.Duration(0)
	if t.GetKnown() {
		x.status = verdict.From(t.GetHealthy(), h.w.now)
		if t.GetHealthy() {
			wait = h.w.between("probe/"+h.name, 0, probeRunning)
		}
		h.p.after(debounce, func() { h.tell([]string{id}) })
	}
	h.watch[id] = x
	h.p.after(wait, func() { h.probe(id, x) })
}

func (h *simMonitor) drop(id string) {
	if x := h.watch[id]; x != nil {
		x.over = true
		delete(h.watch, id)
	}
}

func (h *simMonitor) probe(id string, x *watched) {
	if x.over {
		return
	}
	ok := h.w.answers(h.name, x.addr)
	if ok && x.answered.IsZero() {
		x.answered = h.w.now
	}
	next, changed := verdict.Next(x.status, ok, h.w.now)
	x.status = next
	if changed {
		h.w.say(h.name, "%s healthy=%v", label(id), next.Healthy)
		h.p.after(debounce, func() { h.tell([]string{id}) })
	}
	wait := probeStarting
	if !next.Starting() {
		wait = probeRunning - h.w.between("probe/"+h.name, 0, probeRunning/10)
	}
	h.p.after(wait, func() { h.probe(id, x) })
}

func (h *simMonitor) tell(ids []string) {
	if h.conn == nil {
		return
	}
	m := &pb.HealthMessage{MonitorId: h.name}
	for _, id := range ids {
		if x := h.watch[id]; x != nil && x.status.Known {
			v := model.Verdict{InstanceID: id, Healthy: x.status.Healthy, Since: x.status.Since, Evidence: "probe"}
			if !x.answered.IsZero() {
				v.Answers = max(h.w.now.Sub(x.answered), time.Millisecond)
			}
			m.Verdicts = append(m.Verdicts, wire.FromVerdict(v))
		}
	}
	h.conn.send(client, m)
}
