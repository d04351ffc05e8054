package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/dispatch"
)

var (
	errReplaced        = errors.New("the agent opened a newer session")
	errMonitorReplaced = errors.New("the monitor opened a newer stream")
)

// Handle takes one event into the state. Round then acts on it.
func (c *Core) Handle(ctx context.Context, e dispatch.Event) {
	now := c.deps.Now()
	switch e := e.(type) {
	case dispatch.SessionOpened:
		c.opened(e, now)
	case dispatch.SessionClosed:
		c.closed(e.Session)
	case dispatch.Synced:
		c.synced(e, now)
	case dispatch.Reported:
		c.reported(e, now)
	case dispatch.Beat:
		c.beat(e, now)
	case dispatch.Unused:
		c.unused(ctx, e, now)
	case dispatch.MonitorOpened:
		c.monitorOpened(e.Monitor)
	case dispatch.MonitorClosed:
		c.monitorClosed(e.Monitor)
	case dispatch.Judged:
		if c.monitors[e.Monitor.ID()] == e.Monitor {
			c.cluster.Judge(e.Monitor.ID(), e.Verdicts, now, c.dirtyInstance)
		}
	case dispatch.Nudged:
		c.nudged(ctx, e)
	case routesServed:
		c.routesServed()
	case dispatch.Do:
		e()
	}
}

// routesServed says that routers have taken a write.
type routesServed struct{}

// RoutesServed is the event by which the publisher wakes the reconciler.
func RoutesServed() dispatch.Event { return routesServed{} }

// opened begins a session. Its instances are believed only after a sync.
func (c *Core) opened(e dispatch.SessionOpened, now time.Time) {
	s, h := e.Session, e.Hello
	if c.forgotten[s.NodeID()] {
		s.Close(errForgotten(s.NodeID()))
		return
	}
	n := c.node(s.NodeID())
	if n.session != nil {
		n.session.Close(errReplaced)
	}
	c.sittings++
	n.session, n.sitting = s, c.sittings
	n.pulse.Alert()
	if n.pulse = e.Pulse; n.pulse == nil {
		n.pulse = dispatch.NewPulse(now)
	}
	is := n.Node.Node
	is.Name, is.Address, is.Zone = h.GetName(), h.GetAddress(), h.GetZone()
	is.Pool, is.Labels = h.GetPool(), h.GetLabels()
	is.MemoryMiB, is.CPUMilli, is.SeenAt = h.GetMemoryMib(), h.GetCpuMilli(), now
	if told := n.Node.Node; known(told, is) {
		is.SeenAt = told.SeenAt
	} else {
		c.newNodes[n.ID] = true
	}
	c.cluster.Describe(n.Node, is)
	n.Version, n.Docker, n.BootID = h.GetVersion(), h.GetDockerVersion(), h.GetBootId()
	n.Session, n.Synced, n.Heard = s.ID(), false, now
	c.reindex(n)
	c.looks.set(n.ID, now)
	c.log().Info("agent connected", "node", n.Name, "session", s.ID())
	c.compareHistory(n, h, now)
}

// seenEvery is how old the time may be that the database has of a node's last hello.
const seenEvery = time.Hour

// known reports whether the database has of a node what it says of itself now:
// otherwise a new leader would begin by writing ten thousand rows, with the lease
// and all else waiting, to change nothing in them.
func known(stored, is model.Node) bool {
	labels := slices.Equal(stored.Labels, is.Labels)
	return labels && !stored.CreatedAt.IsZero() && is.SeenAt.Sub(stored.SeenAt) < seenEvery &&
		stored.Name == is.Name && stored.Address == is.Address && stored.Zone == is.Zone && stored.Pool == is.Pool &&
		stored.MemoryMiB == is.MemoryMiB && stored.CPUMilli == is.CPUMilli
}

func (c *Core) closed(s dispatch.Session) {
	n := c.nodes[s.NodeID()]
	if n == nil || n.session != s {
		return
	}
	n.session, n.Session, n.Synced = nil, "", false
	c.reindex(n)
	c.log().Info("agent disconnected", "node", n.Name, "session", s.ID())
}

// heard returns the node of a session, nil when the session was replaced.
func (c *Core) heard(s dispatch.Session, now time.Time) *node {
	n := c.nodes[s.NodeID()]
	if n == nil || n.session != s {
		return nil
	}
	n.Heard = now
	n.pulse.Alert() // until a beat says that nothing is new
	if n.Status != model.NodeReady {
		c.looks.set(n.ID, now)
	}
	return n
}

