package reconcile

import (
	"context"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/plan"
	"github.com/dinp/dinp/sql/store"
)

// nodeRef is a node together with the session it speaks by.
type nodeRef struct {
	*actual.Node
	session *dispatch.Session
}

// commit takes a plan that the database holds into memory.
func (l *Loop) commit(d decided, now time.Time) {
	a := d.app
	for _, r := range d.plan.Reap {
		l.commitReap(a, r, now)
	}
	for _, s := range d.plan.Stop {
		r := l.rows[s.ID]
		r.Stopping, r.Reason, r.StoppedAt, r.sentTo = true, s.Reason, now, ""
		l.log.Info("instance to be stopped", "app", a.Name, "instance", s.ID, "why", s.Reason)
	}
	for id, role := range roles(d.plan) {
		l.rows[id].Role = role
	}
	for _, n := range d.plan.Calm {
		delete(a.slots, n)
	}
	for _, dep := range d.plan.Deploy {
		l.commitDeployment(a, dep)
	}
	for _, r := range d.starts {
		l.log.Info("instance placed", "app", a.Name, "instance", r.ID, "slot", r.Slot, "role", r.Role, "node", l.cluster.Node(r.NodeID).Name, "release", l.version(r.ReleaseID))
	}
	a.wake = d.plan.Wake
}

func (l *Loop) commitReap(a *app, reap plan.Reap, now time.Time) {
	r := l.rows[reap.ID]
	n := l.cluster.Node(r.NodeID)
	o := n.Observed[reap.ID]
	if reap.Failed {
		a.slots[reap.Slot] = plan.Failed(l.cfg.Plan, a.slots[reap.Slot], now)
		if r.ReleaseID == a.ReleaseID {
			l.noteFailure(a, r.NodeID, o, now)
		}
	}
	l.removeRow(r)
	delete(n.Observed, reap.ID)
	if s := l.sessions[r.NodeID]; s != nil {
		s.Forget([]string{reap.ID})
	}
	l.log.Info("instance gone", "app", a.Name, "instance", reap.ID, "how", o.Gone, "code", o.Code, "exit", o.ExitCode)
}

// noteFailure counts an end of the wanted release's instances, for its deployment.
// The nodes they ended on are the last to be tried again.
func (l *Loop) noteFailure(a *app, nodeID string, o model.Observed, now time.Time) {
	if a.failuresOf != a.ReleaseID {
		a.failures, a.failuresOf, a.failedOn = nil, a.ReleaseID, map[string]int{}
	}
	a.failedOn[nodeID]++
	code := o.Code
	if code == "" {
		code = model.CodeCrashed
	}
	a.failures = append(a.failures, plan.Failure{At: now, Code: code, Message: o.Message, Logs: o.Logs})
}

func (l *Loop) commitDeployment(a *app, d model.Deployment) {
	a.deployments[d.ReleaseID] = d
	if d.Ended() {
		l.log.Info("deployment ended", "app", a.Name, "release", l.version(d.ReleaseID), "status", d.Status, "err", d.Error)
		a.unplaceable, a.refusal, a.tail = time.Time{}, nil, nil
	}
	if d.Status == model.DeploymentSucceeded {
		a.lastGood = d.ReleaseID
	}
	l.dirty[a.ID] = true // a deployment's end changes what is to be kept up
}

// act sends what an app's rows need: routes first, then starts, then stops of
// what the routers have let go.
func (l *Loop) act(ctx context.Context, a *app, now time.Time) {
	l.publish(a, now)
	for _, r := range sortedRows(a.rows) {
		n := l.cluster.Node(r.NodeID)
		s := l.sessions[r.NodeID]
		if s == nil || !n.Synced || ctx.Err() != nil || r.sentTo == s.ID {
			continue
		}
		_, known := n.Observed[r.ID]
		switch {
		case r.Stopping:
			l.sendStop(a, r, s)
		case !known:
			l.sendStart(a, r, s)
		}
	}
	l.syncTargets(a)
}

// sendStop ends an instance once no router sends it requests any more (R18).
func (l *Loop) sendStop(a *app, r *row, s *dispatch.Session) {
	if r.inRoutes || l.pub.Served() < r.routeRev || len(a.keys) == 0 && a.DeletedAt.IsZero() {
		return
	}
	spec := l.releases[r.ReleaseID].Spec.WithDefaults()
	m := &pb.Stop{InstanceId: r.ID, GraceMs: time.Duration(spec.Grace).Milliseconds(), Reason: string(r.Reason)}
	if r.everRouted || r.prior {
		m.DrainMs = time.Duration(spec.Drain).Milliseconds()
	}
	s.Stop(m)
	r.sentTo = s.ID
}

