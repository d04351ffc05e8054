package dash

import (
	"context"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// Apps lists the apps that actor may see by name, after the name after.
func (d *Dash) Apps(ctx context.Context, actor model.Actor, after string, limit int) (api.Page[api.App], error) {
	n := pageSize(limit)
	apps, err := d.store.Apps(ctx, visibleTeams(actor), after, n+1)
	if err != nil {
		return api.Page[api.App]{}, err
	}
	p := pageOf(apps, n, func(a model.App) string { return a.Name })
	out := api.Page[api.App]{Next: p.Next}
	out.Items, err = d.describeApps(ctx, p.Items)
	return out, err
}

// visibleTeams are the teams whose apps actor may see; nil means all.
func visibleTeams(actor model.Actor) []string {
	if actor.Role == model.Admin && actor.UserID != "" {
		return nil
	}
	out := []string{}
	for id := range actor.Teams {
		if policy.Can(actor, policy.ViewApp, id) {
			out = append(out, id)
		}
	}
	return out
}

// App tells one app with its live state.
func (d *Dash) App(ctx context.Context, actor model.Actor, name string) (api.App, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.App{}, err
	}
	return d.describeApp(ctx, app)
}

// CreateApp makes an app without a release.
func (d *Dash) CreateApp(ctx context.Context, actor model.Actor, in api.CreateApp) (api.App, error) {
	app, err := d.createApp(ctx, actor, in)
	if err != nil {
		return api.App{}, err
	}
	return d.describeApp(ctx, app)
}

func (d *Dash) createApp(ctx context.Context, actor model.Actor, in api.CreateApp) (model.App, error) {
	if err := model.CheckAppName(in.Name); err != nil {
		return model.App{}, err
	}
	team, err := d.teamFor(ctx, actor, in.Team)
	if err != nil {
		return model.App{}, err
	}
	if err := d.may(ctx, actor, policy.CreateApp, team, model.App{Name: in.Name}); err != nil {
		return model.App{}, err
	}
	app, err := d.store.CreateApp(ctx, in.Name, team, actor)
	if err == nil {
		d.leader.nudge(ctx, false, app.ID)
	}
	return app, err
}

// teamFor is the team a new app belongs to: the one named, the caller's only
// one, or "default".
func (d *Dash) teamFor(ctx context.Context, actor model.Actor, name string) (string, error) {
	if name == "" && len(actor.Teams) == 1 {
		for id := range actor.Teams {
			return id, nil
		}
	}
	asked := name
	if name == "" {
		name = defaultTeam
	}
	team, err := d.store.TeamByName(ctx, name)
	switch {
	case model.IsKind(err, model.NotFound) && asked == "":
		return "", model.E(model.CodeBadRequest, "there is no team %q: say which team the app belongs to", defaultTeam)
	case err != nil:
		return "", err
	case asked == "" && len(actor.Teams) > 1 && !policy.Can(actor, policy.CreateApp, team.ID):
		return "", model.E(model.CodeBadRequest, "you belong to %d teams: say which of them the app belongs to", len(actor.Teams))
	case !policy.Can(actor, policy.ViewTeam, team.ID):
		return "", model.E(model.CodeNotFound, "there is no team %q", name)
	}
	return team.ID, nil
}

