package dash

import (
	"context"
	"strconv"
	"strings"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// Instances lists an app's instances with what is observed of them, and the
// slots that wait for one. When no server leads, the placements are told, with
// phases unknown.
func (d *Dash) Instances(ctx context.Context, actor model.Actor, name string) (api.Instances, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.Instances{}, err
	}
	return d.instancesOf(ctx, app)
}

func (d *Dash) instancesOf(ctx context.Context, app model.App) (api.Instances, error) {
	r, err := d.leader.app(ctx, app.ID)
	switch {
	case model.IsKind(err, model.NotFound):
		return api.Instances{Items: []api.Instance{}, Pending: []api.Pending{}, State: stateOf(app, live{}, true, false)}, nil
	case err != nil:
		d.log.Warn("live state unavailable", "app", app.Name, "err", err)
		return d.placements(ctx, app)
	}
	out := api.Instances{Items: []api.Instance{}, Pending: []api.Pending{}, State: stateOf(app, live{state: r.GetState()}, true, true)}
	for _, i := range r.GetInstances() {
		out.Items = append(out.Items, instanceOut(i))
	}
	for _, p := range r.GetPending() {
		out.Pending = append(out.Pending, api.Pending{Slot: int(p.GetSlot()), Code: p.GetCode(), Message: p.GetMessage(), NotTill: wire.Time(p.GetNextStartMs())})
	}
	return out, nil
}

func instanceOut(i *pb.InstanceState) api.Instance {
	out := api.Instance{
		ID: i.GetId(), Slot: int(i.GetSlot()), Role: i.GetRole(), Node: i.GetNodeName(), Phase: i.GetPhase(), Stopping: i.GetStopping(), Reason: i.GetReason(),
		Ready: i.GetReady(), Routed: i.GetRouted(), Addr: i.GetAddr(), Container: i.GetContainer(), Verdict: i.GetVerdict(), Code: i.GetCode(), Message: i.GetMessage(),
		CreatedAt: wire.Time(i.GetCreatedMs()), StartedAt: wire.Time(i.GetStartedMs()),
	}
	if n := i.GetRelease(); n > 0 {
		out.Release = "v" + strconv.Itoa(int(n))
	}
	return out
}

// placements is what the database knows of an app's instances.
func (d *Dash) placements(ctx context.Context, app model.App) (api.Instances, error) {
	out := api.Instances{Items: []api.Instance{}, Pending: []api.Pending{}, State: liveUnavailable}
	found, err := d.store.Instances(ctx, app.ID)
	if err != nil {
		return out, err
	}
	nodes, err := d.store.Nodes(ctx)
	if err != nil {
		return out, err
	}
	names := map[string]string{}
	for _, n := range nodes {
		names[n.ID] = n.Name
	}
	releases, ids := map[string]model.Release{}, []string{}
	for _, i := range found {
		ids = append(ids, i.ReleaseID)
	}
	if err := d.addReleases(ctx, releases, ids); err != nil {
		return out, err
	}
	for _, i := range found {
		out.Items = append(out.Items, api.Instance{
			ID: i.ID, Slot: i.Slot, Role: string(i.Role), Release: releases[i.ReleaseID].Version(), Node: names[i.NodeID], Phase: "unknown",
			Stopping: i.Stopping, Reason: string(i.Reason), Message: liveUnavailable, CreatedAt: i.CreatedAt,
		})
	}
	return out, nil
}

// pickInstances are those with that ID, or an ID that begins so, or that slot.
func pickInstances(all []api.Instance, which string) []api.Instance {
	slot, isSlot := asSlot(which)
	var out []api.Instance
	for _, i := range all {
		if isSlot && i.Slot == slot || !isSlot && strings.HasPrefix(i.ID, which) {
			out = append(out, i)
		}
	}
	return out
}

// asSlot reads a slot's number; a longer number is the beginning of an ID.
func asSlot(which string) (slot int, ok bool) {
	slot, err := strconv.Atoi(which)
	return slot, err == nil && len(which) < 5
}