func (l *Loop) sendStart(a *app, r *row, s *dispatch.Session) {
	rel, ok := l.releases[r.ReleaseID]
	if !ok {
		return
	}
	s.Start(&pb.Start{
		InstanceId: r.ID, AppId: a.ID, AppName: a.Name, ReleaseId: rel.ID, Release: int32(rel.Number), Slot: int32(r.Slot),
		Image: rel.Spec.Image, Command: rel.Spec.Command, Env: rel.Spec.Env, Port: int32(rel.Spec.Port),
		MemoryMib: rel.Spec.MemoryMiB, CpuMilli: rel.Spec.CPUMilli, SpecHash: rel.Spec.Hash(),
	})
	r.sentTo = s.ID
}

func orphanEvent(id string) store.Control {
	return store.Control{Events: []model.Event{{Actor: "server", Verb: "instance.orphan", Subject: id, Message: "an instance without a row is stopped"}}}
}

// stopOrphans stops instances that agents have and nobody wants (R7): only
// after a complete look at the desired state, a full sync of the node, a time of
// patience, and another look for the row in the database.
func (l *Loop) stopOrphans(ctx context.Context, now time.Time) error {
	for id, seen := range l.orphans {
		if _, ours := l.rows[id]; ours {
			delete(l.orphans, id)
			continue
		}
		if now.Sub(seen) < l.cfg.OrphanAfter || l.reload || l.swept.Before(seen) {
			continue
		}
		there, err := l.store.HasInstance(ctx, id)
		if err != nil {
			return err
		}
		if there {
			l.reload = true
			continue
		}
		if err := l.store.Apply(ctx, l.lease, orphanEvent(id)); err != nil {
			return err
		}
		for nodeID, n := range l.cluster.Nodes {
			if s := l.sessions[nodeID]; s != nil && n.Synced {
				if _, has := n.Observed[id]; has {
					s.Stop(&pb.Stop{InstanceId: id, GraceMs: 30_000, Reason: "nobody wants it"})
				}
			}
		}
		delete(l.orphans, id)
	}
	return nil
}

// wantsTail reports whether a plan is about to fail a deployment because an
// instance never answered, and its output has yet to be read. It is asked for
// once; what has come within tailWithin is what is shown.
func (l *Loop) wantsTail(a *app, in plan.Input, p plan.Plan) bool {
	fails := false
	for _, d := range p.Deploy {
		fails = fails || d.Status == model.DeploymentFailed && d.Error != nil && d.Error.Code == model.CodeNotReady && d.ReleaseID == a.ReleaseID
	}
	if !fails {
		return false
	}
	if a.tail != nil && a.tail.releaseID == a.ReleaseID {
		return !a.tail.done
	}
	id := in.Unready(a.ReleaseID)
	r := l.rows[id]
	if r == nil || l.sessions[r.NodeID] == nil {
		return false
	}
	a.tail = &tail{releaseID: a.ReleaseID}
	l.readTail(l.sessions[r.NodeID], a.ID, a.tail, id)
	return true
}

const (
	tailLines  = 20
	tailWithin = 3 * time.Second
)

// readTail reads an instance's last lines without holding the loop up.
func (l *Loop) readTail(s *dispatch.Session, appID string, t *tail, instanceID string) {
	l.tails.Go(func() {
		ctx, cancel := context.WithTimeout(l.term, tailWithin)
		defer cancel()
		var lines []string
		err := s.Logs(ctx, &pb.LogRequest{InstanceId: instanceID, Tail: tailLines}, func(c *pb.LogChunk) error {
			for _, line := range c.GetLines() {
				lines = append(lines, line.GetText())
			}
			return nil
		})
		if err != nil && len(lines) == 0 {
			lines = []string{"(its output could not be read: " + err.Error() + ")"}
		} else if len(lines) == 0 {
			lines = []string{"(the instance has written nothing)"}
		}
		done := dispatch.Do(func() {
			t.lines, t.done = lines, true
			l.dirty[appID] = true
		})
		select {
		case l.inbox <- done:
		case <-l.term.Done():
		}
	})
}
