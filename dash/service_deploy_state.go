package dash

import (
	"context"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
)

// DeployState tells how the deploy that a build began goes on.
func (d *Dash) DeployState(ctx context.Context, actor model.Actor, buildID string) (api.Deploy, error) {
	b, app, err := d.buildFor(ctx, actor, buildID, policy.ViewApp)
	if err != nil {
		return api.Deploy{}, err
	}
	return d.describeDeploy(ctx, app, b)
}

func (d *Dash) describeDeploy(ctx context.Context, app model.App, b model.Build) (api.Deploy, error) {
	build, err := d.describeBuild(ctx, b)
	if err != nil {
		return api.Deploy{}, err
	}
	out := api.Deploy{App: app.Name, URL: d.cfg.AppURL(app.Name), Build: &build, Release: build.Release, Follow: followPath(b.ID)}
	switch {
	case b.Status == model.BuildFailed || b.Status == model.BuildCancelled:
		return d.buildEnded(ctx, app, b, out)
	case !b.Ended():
		out.State = buildState(b)
		return out, nil
	case b.ReleaseID == "":
		out.Done, out.OK, out.State = true, true, "built; nothing was to be deployed"
		return out, nil
	}
	return d.describeRollout(ctx, app, b.ReleaseID, out)
}

// ReleaseDeployState tells how the rollout of a release goes on, whether a build
// made it or not.
func (d *Dash) ReleaseDeployState(ctx context.Context, actor model.Actor, name, version string) (api.Deploy, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.Deploy{}, err
	}
	number, err := model.ParseVersion(version)
	if err != nil {
		return api.Deploy{}, err
	}
	r, err := d.store.Release(ctx, app.ID, number)
	if err != nil {
		return api.Deploy{}, err
	}
	out := api.Deploy{App: app.Name, URL: d.cfg.AppURL(app.Name), Release: r.Version(), Follow: releaseFollowPath(name, r.Version())}
	return d.describeRollout(ctx, app, r.ID, out)
}

func releaseFollowPath(app, version string) string {
	return "/api/v1/apps/" + app + "/releases/" + version + "/deploy"
}

func followPath(buildID string) string { return "/api/v1/builds/" + buildID + "/deploy" }

func buildState(b model.Build) string {
	switch {
	case b.Status == model.BuildQueued:
		return "waiting for a builder"
	case b.Step == "":
		return "building"
	}
	return "building: " + b.Step
}

// buildEnded is a deploy that ended with its build.
func (d *Dash) buildEnded(ctx context.Context, app model.App, b model.Build, out api.Deploy) (api.Deploy, error) {
	h, err := d.history(ctx, app, nil)
	if err != nil {
		return out, err
	}
	e := b.Error
	if e == nil {
		e = model.E(model.CodeBuildFailed, "the build ended as %s and left no reason", b.Status).WithNext("dinp build log %s", b.ID)
	}
	out.Done, out.Error, out.State = true, withStill(e, h), "build "+string(b.Status)
	return out, nil
}

// withStill adds what keeps serving, unless the error says so itself.
func withStill(e *model.Error, h history) *model.Error {
	if v := h.version(h.serving); e.Still == "" && v != "" {
		return e.WithStill("%s keeps serving", v)
	}
	return e
}

// describeRollout is a deploy whose release was made.
func (d *Dash) describeRollout(ctx context.Context, app model.App, releaseID string, out api.Deploy) (api.Deploy, error) {
	h, err := d.history(ctx, app, nil)
	if err != nil {
		return out, err
	}
	if err := d.addReleases(ctx, h.releases, []string{releaseID, h.deployments[releaseID].FromReleaseID}); err != nil {
		return out, err
	}
	dep := h.deployment(releaseID)
	out.Deployment, out.Release = dep, h.version(releaseID)
	switch status := model.DeploymentStatus(dep.Status); {
	case status == model.DeploymentSucceeded:
		out.Done, out.OK = true, true
	case status == model.DeploymentFailed:
		out.Done, out.Error = true, dep.Error
		if out.Error == nil {
			out.Error = model.E(model.CodeNotReady, "%s never became ready", out.Release).WithNext("dinp explain %s", app.Name)
		}
		out.Error = withStill(out.Error, h)
	case status == model.DeploymentSuperseded:
		out.Done = true
		out.Error = model.E(model.CodeSuperseded, "%s was superseded by %s before it served", out.Release, h.version(app.ReleaseID)).WithNext("dinp releases %s", app.Name)
	case dep.Held:
		out.Done, out.Error = true, heldError(app.Name, dep)
	case !app.DeletedAt.IsZero():
		out.Done = true
		out.Error = model.E(model.CodeSuperseded, "app %s was deleted meanwhile", app.Name).WithNext("an admin can bring it back")
	}
	return d.addInstances(ctx, app, out)
}

func (d *Dash) addInstances(ctx context.Context, app model.App, out api.Deploy) (api.Deploy, error) {
	all, err := d.instancesOf(ctx, app)
	if err != nil {
		return out, err
	}
	out.State = all.State
	for _, i := range all.Items {
		if i.Release == out.Release {
			out.Instances = append(out.Instances, i)
		}
	}
	return out, nil
}
