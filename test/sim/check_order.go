package sim

import (
	"errors"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// signalled: who is sent the stop signal gets no requests any more, from any
// router that the leader could hear. A singleton of which no leader hears ends at
// once (R11), though it may have begun to drain.
func (c *checker) signalled(n *node, id string) {
	if due := c.drains[id]; c.w.now.Before(due.Add(-time.Millisecond)) && !n.halted[id] {
		c.fail("drained before the stop signal", "%s on %s is told to end %s before its drain is over", id, n.name, due.Sub(c.w.now))
	}
	row, ok := c.w.db.everRows[id]
	if !ok || n.halted[id] {
		return
	}
	if r := c.sends(row); r != "" {
		c.fail("un-route before stop", "%s on %s is told to end while %s sends it requests", id, n.name, r)
	}
}

// sends names a router that sends requests to an instance and that the leader
// could hear for long; "" for none.
func (c *checker) sends(row model.Instance) string {
	a := c.w.db.apps[row.AppID]
	for _, r := range c.w.routers {
		if r.available() && !r.since.IsZero() && c.w.now.Sub(r.since) > 15*time.Second && r.keep.Served() == r.keep.Wanted() && r.sends(c.w.host(a), row.ID) {
			return r.name
		}
	}
	return ""
}

// unrouted: the order to stop leaves when no router sends any more.
func (c *checker) unrouted(x *serverSession, id string) {
	if r := c.sends(c.w.db.everRows[id]); r != "" {
		c.fail("un-route before the order", "%s orders %s to stop %s while %s sends it requests", x.m.s.name, x.node, id, r)
	}
}

// safe is the safe mode that every leader knows of; nil: none.
func (c *checker) safe() *model.SafeMode {
	if c.w.now.Sub(c.w.db.safeAgain) < slack {
		return nil
	}
	return c.w.db.safe
}

// ordered: orders go to who has told everything in this session.
func (c *checker) ordered(x *serverSession, id string) {
	c.w.did("order")
	if safe := c.safe(); safe != nil {
		c.fail("safe mode changes nothing", "%s orders %s about %s, and nobody has decided yet: %s", x.m.s.name, x.node, id, safe.Reason)
	}
	if !x.synced {
		c.fail("no order before a full sync", "%s orders %s about %s, which has not told what it has", x.m.s.name, x.node, id)
	}
}

// taken: when a server takes the lease, no other acts any more, but one that is
// stopped, or whose machine slept since it asked for the lease that it has: neither
// knows it yet, and what it does is refused by its epoch.
func (c *checker) taken(owner string) {
	w := c.w
	for _, s := range w.servers {
		if s.name == owner || !s.leads() {
			continue
		}
		unaware := s.p.pausedUntil.After(w.now) || s.clock.slept != s.term.slept
		if !unaware && s.p.now().Before(s.term.right) && w.now.Sub(w.db.failedOver) > leaseTTL {
			c.fail("one server acts", "%s takes the lease, and %s acts on for %s", owner, s.name, s.term.right.Sub(s.p.now()))
		}
	}
}

// obeyed: no agent obeys an older leader than before.
func (c *checker) obeyed(n *node, m *pb.ServerMessage) {
	if m.GetEpoch() < n.obeyed {
		c.fail("no older epoch is obeyed", "%s has obeyed epoch %d and now obeys %d", n.name, n.obeyed, m.GetEpoch())
	}
	n.obeyed = max(n.obeyed, m.GetEpoch())
	if stop := m.GetStop(); stop != nil {
		due := c.w.now.Add(time.Duration(stop.GetDrainMs()) * time.Millisecond)
		if old, told := c.drains[stop.GetInstanceId()]; !told || due.Before(old) {
			c.drains[stop.GetInstanceId()] = due
		}
	}
}

const maxInbox = 1024

// round begins a round of a leader.
func (c *checker) round(m *term) {
	m.round = m.s.p.now()
	if c.frozen(m) != "" {
		m.frozen = m.round
	}
	if len(m.inbox) > maxInbox {
		c.fail("queues are bounded", "%d events wait at %s", len(m.inbox), m.s.name)
	}
}

// roundFailed: the database never has to refuse a second primary.
func (c *checker) roundFailed(m *term, err error) {
	m.failed = m.round
	if errors.Is(err, errDuplicate) {
		c.fail("one primary a slot", "%s asked for it: %v", m.s.name, err)
	}
}
