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

// handle takes one event into the state.
func (l *Loop) handle(ctx context.Context, e dispatch.Event) {
	now := time.Now()
	switch e := e.(type) {
	case dispatch.SessionOpened:
		l.opened(e.Session, e.Hello, now)
	case dispatch.SessionClosed:
		l.closed(e.Session)
	case dispatch.Synced:
		l.synced(e, now)
	case dispatch.Reported:
		l.reported(e, now)
	case dispatch.Beat:
		l.beat(e, now)
	case dispatch.MonitorOpened:
		l.monitors[e.Monitor] = true
		e.Monitor.Targets(l.allTargets())
	case dispatch.MonitorClosed:
		delete(l.monitors, e.Monitor)
		l.cluster.MonitorGone(e.Monitor.ID)
	case dispatch.Judged:
		for _, id := range l.cluster.Judge(e.Monitor.ID, e.Verdicts, now) {
			l.dirtyInstance(id)
		}
	case dispatch.Nudged:
		l.nudged(ctx, e)
	case routesServed:
		for _, a := range l.apps {
			if l.awaitsRoutes(a) {
				l.dirty[a.ID] = true
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
func (l *Loop) opened(s *dispatch.Session, h *pb.Hello, now time.Time) {
	if old := l.sessions[s.NodeID]; old != nil {
		old.Close(errReplaced)
	}
	l.sessions[s.NodeID] = s
	n := l.cluster.Node(s.NodeID)
	n.Name, n.Address, n.Zone = h.GetName(), h.GetAddress(), h.GetZone()
	n.MemoryMiB, n.CPUMilli = h.GetMemoryMib(), h.GetCpuMilli()
	n.SeenAt, n.Version, n.Docker, n.BootID = now, h.GetVersion(), h.GetDockerVersion(), h.GetBootId()
	n.Session, n.Synced, n.Heard = s.ID, false, now
	l.newNodes[s.NodeID] = true
	l.log.Info("agent connected", "node", n.Name, "session", s.ID)
}

func (l *Loop) closed(s *dispatch.Session) {
	if l.sessions[s.NodeID] != s {
		return
	}
	delete(l.sessions, s.NodeID)
	n := l.cluster.Node(s.NodeID)
	n.Session, n.Synced = "", false
	l.log.Info("agent disconnected", "node", n.Name, "session", s.ID)
}

// heard returns the node of a session, nil when the session was replaced.
func (l *Loop) heard(s *dispatch.Session, now time.Time) (n *nodeRef) {
	if l.sessions[s.NodeID] != s {
		return nil
	}
	node := l.cluster.Node(s.NodeID)
	node.Heard = now
	return &nodeRef{Node: node, session: s}
}

func (l *Loop) synced(e dispatch.Synced, now time.Time) {
	n := l.heard(e.Session, now)
	if n == nil {
		return
	}
	n.DockerOK, n.DockerError, n.DockerTold = e.DockerOK, e.DockerError, true
	if !e.DockerOK {
		// What an agent says while its engine does not answer is not the whole
		// truth: keep what was known.
		n.Report(e.Instances)
		l.dirtyNode(n.ID)
		return
	}
	n.Sync(e.Instances)
	for id, r := range l.byNode[n.ID] {
		if _, known := n.Observed[id]; !known && r.Role == model.Suspect {
			n.Observed[id] = model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneLost, Message: "the agent came back without it"}
		}
	}
	l.unasked(n, e.Instances, now)
	l.dirtyNode(n.ID)
	for _, a := range l.apps { // it has room for what waits
		if len(a.pending) > 0 {
			l.dirty[a.ID] = true
		}
	}
}

func (l *Loop) reported(e dispatch.Reported, now time.Time) {
	n := l.heard(e.Session, now)
	if n == nil {
		return
	}
	n.Report(e.Instances)
	l.unasked(n, e.Instances, now)
	for _, o := range e.Instances {
		l.dirtyInstance(o.ID)
	}
}

// unasked looks after instances that an agent has and we have no row for: gone
// ones may be forgotten; living ones are orphans, see stopOrphans.
func (l *Loop) unasked(n *nodeRef, all []model.Observed, now time.Time) {
	var forget []string
	for _, o := range all {
		if r, ok := l.rows[o.ID]; ok && r.NodeID == n.ID {
			continue
		}
		if o.Phase == model.PhaseGone {
			forget = append(forget, o.ID)
			delete(n.Observed, o.ID)
			delete(l.orphans, o.ID)
		} else if _, seen := l.orphans[o.ID]; !seen {
			l.orphans[o.ID] = now
		}
	}
	if len(forget) > 0 {
		n.session.Forget(forget)
	}
}

// beat notes a heartbeat; when the agent's picture is not ours, it is asked for
// all of it.
func (l *Loop) beat(e dispatch.Beat, now time.Time) {
	n := l.heard(e.Session, now)
	if n == nil {
		return
	}
	if n.DockerOK != e.DockerOK || !n.DockerTold {
		n.DockerOK, n.DockerError, n.DockerTold = e.DockerOK, e.DockerError, true
		l.dirtyNode(n.ID)
	}
	if n.Synced && !bytes.Equal(e.Digest, n.Digest()) || !n.Synced && e.DockerOK {
		n.session.Resync()
	}
}

func (l *Loop) nudged(ctx context.Context, e dispatch.Nudged) {
	if err := l.refresh(ctx, e.AppIDs); err != nil {
		l.log.Warn("nudge not followed", "err", err)
		l.swept = time.Time{}
	}
	if e.Nodes {
		l.swept = time.Time{}
	}
}

func (l *Loop) dirtyInstance(id string) {
	if r, ok := l.rows[id]; ok {
		l.dirty[r.AppID] = true
	}
}
