package dash

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// errUnchanged ends the making of a release whose content would be the wanted one's.
var errUnchanged = errors.New("the content is the same")

// newRelease makes a release and makes it the wanted one. Without a change, by
// errUnchanged, the app stays as it is.
func (d *Dash) newRelease(ctx context.Context, actor model.Actor, n store.NewRelease) (model.Release, model.App, error) {
	rel, app, err := d.store.CreateRelease(ctx, n, actor)
	if errors.Is(err, errUnchanged) {
		app, err = d.store.AppByID(ctx, n.AppID)
		return rel, app, err
	}
	if err == nil {
		d.leader.nudge(ctx, false, app.ID)
	}
	return rel, app, err
}

// changed wraps a change of the wanted release's content: it needs a release to
// change, and a change.
func changed(f func(model.Spec) (model.Spec, error)) func(model.Release) (model.Spec, error) {
	return func(base model.Release) (model.Spec, error) {
		if base.ID == "" {
			return model.Spec{}, noRelease()
		}
		s, err := f(base.Spec)
		if err == nil && s.Hash() == base.Spec.Hash() {
			return s, errUnchanged
		}
		return s, err
	}
}

func noRelease() *model.Error {
	return model.E(model.CodeNoRelease, "the app has no release yet").WithNext("deploy something first: dinp deploy APP FILE")
}

// checkRequest refuses settings that no release may have, before anything is
// written or uploaded.
func checkRequest(req model.DeployRequest) error {
	if req.Instances != nil {
		if err := model.CheckInstances(*req.Instances); err != nil {
			return err
		}
	}
	if req.MemoryMiB != nil && *req.MemoryMiB == 0 || req.Port != nil && *req.Port == 0 {
		return model.E(model.CodeBadSize, "memory and port cannot be 0").WithNext("leave them out to keep what they are")
	}
	return req.Apply(model.Spec{}).Check()
}

// Releases lists an app's releases, newest first, those before the given version.
func (d *Dash) Releases(ctx context.Context, actor model.Actor, name, before string, limit int) (api.Page[api.Release], error) {
	var none api.Page[api.Release]
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return none, err
	}
	below := 0
	if before != "" {
		if below, err = model.ParseVersion(before); err != nil {
			return none, err
		}
	}
	n := pageSize(limit)
	found, err := d.store.Releases(ctx, app.ID, below, n+1)
	if err != nil {
		return none, err
	}
	h, err := d.history(ctx, app, found)
	if err != nil {
		return none, err
	}
	p := pageOf(found, n, model.Release.Version)
	out := api.Page[api.Release]{Items: make([]api.Release, 0, len(p.Items)), Next: p.Next}
	for _, r := range p.Items {
		out.Items = append(out.Items, h.release(r))
	}
	return out, nil
}

// Release tells one release of an app.
func (d *Dash) Release(ctx context.Context, actor model.Actor, name, version string) (api.Release, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.Release{}, err
	}
	number, err := model.ParseVersion(version)
	if err != nil {
		return api.Release{}, err
	}
	r, err := d.store.Release(ctx, app.ID, number)
	if err != nil {
		return api.Release{}, err
	}
	h, err := d.history(ctx, app, []model.Release{r})
	return h.release(r), err
}

// Rollback makes a release whose content is an earlier one's; nothing is built.
func (d *Dash) Rollback(ctx context.Context, actor model.Actor, name string, in api.Rollback) (api.Release, error) {
	app, err := d.appFor(ctx, actor, name, policy.Deploy)
	if err != nil {
		return api.Release{}, err
	}
	if app.ReleaseID == "" {
		return api.Release{}, noRelease()
	}
	target, err := d.rollbackTarget(ctx, app, in.Version)
	if err != nil {
		return api.Release{}, err
	}
	if target.ID == app.ReleaseID {
		return api.Release{}, model.E(model.CodeConflict, "%s is the release of app %s already", target.Version(), name).
			WithNext("to start it anew: dinp restart %s", name)
	}
	note := in.Note
	if note == "" {
		note = "rollback to " + target.Version()
	}
	rel, app, err := d.newRelease(ctx, actor, store.NewRelease{
		AppID: app.ID, Generation: app.Generation, Cause: model.CauseRollback, Note: note, BuildID: target.BuildID,
		Spec: func(model.Release) (model.Spec, error) { return target.Spec, nil },
	})
	if err != nil {
		return api.Release{}, err
	}
	return d.describeRelease(ctx, app, rel)
}