// engine notes how a node's engine is.
func (c *Core) engine(n *node, ok bool, problem string, now time.Time) {
	if n.DockerTold && n.DockerOK == ok && n.DockerError == problem {
		return
	}
	told := n.DockerTold // the first word is news only if it changes the node's status, see look
	n.DockerOK, n.DockerError, n.DockerTold = ok, problem, true
	c.reindex(n)
	if told {
		c.dirtyNode(n)
	}
	c.looks.set(n.ID, now)
}

// disk notes what is short of room on a node's disk.
func (c *Core) disk(n *node, short string) {
	if n.DiskShort == short {
		return
	}
	if (n.DiskShort == "") != (short == "") {
		c.log().Warn("node's disk", "node", n.Name, "short", short)
	}
	n.DiskShort = short
	c.reindex(n)
	c.dirtyWaiting()
}

func (c *Core) synced(e dispatch.Synced, now time.Time) {
	n := c.heard(e.Session, now)
	if n == nil {
		return
	}
	c.turned(n, e.DockerOK, e.Engine)
	c.engine(n, e.DockerOK, e.DockerError, now)
	c.disk(n, e.Disk)
	ran, first := c.running(n), !n.EverSynced && e.DockerOK
	if e.DockerOK {
		n.Sync(e.Instances)
	} else {
		// What an agent says while its engine does not answer is not the whole
		// truth: keep what was known.
		n.Report(e.Instances)
	}
	for _, r := range n.rows {
		c.countStarting(r)
	}
	c.heardAll(n, ran, first)
	c.looks.set(n.ID, now)
	c.unasked(n, e.Instances, now)
	delete(c.mum, n.ID)
	if e.DockerOK {
		c.reindex(n)
		c.dirtyWaiting() // it has room for what waits
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
		if r := c.rows[o.ID]; r != nil {
			c.countStarting(r)
			c.dirty[r.AppID] = true
		}
	}
}

// unasked looks after instances that an agent has and we have no row for: gone
// ones may be forgotten; living ones are orphans, see stopOrphans.
func (c *Core) unasked(n *node, all []model.Observed, now time.Time) {
	var forget []string
	for _, o := range all {
		if r := c.rows[o.ID]; r != nil && r.node == n {
			continue
		}
		if o.Phase == model.PhaseGone {
			forget = append(forget, o.ID)
			if a := c.guests[o.ID]; a != nil {
				c.dirty[a.ID] = true
			}
			c.unsee(n, o.ID)
			delete(c.orphans, o.ID)
		} else if _, seen := c.orphans[o.ID]; !seen {
			c.orphans[o.ID] = orphan{node: n, since: now, singleton: o.Singleton}
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
	c.turned(n, e.DockerOK, e.Engine)
	c.engine(n, e.DockerOK, e.DockerError, now)
	c.disk(n, e.Disk)
	if n.Synced && !n.Same(e.Digest) || !n.Synced && e.DockerOK {
		n.session.Resync()
	}
	if n.Status == model.NodeReady && n.Synced && e.DockerOK && n.Same(e.Digest) {
		n.pulse.Calm(e)
	}
}

// unsee drops what is known of an instance, of which the node's next beat is to
// know.
func (c *Core) unsee(n *node, instanceID string) {
	n.pulse.Alert()
	c.cluster.Forget(n.Node, instanceID)
}

// monitorOpened makes a stream the one of its monitor. The one before it is ended:
// which of two is the living one is not known here, as what waited for a leader
// that stood still is taken in any order. If it was the living one, the monitor
// comes back at once, is told everything and tells everything.
func (c *Core) monitorOpened(m dispatch.Monitor) {
	if old := c.monitors[m.ID()]; old != nil {
		old.Close(errMonitorReplaced)
	}
	c.monitors[m.ID()] = m
	m.Targets(c.allTargets())
}

func (c *Core) monitorClosed(m dispatch.Monitor) {
	if c.monitors[m.ID()] == m {
		delete(c.monitors, m.ID())
		c.cluster.MonitorGone(m.ID())
	}
}

func (c *Core) nudged(ctx context.Context, e dispatch.Nudged) {
	if err := c.refresh(ctx, e.AppIDs); err != nil {
		c.log().Warn("nudge not followed", "err", err)
		c.swept = time.Time{}
	}
	if e.Nodes {
		c.swept = time.Time{}
	}
}
