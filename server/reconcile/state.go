package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/plan"
)

// AppReply tells the live state of one app. Call it by Do.
func (c *Core) AppReply(id string) *pb.AppReply {
	a := c.apps[id]
	if a == nil {
		return &pb.AppReply{State: "unknown to the leader yet"}
	}
	now := c.deps.Now()
	out := &pb.AppReply{State: c.sentence(a, now)}
	for _, r := range a.rows {
		s := c.instanceState(r)
		if s.Routed {
			out.Ready++
		}
		out.Instances = append(out.Instances, s)
	}
	for _, p := range a.pending {
		out.Pending = append(out.Pending, &pb.PendingSlot{Slot: int32(p.Slot), Code: string(p.Code), Message: p.Message, NextStartMs: wire.Millis(p.Until)})
	}
	return out
}

func (c *Core) instanceState(r *row) *pb.InstanceState {
	var o model.Observed
	if told := r.observed(&o); told != nil { // which may not be in o
		o = *told
	}
	n, v, phase := r.node, r.verdict, o.Phase.String()
	if n.Status == model.NodeUnknown || n.Status == model.NodeLost {
		phase = string(n.Status)
	}
	rel := c.releases[r.ReleaseID]
	ready := o.Phase == model.PhaseRunning && v.Healthy && !r.Stopping
	return &pb.InstanceState{
		Id: r.ID, Slot: int32(r.Slot), Role: string(r.Role), NodeId: r.NodeID, NodeName: n.Name, ReleaseId: r.ReleaseID, Release: int32(rel.Number),
		Phase: phase, Stopping: r.Stopping, Reason: string(r.Reason), Addr: o.Addr, Container: o.Container,
		Ready: ready, Verdict: v.Evidence, Code: string(o.Code), Message: o.Message,
		CreatedMs: wire.Millis(r.CreatedAt), StartedMs: wire.Millis(o.StartedAt), Routed: c.inForceNow(r) && c.deps.Routes.Served() >= r.routeRev,
	}
}

// AppsReply tells the live counts of all apps. Call it by Do.
func (c *Core) AppsReply() *pb.AppsReply {
	now := c.deps.Now()
	out := &pb.AppsReply{}
	for id, a := range c.apps {
		counts := &pb.AppCounts{AppId: id, State: c.sentence(a, now)}
		for _, r := range a.rows {
			if c.inForceNow(r) {
				counts.Ready++
			}
			if r.seen.Phase == model.PhaseRunning {
				counts.Running++
			}
		}
		out.Apps = append(out.Apps, counts)
	}
	return out
}

// NodesReply tells the live state of nodes and routers. Call it by Do.
func (c *Core) NodesReply() *pb.NodesReply {
	now := c.deps.Now()
	out := &pb.NodesReply{LeaderId: c.lease.Owner, Epoch: c.lease.Epoch, Survival: c.survival()}
	if c.safe != nil {
		out.SafeMode = c.safe.Reason
	}
	for id, n := range c.nodes {
		c.ask(n)
		avail := cmp.Or(n.wanted, model.Active)
		free, freeCPU := c.index.Free(n.number)
		drained, drain := c.drain(n)
		s := &pb.NodeState{
			Id: id, Name: n.Name, Address: n.Address, Zone: n.Zone, Pool: n.Pool, Labels: n.Labels, Connected: n.session != nil, Status: string(n.Status), Availability: string(avail),
			MemoryMib: n.MemoryMiB, CpuMilli: n.CPUMilli, Instances: int32(len(n.rows)), HeardMs: wire.Millis(n.Heard),
			Message: cmp.Or(c.turnedAway(n), c.silence(n), n.DockerError, n.DiskShort, drain), Drained: drained, Version: n.Version, DockerVersion: n.Docker,
			MemoryReservedMib: n.MemoryMiB - free, CpuReservedMilli: n.CPUMilli - freeCPU,
		}
		out.Nodes = append(out.Nodes, s)
	}
	slices.SortFunc(out.Nodes, func(a, b *pb.NodeState) int { return strings.Compare(a.GetName()+a.GetId(), b.GetName()+b.GetId()) })
	for _, r := range c.deps.Routes.Routers() {
		out.Routers = append(out.Routers, &pb.RouterState{
			Id: r.ID, Addr: r.Addr, Serves: r.Serves.String(), Live: !r.Stopped && now.Sub(r.At) < route.RouterLive,
			AtMs: wire.Millis(r.At), Requests: r.Requests, Errors: r.Errors,
		})
	}
	slices.SortFunc(out.Routers, func(a, b *pb.RouterState) int { return strings.Compare(a.GetId(), b.GetId()) })
	return out
}