// rollbackTarget is the release named by version, or the last before the wanted
// one that served and has another content: going back to the same would help nobody.
func (d *Dash) rollbackTarget(ctx context.Context, app model.App, version string) (model.Release, error) {
	if version != "" {
		number, err := model.ParseVersion(version)
		if err != nil {
			return model.Release{}, err
		}
		return d.store.Release(ctx, app.ID, number)
	}
	wanted, err := d.store.ReleaseByID(ctx, app.ReleaseID)
	if err != nil {
		return wanted, err
	}
	deployments, err := d.store.Deployments(ctx, app.ID)
	if err != nil {
		return wanted, err
	}
	for before := wanted.Number; ; {
		rs, err := d.store.Releases(ctx, app.ID, before, defaultPage)
		if err != nil {
			return wanted, err
		}
		for _, r := range rs {
			if deployments[r.ID].Status == model.DeploymentSucceeded && r.Spec.Hash() != wanted.Spec.Hash() {
				return r, nil
			}
			before = r.Number
		}
		if len(rs) < defaultPage || before <= 1 {
			return wanted, model.E(model.CodeNoRelease, "app %s has no earlier release that served and differs from %s", app.Name, wanted.Version()).
				WithNext("dinp releases %s lists what there is; name one to roll back to it all the same", app.Name)
		}
	}
}

// Restart makes a release with the wanted one's content, so that every instance
// is replaced through the same health-gated rollout.
func (d *Dash) Restart(ctx context.Context, actor model.Actor, name, note string) (api.Release, error) {
	app, err := d.appFor(ctx, actor, name, policy.Deploy)
	if err != nil {
		return api.Release{}, err
	}
	rel, app, err := d.newRelease(ctx, actor, store.NewRelease{
		AppID: app.ID, Cause: model.CauseRestart, Note: note,
		Spec: func(base model.Release) (model.Spec, error) {
			if base.ID == "" {
				return model.Spec{}, noRelease()
			}
			return base.Spec, nil
		},
	})
	if err != nil {
		return api.Release{}, err
	}
	return d.describeRelease(ctx, app, rel)
}

// Env tells an app's environment, values included.
func (d *Dash) Env(ctx context.Context, actor model.Actor, name string) (api.Env, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewEnv)
	if err != nil {
		return api.Env{}, err
	}
	return d.envOf(ctx, app)
}

func (d *Dash) envOf(ctx context.Context, app model.App) (api.Env, error) {
	out := api.Env{Env: map[string]string{}}
	if app.ReleaseID == "" {
		return out, nil
	}
	r, err := d.store.ReleaseByID(ctx, app.ReleaseID)
	if r.Spec.Env != nil {
		out.Env = r.Spec.Env
	}
	return out, err
}

// EditEnv sets and unsets environment variables, by a new release.
func (d *Dash) EditEnv(ctx context.Context, actor model.Actor, name string, in api.EditEnv) (api.Env, error) {
	if len(in.Set)+len(in.Unset) == 0 {
		return api.Env{}, model.E(model.CodeBadRequest, "nothing to change: the body sets and unsets no variable").
			WithNext(`send {"set": {"NAME": "value"}} or {"unset": ["NAME"]}`)
	}
	return d.writeEnv(ctx, actor, name, in.Generation, envNote(in), func(env map[string]string) map[string]string {
		for _, k := range in.Unset {
			delete(env, k)
		}
		for k, v := range in.Set {
			env[k] = v
		}
		return env
	})
}

func envNote(in api.EditEnv) string {
	return fmt.Sprintf("environment: %d set, %d unset", len(in.Set), len(in.Unset))
}

// ReplaceEnv makes env the app's whole environment; generation is the one the
// caller saw, 0 takes any.
func (d *Dash) ReplaceEnv(ctx context.Context, actor model.Actor, name string, generation int64, in api.Env) (api.Env, error) {
	if in.Env == nil {
		return api.Env{}, model.E(model.CodeBadRequest, "env is missing").WithNext(`send {"env": {"NAME": "value"}}; {"env": {}} empties it`)
	}
	note := "environment: replaced by " + strconv.Itoa(len(in.Env)) + " variables"
	return d.writeEnv(ctx, actor, name, generation, note, func(map[string]string) map[string]string { return in.Env })
}

func (d *Dash) writeEnv(ctx context.Context, actor model.Actor, name string, generation int64, note string, edit func(map[string]string) map[string]string) (api.Env, error) {
	app, err := d.appFor(ctx, actor, name, policy.EditEnv)
	if err != nil {
		return api.Env{}, err
	}
	_, app, err = d.newRelease(ctx, actor, store.NewRelease{
		AppID: app.ID, Generation: generation, Cause: model.CauseEnv, Note: note,
		Spec: changed(func(s model.Spec) (model.Spec, error) {
			s.Env = edit(model.DeployRequest{}.Apply(s).Env) // Apply copies: a transaction that is tried again begins anew
			return s, nil
		}),
	})
	if err != nil {
		return api.Env{}, err
	}
	return d.envOf(ctx, app)
}
