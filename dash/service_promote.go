package dash

import (
	"context"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// Promote lets the wanted release through its remaining steps without judging
// it. It still has to become ready.
func (d *Dash) Promote(ctx context.Context, actor model.Actor, name string, in api.Promote) (api.Release, error) {
	app, err := d.appFor(ctx, actor, name, policy.Deploy)
	if err != nil {
		return api.Release{}, err
	}
	if app.ReleaseID == "" {
		return api.Release{}, noRelease()
	}
	rel, err := d.store.ReleaseByID(ctx, app.ReleaseID)
	if err != nil {
		return api.Release{}, err
	}
	dep, err := d.store.Deployment(ctx, rel.ID)
	if err != nil {
		return api.Release{}, err
	}
	if err := mayPromote(app, rel, dep, in.Version); err != nil {
		return api.Release{}, err
	}
	if app, err = d.store.EditApp(ctx, app.ID, app.Generation, store.AppEdit{Promoted: &rel.ID}, actor); err != nil {
		return api.Release{}, err
	}
	d.leader.nudge(ctx, false, app.ID)
	return d.describeRelease(ctx, app, rel)
}

// mayPromote refuses when there is nothing on its way by steps, or another thing
// than the caller thinks.
func mayPromote(app model.App, rel model.Release, dep *model.Deployment, version string) error {
	v, name := rel.Version(), app.Name
	if version != "" {
		n, err := model.ParseVersion(version)
		if err != nil {
			return err
		}
		if n != rel.Number {
			return model.E(model.CodeConflict, "v%d is not on its way: the wanted release of %s is %s", n, name, v).WithNext("dinp promote %s %s, or to go back: dinp rollback %s v%d", name, v, name, n)
		}
	}
	switch {
	case dep != nil && dep.Status == model.DeploymentSucceeded:
		return model.E(model.CodeConflict, "%s serves already: there is nothing to promote", v).WithNext("dinp app %s", name)
	case dep != nil && dep.Ended():
		return model.E(model.CodeConflict, "%s was taken back, and cannot be promoted any more", v).WithNext("deploy it again, with --strategy rolling to have it judged by nobody")
	case len(rel.Stages()) == 0:
		return model.E(model.CodeConflict, "%s is rolled out slot by slot, without steps that wait for anybody", v).WithNext("dinp explain %s", name)
	}
	return nil
}

// heldError ends the watching of a deploy that waits for a person.
func heldError(name string, dep *api.Deployment) *model.Error {
	return model.E(model.CodeHeld, "%s is held at %d %% of the requests: %s", dep.Release, dep.Share, dep.Judgement).
		WithStill("%s serves the rest", dep.From).WithNext("dinp promote %s lets it take over; dinp rollback %s takes it back", name, name)
}
