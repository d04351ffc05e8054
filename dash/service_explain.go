package dash

import (
	"context"
	"fmt"
	"strings"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// Explain says why an app, or one of its instances, is as it is. instance is an
// ID, the beginning of one, or a slot's number; "" explains them all. When no
// server leads, what the database knows is told.
func (d *Dash) Explain(ctx context.Context, actor model.Actor, name, instance string) (api.Explain, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.Explain{}, err
	}
	out, err := d.explain(ctx, app)
	if err != nil || instance == "" {
		return out, err
	}
	if out.Steps = pickSteps(out.Steps, instance); len(out.Steps) == 1 {
		return api.Explain{}, model.E(model.CodeNotFound, "app %s has no instance %q", name, clip(instance, 40)).WithNext("dinp app %s lists them", name)
	}
	return out, nil
}

func (d *Dash) explain(ctx context.Context, app model.App) (api.Explain, error) {
	r, err := d.leader.explain(ctx, app.ID)
	if err != nil {
		d.log.Warn("explanation unavailable", "app", app.Name, "err", err)
		return d.explainStored(ctx, app)
	}
	out := api.Explain{App: app.Name, State: r.GetState(), Next: r.GetNext(), Steps: []api.ExplainStep{}}
	for _, s := range r.GetSteps() {
		out.Steps = append(out.Steps, stepOut(s))
	}
	return out, nil
}

func stepOut(s *pb.ExplainStep) api.ExplainStep {
	out := api.ExplainStep{
		Instance: s.GetInstance(), Slot: int(s.GetSlot()), Step: s.GetLink(), OK: s.GetOk(), Why: s.GetWhy(), Text: s.GetText(), At: wire.Time(s.GetAtMs()),
		Code: s.GetCode(), Evidence: s.GetEvidence(), Next: s.GetNext(),
	}
	for _, c := range s.GetConstraints() {
		out.Constraints = append(out.Constraints, api.Constraint{Why: c.GetWhy(), Nodes: int(c.GetNodes()), Only: int(c.GetOnly())})
	}
	for _, m := range s.GetMisses() {
		out.Misses = append(out.Misses, api.Miss{Node: m.GetNode(), Text: m.GetText()})
	}
	return out
}

// explainStored is as far as the database goes: what is wanted, and what was
// placed. What became of it only a leader knows.
func (d *Dash) explainStored(ctx context.Context, app model.App) (api.Explain, error) {
	described, err := d.describeApp(ctx, app)
	if err != nil {
		return api.Explain{}, err
	}
	all, err := d.placements(ctx, app)
	if err != nil {
		return api.Explain{}, err
	}
	desired := api.ExplainStep{Step: "desired", OK: app.ReleaseID != "", Text: "nothing was deployed yet", At: app.UpdatedAt}
	if app.ReleaseID != "" {
		desired.Text = fmt.Sprintf("%d × %s wanted", app.Instances, described.Release)
	}
	out := api.Explain{App: app.Name, State: described.State, Steps: []api.ExplainStep{desired}, Next: "dinp nodes"}
	for _, i := range all.Items {
		out.Steps = append(out.Steps, api.ExplainStep{
			Instance: i.ID, Slot: i.Slot, Step: "placed", Why: "no-leader", Code: string(model.CodeNoLeader), At: i.CreatedAt,
			Text: fmt.Sprintf("%s on %s as %s; what became of it is not known: %s", i.Release, i.Node, i.Role, described.State),
		})
	}
	return out, nil
}

// pickSteps are the app's own step and those of one instance or slot.
func pickSteps(all []api.ExplainStep, which string) []api.ExplainStep {
	slot, isSlot := asSlot(which)
	out := all[:1:1]
	for _, s := range all[1:] {
		if isSlot && s.Slot == slot || !isSlot && s.Instance != "" && strings.HasPrefix(s.Instance, which) {
			out = append(out, s)
		}
	}
	return out
}
