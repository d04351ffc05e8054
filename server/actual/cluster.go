// Package actual is what the leader has observed: nodes, their instances'
// phases and the monitors' verdicts. It is rebuilt from the agents in every term
// and never stored. One goroutine owns a Cluster; it has no locks and no clock.
package actual

import (
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/wire"
)

// Cluster is all that was observed.
type Cluster struct {
	Nodes    map[string]*Node
	Verdicts map[string]Verdict // by instance ID
	monitors map[string]map[string]model.Verdict
	began    time.Time // of the term: silence is counted from here at the earliest
}

// Node is one host as its agent described it.
type Node struct {
	model.Node
	Session     string // of its stream; "" while there is none
	BootID      string
	Synced      bool // a full sync came in this session
	EverSynced  bool // one came in this term
	DockerOK    bool
	DockerTold  bool // its agent has said in this term how its engine is
	DockerError string
	Heard       time.Time // last message of any kind in this term
	Version     string
	Docker      string
	Observed    map[string]model.Observed // by instance ID; kept when the node falls silent
}

// Verdict is what all monitors together say of an instance.
type Verdict struct {
	Healthy   bool
	Since     time.Time
	HealthyAt time.Time // since when it is healthy; zero while it is not
	SickAt    time.Time // since when it is unhealthy after having been healthy
	Evidence  string
	Judged    bool // a monitor spoke in this term; else it is assumed from the routes in force
}

// New returns an empty cluster for a term that begins now.
func New(now time.Time) *Cluster {
	return &Cluster{Nodes: map[string]*Node{}, Verdicts: map[string]Verdict{}, monitors: map[string]map[string]model.Verdict{}, began: now}
}

// Limits say when silence means something.
type Limits struct {
	UnknownAfter time.Duration // since the last message
	LostAfter    time.Duration // since it became unknown
}

// Status is a node's status at now. An agent whose stream has ended keeps its
// last status until heartbeats are missed: the end of a stream is only a hint.
func (c *Cluster) Status(n *Node, l Limits, now time.Time) model.NodeStatus {
	heard := n.Heard
	if heard.Before(c.began) {
		heard = c.began
	}
	silent := now.Sub(heard)
	switch {
	case silent >= l.UnknownAfter+l.LostAfter:
		return model.NodeLost
	case silent >= l.UnknownAfter:
		return model.NodeUnknown
	case n.DockerTold && !n.DockerOK:
		return model.NodeDockerDown
	case !n.EverSynced:
		return model.NodeUnknown
	}
	return model.NodeReady
}

// NextChange is when a silent node's status changes next; zero for never.
func (c *Cluster) NextChange(n *Node, l Limits, now time.Time) time.Time {
	heard := n.Heard
	if heard.Before(c.began) {
		heard = c.began
	}
	for _, d := range []time.Duration{l.UnknownAfter, l.UnknownAfter + l.LostAfter} {
		if t := heard.Add(d); t.After(now) {
			return t
		}
	}
	return time.Time{}
}

// Placeable reports whether new instances may go to a node: it is connected and
// has told everything. Less is asked for keeping what it has.
func (n *Node) Placeable() bool { return n.Session != "" && n.Synced && n.DockerOK }

// Node returns a node, made when it is new.
func (c *Cluster) Node(id string) *Node {
	n := c.Nodes[id]
	if n == nil {
		n = &Node{Node: model.Node{ID: id, Availability: model.Active}, Observed: map[string]model.Observed{}}
		c.Nodes[id] = n
	}
	return n
}

// Sync replaces all that is known of a node's instances.
func (n *Node) Sync(all []model.Observed) {
	n.Observed = make(map[string]model.Observed, len(all))
	for _, o := range all {
		n.Observed[o.ID] = o
	}
	n.Synced, n.EverSynced = true, true
}

// Report notes what changed. A phase never goes back; it returns the instances
// whose word was taken.
func (n *Node) Report(changed []model.Observed) []string {
	var taken []string
	for _, o := range changed {
		if old, ok := n.Observed[o.ID]; ok && old.Phase > o.Phase {
			continue
		}
		n.Observed[o.ID] = o
		taken = append(taken, o.ID)
	}
	return taken
}

// Digest is the digest the node's heartbeats must carry.
func (n *Node) Digest() []byte {
	return wire.Digest(slices.Collect(maps.Values(n.Observed)))
}

// Judge takes a monitor's verdicts in and returns the instances whose common
// verdict changed. An instance is healthy as long as one connected monitor says
// so: a monitor that is cut off sees everything dead.
func (c *Cluster) Judge(monitor string, verdicts []model.Verdict, now time.Time) []string {
	m := c.monitors[monitor]
	if m == nil {
		m = map[string]model.Verdict{}
		c.monitors[monitor] = m
	}
	var changed []string
	for _, v := range verdicts {
		m[v.InstanceID] = v
		if c.agree(v, now) {
			changed = append(changed, v.InstanceID)
		}
	}
	return changed
}

// agree works out the common verdict after one monitor spoke.
func (c *Cluster) agree(v model.Verdict, now time.Time) bool {
	old, had := c.Verdicts[v.InstanceID]
	next := Verdict{Healthy: v.Healthy, Since: now, Evidence: v.Evidence, Judged: true}
	for _, m := range c.monitors {
		if w, ok := m[v.InstanceID]; ok && w.Healthy && !next.Healthy {
			next.Healthy, next.Evidence = true, w.Evidence
		}
	}
	switch {
	case next.Healthy && old.Healthy:
		next.Since, next.HealthyAt = old.Since, old.HealthyAt
	case next.Healthy:
		next.HealthyAt = now
	case old.Healthy:
		next.SickAt = now
	default:
		next.SickAt, next.Since = old.SickAt, v.Since
	}
	c.Verdicts[v.InstanceID] = next
	return !had || old.Healthy != next.Healthy || old.Judged != next.Judged
}

// Assume gives an instance that routers serve the benefit of the doubt until a
// monitor speaks in this term.
func (c *Cluster) Assume(instanceID string, now time.Time) {
	if _, ok := c.Verdicts[instanceID]; !ok {
		c.Verdicts[instanceID] = Verdict{Healthy: true, Since: now, HealthyAt: now, Evidence: "routed by the leader before"}
	}
}

// MonitorGone drops a monitor's part in the verdicts; the common ones stay as
// they are until another monitor speaks.
func (c *Cluster) MonitorGone(monitor string) { delete(c.monitors, monitor) }

// Monitors is the number of connected monitors.
func (c *Cluster) Monitors() int { return len(c.monitors) }

// Forget drops what is known of an instance that is no more.
func (c *Cluster) Forget(instanceID string) {
	delete(c.Verdicts, instanceID)
	for _, m := range c.monitors {
		delete(m, instanceID)
	}
}

// Frozen is the breaker (R9): with more nodes silent than accidents explain,
// losses are not believed. When all are silent, it is we who are cut off.
func (c *Cluster) Frozen(l Limits, now time.Time) bool {
	silent := 0
	for _, n := range c.Nodes {
		if s := c.Status(n, l, now); s == model.NodeUnknown || s == model.NodeLost {
			silent++
		}
	}
	return silent > max(3, len(c.Nodes)*15/100) || silent > 0 && silent == len(c.Nodes)
}
