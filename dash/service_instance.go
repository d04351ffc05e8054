package dash

import (
	"context"
	"fmt"
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

// Explain says why an app, or one of its instances, is as it is. instance is an
// ID, the beginning of one, or a slot's number; "" explains them all.
func (d *Dash) Explain(ctx context.Context, actor model.Actor, name, instance string) (api.Explain, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.Explain{}, err
	}
	all, err := d.instancesOf(ctx, app)
	if err != nil {
		return api.Explain{}, err
	}
	if instance != "" {
		if all.Items = pickInstances(all.Items, instance); len(all.Items) == 0 {
			return api.Explain{}, model.E(model.CodeNotFound, "app %s has no instance %q", name, clip(instance, 40)).WithNext("dinp app %s lists them", name)
		}
		all.Pending = nil
	}
	described, err := d.describeApp(ctx, app)
	if err != nil {
		return api.Explain{}, err
	}
	return explain(described, all), nil
}

// pickInstances are those with that ID, or an ID that begins so, or that slot.
func pickInstances(all []api.Instance, which string) []api.Instance {
	slot, err := strconv.Atoi(which)
	isSlot := err == nil && len(which) < 5 // a longer number is the beginning of an ID
	var out []api.Instance
	for _, i := range all {
		if isSlot && i.Slot == slot || !isSlot && strings.HasPrefix(i.ID, which) {
			out = append(out, i)
		}
	}
	return out
}

// explain goes along desired → placed → pulled → started → listening → healthy →
// routed. It is pure: what it says follows from what it is given.
func explain(app api.App, all api.Instances) api.Explain {
	out := api.Explain{App: app.Name, State: app.State, Steps: []api.ExplainStep{desiredStep(app)}}
	for _, p := range all.Pending {
		out.Steps = append(out.Steps, api.ExplainStep{Slot: p.Slot, Step: "placed", Text: p.Message})
	}
	for _, i := range all.Items {
		out.Steps = append(out.Steps, instanceSteps(i)...)
	}
	out.Next = nextCommand(app, all)
	return out
}

func desiredStep(app api.App) api.ExplainStep {
	s := api.ExplainStep{Step: "desired", OK: app.Release != "", At: app.UpdatedAt}
	switch {
	case app.Release == "":
		s.Text = "no release: nothing was deployed yet"
	case app.Instances == 0:
		s.Text = "scaled to 0: no instance is wanted"
	case app.Deployment != nil && app.Deployment.Status == string(model.DeploymentFailed):
		s.OK, s.Text = false, fmt.Sprintf("%d × %s wanted; its deployment failed, kept at %s", app.Instances, app.Release, orNothing(app.Serving))
	default:
		s.Text = fmt.Sprintf("%d × %s wanted", app.Instances, app.Release)
	}
	return s
}

func orNothing(version string) string {
	if version == "" {
		return "nothing: no release served before"
	}
	return version
}

// reached says from which phase on a step is done.
var reached = []struct {
	step  string
	from  model.Phase
	doing string
}{
	{"pulled", model.PhaseCreated, "image is being pulled"},
	{"started", model.PhaseRunning, "container is being started"},
}

func instanceSteps(i api.Instance) []api.ExplainStep {
	step := func(name string, ok bool, text string) api.ExplainStep {
		return api.ExplainStep{Instance: i.ID, Slot: i.Slot, Step: name, OK: ok, Text: text}
	}
	placed := step("placed", true, fmt.Sprintf("%s on %s as %s", i.Release, i.Node, i.Role))
	placed.At = i.CreatedAt
	out := []api.ExplainStep{placed}
	phase, known := phaseOf(i.Phase)
	if i.Stopping || phase == model.PhaseGone {
		return append(out, step(i.Phase, false, join("its phase is "+i.Phase, i.Reason, i.Code, i.Message)))
	}
	if !known {
		return append(out, step(i.Phase, false, join("its node does not answer", i.Message)))
	}
	for _, r := range reached {
		if phase < r.from {
			return append(out, step(r.step, false, join(r.doing+" (phase "+i.Phase+")", i.Code, i.Message)))
		}
		out = append(out, step(r.step, true, "done"))
	}
	out[len(out)-1].At = i.StartedAt
	if i.Verdict == "" && !i.Ready {
		return append(out, step("listening", false, "not probed yet at "+i.Addr))
	}
	out = append(out, step("healthy", i.Ready, join(i.Verdict, i.Message)))
	if i.Ready {
		out = append(out, step("routed", i.Routed, "at "+i.Addr))
	}
	return out
}

func phaseOf(name string) (model.Phase, bool) {
	for p := model.PhaseAssigned; p <= model.PhaseGone; p++ {
		if p.String() == name {
			return p, true
		}
	}
	return 0, false
}

func join(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ": ")
}

func nextCommand(app api.App, all api.Instances) string {
	switch {
	case app.State == liveUnavailable:
		return "dinp nodes"
	case app.Release == "":
		return "dinp deploy " + app.Name + " FILE"
	case app.Instances == 0:
		return "dinp scale " + app.Name + " 1"
	case app.Maintenance:
		return "dinp maintenance " + app.Name + " off"
	case len(all.Pending) > 0:
		return "dinp nodes"
	case app.Ready < app.Instances:
		return "dinp logs " + app.Name
	}
	return ""
}
