package reconcile

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/dispatch"
)

var errReplaced = errors.New("the agent opened a newer session")

// Handle takes one event into the state. Round then acts on it.
func (c *Core) Handle(ctx context.Context, e dispatch.Event) {
	now := c.deps.Now()
	switch e := e.(type) {
	case dispatch.SessionOpened:
		c.opened(e.Session, e.Hello, now)
	case dispatch.SessionClosed:
		c.closed(e.Session)
	case dispatch.Synced:
		c.synced(e, now)
	case dispatch.Reported:
		c.reported(e, now)
	case dispatch.Beat:
		c.beat(e, now)
	case dispatch.MonitorOpened:
		c.monitors[e.Monitor.ID()] = e.Monitor
		e.Monitor.Targets(c.allTargets())
	case dispatch.MonitorClosed:
		if c.monitors[e.Monitor.ID()] == e.Monitor {
			delete(c.monitors, e.Monitor.ID())
			c.cluster.MonitorGone(e.Monitor.ID())
		}
	case dispatch.Judged:
		for _, id := range c.cluster.Judge(e.Monitor.ID(), e.Verdicts, now) {
			c.dirtyInstance(id)
		}
	case dispatch.Nudged:
		c.nudged(ctx, e)
	case routesServed:
		for _, a := range c.apps {
			if c.awaitsRoutes(a) {
				c.dirty[a.ID] = true
			}
		}
	case dispatch.Do:
		e()
	}
}

// routesServed says that routers have taken a write.
type routesServed struct{}

// RoutesServed is the event by which the publisher wakes the loop.
func RoutesServed() dispatch.Event { return routesServed{} }

// opened begins a session. Its instances are believed only after a sync.
func (c *Core) opened(s dispatch.Session, h *pb.Hello, now time.Time) {
	if old := c.sessions[s.NodeID()]; old != nil {
		old.Close(errReplaced)
	}
	c.sessions[s.NodeID()] = s
	n := c.cluster.Node(s.NodeID())
	n.Name, n.Address, n.Zone = h.GetName(), h.GetAddress(), h.GetZone()
	n.MemoryMiB, n.CPUMilli = h.GetMemoryMib(), h.GetCpuMilli()
	n.SeenAt, n.Version, n.Docker, n.BootID = now, h.GetVersion(), h.GetDockerVersion(), h.GetBootId()
	n.Session, n.Synced, n.Heard = s.ID(), false, now
	c.newNodes[s.NodeID()] = true
	c.deps.Log.Info("agent connected", "node", n.Name, "session", s.ID())
}

func (c *Core) closed(s dispatch.Session) {
	if c.sessions[s.NodeID()] != s {
		return
	}
	delete(c.sessions, s.NodeID())
	n := c.cluster.Node(s.NodeID())
	n.Session, n.Synced = "", false
	c.deps.Log.Info("agent disconnected", "node", n.Name, "session", s.ID())
}

// heard returns the node of a session, nil when the session was replaced.
func (c *Core) heard(s dispatch.Session, now time.Time) (n *nodeRef) {
	if c.sessions[s.NodeID()] != s {
		return nil
	}
	node := c.cluster.Node(s.NodeID())
	node.Heard = now
	return &nodeRef{Node: node, session: s}
}

func (c *Core) synced(e dispatch.Synced, now time.Time) {
	n := c.heard(e.Session, now)
	if n == nil {
		return
	}
	n.DockerOK, n.DockerError, n.DockerTold = e.DockerOK, e.DockerError, true
	if !e.DockerOK {
		// What an agent says while its engine does not answer is not the whole
		// truth: keep what was known.
		n.Report(e.Instances)
		c.dirtyNode(n.ID)
		return
	}
	n.Sync(e.Instances)
	for id, r := range c.byNode[n.ID] {
		if _, known := n.Observed[id]; !known && r.Role == model.Suspect {
			n.Observed[id] = model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneLost, Message: "the agent came back without it"}
		}
	}
	c.unasked(n, e.Instances, now)
	c.dirtyNode(n.ID)
	for _, a := range c.apps { // it has room for what waits
		if len(a.pending) > 0 {
			c.dirty[a.ID] = true
		}
	}
}

func (c *Core) reported(e dispatch.Reported, now time.Time) {
	n := c.heard(e.Session, now)
	if n == nil {
		return
	}
	n.Report(e.Instances)
	c.unasked(n, e.Instances, now)
	for _, o := range e.Instances {
		c.dirtyInstance(o.ID)
	}
}

// unasked looks after instances that an agent has and we have no row for: gone
// ones may be forgotten; living ones are orphans, see stopOrphans.
func (c *Core) unasked(n *nodeRef, all []model.Observed, now time.Time) {
	var forget []string
	for _, o := range all {
		if r, ok := c.rows[o.ID]; ok && r.NodeID == n.ID {
			continue
		}
		if o.Phase == model.PhaseGone {
			forget = append(forget, o.ID)
			delete(n.Observed, o.ID)
			delete(c.orphans, o.ID)
		} else if _, seen := c.orphans[o.ID]; !seen {
			c.orphans[o.ID] = now
		}
	}
	if len(forget) > 0 {
		n.session.Forget(forget)
	}
}

// beat notes a heartbeat; when the agent's picture is not ours, it is asked for
// all of it.
func (c *Core) beat(e dispatch.Beat, now time.Time) {
	n := c.heard(e.Session, now)
	if n == nil {
		return
	}
	if n.DockerOK != e.DockerOK || !n.DockerTold {
		n.DockerOK, n.DockerError, n.DockerTold = e.DockerOK, e.DockerError, true
		c.dirtyNode(n.ID)
	}
	if n.Synced && !bytes.Equal(e.Digest, n.Digest()) || !n.Synced && e.DockerOK {
		n.session.Resync()
	}
}

func (c *Core) nudged(ctx context.Context, e dispatch.Nudged) {
	if err := c.refresh(ctx, e.AppIDs); err != nil {
		c.deps.Log.Warn("nudge not followed", "err", err)
		c.swept = time.Time{}
	}
	if e.Nodes {
		c.swept = time.Time{}
	}
}

func (c *Core) dirtyInstance(id string) {
	if r, ok := c.rows[id]; ok {
		c.dirty[r.AppID] = true
	}
}
