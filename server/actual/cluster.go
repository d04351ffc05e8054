// Package actual is what the leader has observed: nodes, their instances'
// phases and the monitors' verdicts. It is rebuilt from the agents in every term
// and never stored. One goroutine owns a Cluster; it has no locks and no clock.
package actual

import (
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/wire"
)

// Cluster is all that was observed.
type Cluster struct {
	Nodes    map[string]*Node
	Sick     Sick
	limits   Limits
	verdicts map[string]*Verdict // by instance ID
	choirs   choirs
	began    time.Time // of the term: silence is counted from here at the earliest
	breaker  breaker
}

// Node is one host as its agent described it.
type Node struct {
	model.Node
	Status      model.NodeStatus // as last advanced
	Session     string           // of its stream; "" while there is none
	BootID      string
	Synced      bool // a full sync came in this session
	EverSynced  bool // one came in this term
	DockerOK    bool
	DockerTold  bool // its agent has said in this term how its engine is
	DockerError string
	DiskShort   string    // what is short of room on its disk; "" nothing
	Heard       time.Time // last message of any kind in this term
	Version     string
	Docker      string

	seen map[string]*Seen // by instance ID; kept when the node falls silent
	sum  wire.Sum         // of those that are known
}

// Limits say when silence means something.
type Limits struct {
	UnknownAfter time.Duration // since the last message
	LostAfter    time.Duration // since it became unknown
}

// MissedBeats returns the limits where nodes beat every period: one is unknown when
// three beats in a row are missing. They follow each other nine to ten tenths of a
// period apart (agent/session), so the third was due 2.85 periods after the last
// that came, on average.
func MissedBeats(period, lostAfter time.Duration) Limits {
	return Limits{UnknownAfter: period * 285 / 100, LostAfter: lostAfter}
}

// New returns an empty cluster for a term that begins now.
func New(l Limits, now time.Time) *Cluster {
	return &Cluster{
		Nodes: map[string]*Node{}, limits: l, verdicts: map[string]*Verdict{}, choirs: choirs{}, began: now,
		breaker: breaker{zones: map[string]*zone{}, thawed: now},
	}
}

// Node returns a node, made when it is new: unknown until it has synced.
func (c *Cluster) Node(id string) *Node {
	n := c.Nodes[id]
	if n == nil {
		n = &Node{Node: model.Node{ID: id, Availability: model.Active}, Status: model.NodeUnknown, seen: map[string]*Seen{}}
		c.Nodes[id] = n
		c.breaker.count("", n.Status, 1)
	}
	return n
}

// Describe sets what a node's row or its agent says of it.
func (c *Cluster) Describe(n *Node, as model.Node) {
	c.breaker.count(n.Zone, n.Status, -1)
	n.Node = as
	c.breaker.count(n.Zone, n.Status, 1)
}

// Drop forgets a node that will not return.
func (c *Cluster) Drop(id string) {
	if n := c.Nodes[id]; n != nil {
		c.breaker.count(n.Zone, n.Status, -1)
		delete(c.Nodes, id)
	}
}

// Frozen is the breaker (R9): with more nodes silent than accidents explain,
// losses are not believed.
func (c *Cluster) Frozen() bool { return c.breaker.frozen }

// Advance brings a node's status up to now. It returns whether that changed it,
// and when to look again if nothing is heard until then; zero for never. An
// agent whose stream has ended keeps its last status until heartbeats are
// missed: the end of a stream is only a hint. Advance all nodes that are due, then
// Breaker, then those that are due still: a loss is believed only once it is known
// how many are silent by now, because a leader that stood still finds all of them so.
func (c *Cluster) Advance(n *Node, now time.Time) (changed bool, next time.Time) {
	s, next := c.status(n, now)
	if s == n.Status {
		return false, next
	}
	c.breaker.count(n.Zone, n.Status, -1)
	n.Status = s
	c.breaker.count(n.Zone, n.Status, 1)
	return true, next
}