// SessionOf finds the session and instance by which output can be read; nil when
// the node is away. Call it by Do.
func (c *Core) SessionOf(instanceID, nodeID string) *LogSource {
	if r, ok := c.rows[instanceID]; ok {
		nodeID = r.NodeID
	}
	n := c.nodes[nodeID]
	if n == nil {
		return nil
	}
	return &LogSource{Session: n.session, Node: n.Name}
}

// sentence says in one line how an app is.
func (c *Core) sentence(a *app, now time.Time) string {
	if c.safe != nil {
		return "left as it is, because the database is older than what runs; " + c.serves(a)
	}
	if !a.DeletedAt.IsZero() {
		return fmt.Sprintf("deleted; %d instances are being stopped", len(a.rows))
	}
	if a.ReleaseID == "" {
		return "nothing was deployed yet"
	}
	d, ok := a.deployments[a.ReleaseID]
	switch {
	case a.Paused:
		return "paused: what runs is left as it is; " + c.serves(a)
	case !ok:
		return c.version(a.ReleaseID) + " is about to be rolled out"
	case d.Status == model.DeploymentFailed:
		return c.version(a.ReleaseID) + " failed; " + c.serves(a)
	case d.Status == model.DeploymentRunning:
		return c.rolling(a, d, now)
	case a.Instances == 0:
		return "scaled to 0: nothing runs, and nothing is wanted"
	}
	return c.serves(a)
}

func (c *Core) rolling(a *app, d model.Deployment, now time.Time) string {
	won := 0
	for _, r := range a.rows {
		if r.ReleaseID == d.ReleaseID && r.Role == model.Primary && !r.Stopping && r.inRoutes {
			won++
		}
	}
	if s := plan.Progress(c.cfg.Plan, c.input(a, nil), now); s != "" {
		return withPending(s, a)
	}
	s := fmt.Sprintf("rolling out %s: %d of %d instances serve it", c.version(d.ReleaseID), won, max(won, a.Instances))
	if d.FromReleaseID != "" {
		s += "; the rest is " + c.version(d.FromReleaseID)
	}
	return withPending(s, a)
}

// withPending adds what the first of an app's slots waits for.
func withPending(s string, a *app) string {
	for _, p := range a.pending {
		return s + "; waiting: " + p.Message
	}
	return s
}

// inForceNow reports whether routes lead to an instance. In safe mode none has
// been set: they are those of the terms before.
func (c *Core) inForceNow(r *row) bool {
	return r.inRoutes || c.safe != nil && c.wasInForce(r)
}

// outOf is "2 of 3"; of more than are wanted, on their way out, "3, 2 wanted".
func outOf(n, wanted int) string {
	if n > wanted {
		return fmt.Sprintf("%d, %d wanted", n, wanted)
	}
	return fmt.Sprintf("%d of %d", n, wanted)
}

// serves says which release serves on how many instances.
func (c *Core) serves(a *app) string {
	count := map[string]int{}
	for _, r := range a.rows {
		if c.inForceNow(r) {
			count[r.ReleaseID]++
		}
	}
	if len(count) == 0 {
		if c.inForce == nil {
			return "what serves is not known: the routes in force cannot be read, because Redis does not answer"
		}
		if len(a.pending) > 0 {
			return "nothing serves: " + a.pending[0].Message
		}
		return fmt.Sprintf("nothing serves; %s wanted", model.Count(a.Instances, "instance"))
	}
	var parts []string
	for id, n := range count {
		parts = append(parts, fmt.Sprintf("%s serves on %s", c.version(id), outOf(n, a.Instances)))
	}
	slices.Sort(parts)
	return withPending(strings.Join(parts, ", "), a)
}
