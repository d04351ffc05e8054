package dash

import (
	"cmp"
	"context"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// Nodes lists the nodes with what is observed of them, and the routers. When no
// server leads, nodes are unknown and routers not listed.
func (d *Dash) Nodes(ctx context.Context, actor model.Actor) (api.Nodes, error) {
	out := api.Nodes{Items: []api.Node{}, Routers: []api.Router{}}
	if err := d.mayPlatform(ctx, actor, policy.ViewNodes); err != nil {
		return out, err
	}
	stored, err := d.store.Nodes(ctx)
	if err != nil {
		return out, err
	}
	live, err := d.leader.nodes(ctx)
	if err != nil {
		d.log.Warn("live state of nodes unavailable", "err", err)
	}
	out.Leader, out.Epoch, out.Survival, out.SafeMode = live.GetLeaderId(), live.GetEpoch(), survivalOut(live.GetSurvival()), live.GetSafeMode()
	states := map[string]*pb.NodeState{}
	for _, n := range live.GetNodes() {
		states[n.GetId()] = n
	}
	for _, n := range stored {
		out.Items = append(out.Items, nodeOut(n, states[n.ID]))
	}
	for _, r := range live.GetRouters() {
		out.Routers = append(out.Routers, api.Router{
			ID: r.GetId(), Addr: r.GetAddr(), Serves: r.GetServes(), Live: r.GetLive(), At: wire.Time(r.GetAtMs()), Requests: r.GetRequests(), Errors: r.GetErrors(),
		})
	}
	return out, nil
}

// nodeOut joins what is stored of a node with what is observed; without the
// latter nothing is concluded.
func nodeOut(n model.Node, s *pb.NodeState) api.Node {
	out := api.Node{
		ID: n.ID, Name: n.Name, Address: n.Address, Zone: n.Zone, Pool: cmp.Or(n.Pool, model.DefaultPool), Labels: n.Labels, Status: string(model.NodeUnknown), Availability: string(n.Availability),
		MemoryMiB: n.MemoryMiB, CPUMilli: n.CPUMilli, HeardAt: n.SeenAt, Message: liveUnavailable,
	}
	if s == nil {
		return out
	}
	out.Status, out.Message, out.Connected = s.GetStatus(), s.GetMessage(), s.GetConnected()
	out.MemoryMiB, out.CPUMilli = s.GetMemoryMib(), s.GetCpuMilli()
	out.MemoryReservedMiB, out.CPUReservedMilli = s.GetMemoryReservedMib(), s.GetCpuReservedMilli()
	out.Instances, out.HeardAt = int(s.GetInstances()), wire.Time(s.GetHeardMs())
	out.Drained = s.GetDrained()
	out.Version, out.Docker = s.GetVersion(), s.GetDockerVersion()
	return out
}

// Node tells one node, by name or ID.
func (d *Dash) Node(ctx context.Context, actor model.Actor, node string) (api.Node, error) {
	all, err := d.Nodes(ctx, actor)
	if err != nil {
		return api.Node{}, err
	}
	var named []api.Node
	for _, n := range all.Items {
		if n.ID == node {
			return n, nil
		}
		if n.Name == node {
			named = append(named, n)
		}
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return api.Node{}, model.E(model.CodeNotFound, "there is no node %q", clip(node, 80)).WithNext("dinp nodes lists them")
	}
	return api.Node{}, model.E(model.CodeConflict, "%d nodes are called %q", len(named), node).WithNext("name one by its ID, such as %s", named[0].ID)
}

// EditNode says what is wanted of a node: active, cordoned or draining.
func (d *Dash) EditNode(ctx context.Context, actor model.Actor, node string, in api.EditNode) (api.Node, error) {
	if err := d.mayPlatform(ctx, actor, policy.EditNodes); err != nil {
		return api.Node{}, err
	}
	switch model.Availability(in.Availability) {
	case model.Active, model.Cordoned, model.Draining:
	default:
		return api.Node{}, model.E(model.CodeBadRequest, "availability %q is not known", in.Availability).WithNext("use active, cordoned or draining")
	}
	n, err := d.Node(ctx, actor, node)
	if model.IsCode(err, model.CodeNotFound) && in.Availability == string(model.Active) {
		n, err = d.forgotten(ctx, node, err)
	}
	if err != nil {
		return n, err
	}
	if err := d.store.SetAvailability(ctx, n.ID, model.Availability(in.Availability), actor); err != nil {
		return n, err
	}
	d.leader.nudge(ctx, true)
	n.Availability = in.Availability
	return n, nil
}

// forgotten is a node that was given up, and of which nothing is left but its ID;
// unknown when there is none.
func (d *Dash) forgotten(ctx context.Context, id string, unknown error) (api.Node, error) {
	was, err := d.store.Forgotten(ctx, id)
	if err == nil && !was {
		err = unknown
	}
	return api.Node{ID: id, Name: id, Status: string(model.NodeUnknown)}, err
}

// ForgetNode gives up a node that never returns: its instances count as gone and
// are replaced, its row goes, its agent is refused. One that is connected is
// drained instead, and so is one that nobody can tell of.
func (d *Dash) ForgetNode(ctx context.Context, actor model.Actor, node string) error {
	if err := d.mayPlatform(ctx, actor, policy.EditNodes); err != nil {
		return err
	}
	live, err := d.leader.nodes(ctx)
	if err != nil {
		return err
	}
	n, err := d.Node(ctx, actor, node)
	if err != nil {
		return err
	}
	for _, s := range live.GetNodes() {
		if s.GetId() == n.ID && s.GetConnected() {
			return model.E(model.CodeConflict, "node %s is connected: only one that never returns is forgotten", n.Name).
				WithNext("move its %d instances away first: dinp node %s drain; then stop its agent", n.Instances, n.Name)
		}
	}
	if err := d.store.SetAvailability(ctx, n.ID, model.Forgotten, actor); err != nil {
		return err
	}
	d.leader.nudge(ctx, true)
	return nil
}