// EditApp changes an app's desired state and, where a setting of the release
// differs, makes a release with it.
func (d *Dash) EditApp(ctx context.Context, actor model.Actor, name string, in api.EditApp) (api.App, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.App{}, err
	}
	if err := d.mayEdit(ctx, actor, app, in); err != nil {
		return api.App{}, err
	}
	req := model.DeployRequest{MemoryMiB: in.MemoryMiB, CPUMilli: in.CPUMilli, Port: in.Port, Health: in.Health}
	if err := checkRequest(req); err != nil {
		return api.App{}, err // before the first of two transactions, not between them
	}
	if hasEdit(in) {
		edit := store.AppEdit{Instances: in.Instances, Paused: in.Paused, Maintenance: in.Maintenance, Singleton: in.Singleton}
		if in.Constraints != nil {
			c, err := model.ParseConstraints(*in.Constraints)
			if err != nil {
				return api.App{}, err
			}
			edit.Constraints = &c
		}
		if app, err = d.store.EditApp(ctx, app.ID, in.Generation, edit, actor); err != nil {
			return api.App{}, err
		}
		in.Generation = app.Generation
	}
	if hasSettings(in) {
		_, app, err = d.newRelease(ctx, actor, store.NewRelease{
			AppID: app.ID, Generation: in.Generation, Cause: model.CauseSettings, Note: in.Note,
			Spec: changed(func(s model.Spec) (model.Spec, error) { return req.Apply(s), nil }),
		})
		if err != nil {
			return api.App{}, err
		}
	}
	d.leader.nudge(ctx, false, app.ID)
	out, err := d.describeApp(ctx, app)
	if in.Constraints != nil || in.Instances != nil {
		out.Warnings = d.placementWarnings(ctx, app)
	}
	return out, err
}

// hasEdit reports whether something of the app itself is to be changed.
func hasEdit(in api.EditApp) bool { return in.Instances != nil || configures(in) }

func configures(in api.EditApp) bool {
	return in.Paused != nil || in.Maintenance != nil || in.Singleton != nil || in.Constraints != nil
}

func hasSettings(in api.EditApp) bool {
	return in.MemoryMiB != nil || in.CPUMilli != nil || in.Port != nil || in.Health != nil
}

func (d *Dash) mayEdit(ctx context.Context, actor model.Actor, app model.App, in api.EditApp) error {
	if in.Instances != nil {
		if err := model.CheckInstances(*in.Instances); err != nil {
			return err
		}
		if err := d.may(ctx, actor, policy.Scale, app.TeamID, app); err != nil {
			return err
		}
	}
	if hasSettings(in) || configures(in) {
		return d.may(ctx, actor, policy.Configure, app.TeamID, app)
	}
	if in.Instances == nil {
		return model.E(model.CodeBadRequest, "nothing to change: the body names no setting").
			WithNext("send one of instances, paused, maintenance, singleton, constraints, memory_mib, cpu_milli, port, health")
	}
	return nil
}

// Scale sets how many instances an app has. A missing count is refused: it
// must never scale an app to zero.
func (d *Dash) Scale(ctx context.Context, actor model.Actor, name string, in api.Scale) (api.App, error) {
	if in.Instances == nil {
		return api.App{}, model.E(model.CodeBadRequest, "instances is missing").WithNext(`send {"instances": N}`)
	}
	return d.EditApp(ctx, actor, name, api.EditApp{Generation: in.Generation, Instances: in.Instances})
}

// DeleteApp marks an app as deleted; generation is the one the caller saw, 0 takes any.
func (d *Dash) DeleteApp(ctx context.Context, actor model.Actor, name string, generation int64) error {
	app, err := d.appFor(ctx, actor, name, policy.DeleteApp)
	if err != nil {
		return err
	}
	if generation != 0 && generation != app.Generation {
		return model.E(model.CodeStale, "app %s was changed meanwhile: you saw generation %d, it is now %d", name, generation, app.Generation).
			WithNext("look at it again: dinp app %s", name)
	}
	if err := d.store.DeleteApp(ctx, app.ID, actor); err != nil {
		return err
	}
	d.leader.nudge(ctx, false, app.ID)
	return nil
}

// UndeleteApp brings the app that last had the name back.
func (d *Dash) UndeleteApp(ctx context.Context, actor model.Actor, name string) (api.App, error) {
	if err := d.mayPlatform(ctx, actor, policy.UndeleteApp); err != nil {
		return api.App{}, err
	}
	app, err := d.store.UndeleteApp(ctx, name, actor)
	if err != nil {
		return api.App{}, err
	}
	d.leader.nudge(ctx, false, app.ID)
	return d.describeApp(ctx, app)
}