// SilentUntil is when a node of which nothing more is heard would be lost, whatever
// the breaker says. By then its agent has ended its singletons (R11).
func (c *Cluster) SilentUntil(n *Node) time.Time {
	return later(n.Heard, c.began).Add(c.limits.UnknownAfter + c.limits.LostAfter)
}

// Breaker brings the breaker up to now, after nodes were advanced. It returns
// whether that changed it: then advance all nodes again, for their next look.
func (c *Cluster) Breaker(now time.Time) (changed bool) { return c.breaker.update(now) }

// status is a node's status at now, and when it changes next by silence alone.
func (c *Cluster) status(n *Node, now time.Time) (model.NodeStatus, time.Time) {
	unknown := later(n.Heard, c.began).Add(c.limits.UnknownAfter)
	if now.Before(unknown) {
		switch {
		case n.DockerTold && !n.DockerOK:
			return model.NodeDockerDown, unknown
		case !n.EverSynced:
			return model.NodeUnknown, unknown
		}
		return model.NodeReady, unknown
	}
	if n.Status == model.NodeLost {
		return model.NodeLost, time.Time{}
	}
	if c.breaker.frozen {
		return model.NodeUnknown, time.Time{}
	}
	lost := later(unknown, c.breaker.thawed).Add(c.limits.LostAfter)
	if now.Before(lost) {
		return model.NodeUnknown, lost
	}
	if !c.breaker.asOf.Equal(now) {
		return model.NodeUnknown, lost // when the others have been counted
	}
	if ok, retry := c.breaker.spend(now); !ok {
		return model.NodeUnknown, retry
	}
	return model.NodeLost, time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Placeable reports whether new instances may go to a node: it is connected and
// has told everything. Less is asked for keeping what it has.
func (n *Node) Placeable() bool { return n.Session != "" && n.Synced && n.DockerOK }

// Seen returns what is known of an instance, made when it is new: not known.
func (n *Node) Seen(instanceID string) *Seen {
	s := n.seen[instanceID]
	if s == nil {
		s = &Seen{ID: instanceID}
		n.seen[instanceID] = s
	}
	return s
}

// Sync replaces all that is known of a node's instances.
func (n *Node) Sync(all []model.Observed) {
	for _, s := range n.seen {
		*s = s.unknown()
	}
	n.sum = wire.Sum{}
	for i := range all {
		n.set(&all[i])
	}
	n.Synced, n.EverSynced = true, true
}

// Assume takes an instance to run at an address because the leader before routed
// to it there, until its node speaks for itself: a node that is silent when
// leaders change loses no route by that.
func (n *Node) Assume(instanceID, addr string) {
	if n.EverSynced {
		return
	}
	if s := n.Seen(instanceID); !s.Known {
		n.setSeen(s, &model.Observed{ID: instanceID, Phase: model.PhaseRunning, Addr: addr})
	}
}

// Report notes what changed. A phase never goes back: an older word is dropped.
func (n *Node) Report(changed []model.Observed) {
	for i := range changed {
		if s := n.Seen(changed[i].ID); !s.Known || s.Phase <= changed[i].Phase {
			n.setSeen(s, &changed[i])
		}
	}
}

func (n *Node) set(o *model.Observed) { n.setSeen(n.Seen(o.ID), o) }

func (n *Node) setSeen(s *Seen, o *model.Observed) {
	if s.Known {
		n.sum.Remove(s.Observed())
	}
	if !n.Heard.IsZero() && (s.Since == 0 || s.phase != o.Phase) {
		s.Since, s.phase = n.Heard.UnixMilli(), o.Phase
	}
	s.take(o)
	n.sum.Add(*o)
}

// Same reports whether a heartbeat's digest is that of what is known.
func (n *Node) Same(digest []byte) bool { return n.sum.Is(digest) }

// Forget drops what is known of an instance that is no more.
func (c *Cluster) Forget(n *Node, instanceID string) {
	if s := n.seen[instanceID]; s != nil {
		if s.Known {
			n.sum.Remove(s.Observed())
		}
		delete(n.seen, instanceID)
	}
	if v := c.verdicts[instanceID]; v != nil {
		c.Sick.leave(v)
		delete(c.verdicts, instanceID)
	}
}
