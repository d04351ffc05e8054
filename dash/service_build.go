package dash

import (
	"context"
	"strconv"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
)

// Builds lists the builds of an app, or of all that actor may see for "", newest
// first; before is the Next of an earlier page.
func (d *Dash) Builds(ctx context.Context, actor model.Actor, app, before string, limit int) (api.Page[api.Build], error) {
	none := api.Page[api.Build]{}
	appID, until, n := "", time.Time{}, pageSize(limit)
	if before != "" {
		ms, err := strconv.ParseInt(before, 10, 64)
		if err != nil || ms <= 0 {
			return none, model.E(model.CodeBadRequest, "before=%s is not the end of a page", clip(before, 40))
		}
		until = time.UnixMilli(ms)
	}
	keep := func(model.Build) bool { return true }
	if app != "" {
		a, err := d.appFor(ctx, actor, app, policy.ViewApp)
		if err != nil {
			return none, err
		}
		appID = a.ID
	} else if actor.Role != model.Admin {
		visible := d.ofVisibleApps(ctx, actor)
		keep = func(b model.Build) bool { return visible(model.Event{AppID: b.AppID}) }
	}
	found, err := d.store.Builds(ctx, appID, until, n+1)
	if err != nil {
		return none, err
	}
	p := pageOf(found, n, func(b model.Build) string { return strconv.FormatInt(b.CreatedAt.UnixMilli(), 10) })
	out := api.Page[api.Build]{Items: []api.Build{}, Next: p.Next}
	versions, err := d.buildVersions(ctx, p.Items)
	for _, b := range p.Items {
		if keep(b) {
			out.Items = append(out.Items, buildOut(b, versions))
		}
	}
	return out, err
}

// buildVersions are the releases that builds made.
func (d *Dash) buildVersions(ctx context.Context, builds []model.Build) (map[string]model.Release, error) {
	ids, out := []string{}, map[string]model.Release{}
	for _, b := range builds {
		ids = append(ids, b.ReleaseID)
	}
	return out, d.addReleases(ctx, out, ids)
}

func buildOut(b model.Build, releases map[string]model.Release) api.Build {
	out := api.Build{
		ID: b.ID, App: b.AppName, Artifact: b.Artifact, Filename: b.Filename, Size: b.Size, ImageRef: b.ImageRef, Runtime: b.Runtime,
		Status: string(b.Status), Step: b.Step, Image: b.Image, Error: b.Error,
		CreatedBy: b.CreatedBy, CreatedAt: b.CreatedAt, StartedAt: b.StartedAt, EndedAt: b.EndedAt,
		URL: b.Origin.PublicURL(), From: b.Origin.From, Job: b.Origin.Job, Attempts: b.Attempts,
	}
	if r, ok := releases[b.ReleaseID]; ok {
		out.Release = r.Version()
	}
	return out
}

// buildFor finds a build for an action on its app.
func (d *Dash) buildFor(ctx context.Context, actor model.Actor, id string, action policy.Action) (model.Build, model.App, error) {
	b, err := d.store.Build(ctx, id)
	if err != nil {
		return b, model.App{}, err
	}
	app, err := d.store.AppByID(ctx, b.AppID) // deleted or not: its builds stay readable
	if err != nil {
		return b, app, err
	}
	if !policy.Can(actor, policy.ViewApp, app.TeamID) {
		return model.Build{}, model.App{}, model.E(model.CodeNotFound, "there is no build %q", clip(id, 40)).WithNext("dinp builds lists them")
	}
	return b, app, d.may(ctx, actor, action, app.TeamID, app)
}

// Build tells one build.
func (d *Dash) Build(ctx context.Context, actor model.Actor, id string) (api.Build, error) {
	b, _, err := d.buildFor(ctx, actor, id, policy.ViewApp)
	if err != nil {
		return api.Build{}, err
	}
	return d.describeBuild(ctx, b)
}

func (d *Dash) describeBuild(ctx context.Context, b model.Build) (api.Build, error) {
	versions, err := d.buildVersions(ctx, []model.Build{b})
	if err != nil || !b.Ended() {
		return buildOut(b, versions), err
	}
	report, _, err := d.store.BuildReport(ctx, b.ID)
	out := buildOut(b, versions)
	out.Report = &report
	return out, err
}

// BuildLog lists the lines of a build's log after the sequence number after.
func (d *Dash) BuildLog(ctx context.Context, actor model.Actor, id string, after int64, limit int) (api.Page[api.LogLine], error) {
	if _, _, err := d.buildFor(ctx, actor, id, policy.ViewApp); err != nil {
		return api.Page[api.LogLine]{}, err
	}
	n := pageSize(limit)
	lines, err := d.buildLines(ctx, id, after, n+1)
	return pageOf(lines, n, func(l api.LogLine) string { return strconv.FormatInt(l.Seq, 10) }), err
}

func (d *Dash) buildLines(ctx context.Context, id string, after int64, n int) ([]api.LogLine, error) {
	found, err := d.store.BuildLog(ctx, id, after, n)
	out := make([]api.LogLine, 0, len(found))
	for _, l := range found {
		out = append(out, api.LogLine{Seq: l.Seq, At: l.At, Text: l.Text})
	}
	return out, err
}

// CancelBuild asks for the end of a build. One that has ended stays as it is.
func (d *Dash) CancelBuild(ctx context.Context, actor model.Actor, id string) (api.Build, error) {
	if _, _, err := d.buildFor(ctx, actor, id, policy.Deploy); err != nil {
		return api.Build{}, err
	}
	b, err := d.store.CancelBuild(ctx, id, actor)
	if err != nil {
		return api.Build{}, err
	}
	return d.describeBuild(ctx, b)
}
