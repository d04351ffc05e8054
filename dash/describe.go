package dash

import (
	"context"
	"maps"
	"slices"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// liveUnavailable is the state of what only the leader knows, when none leads.
const liveUnavailable = "live state unavailable: no server leads"

// live is what the leader says of an app.
type live struct {
	ready int
	state string
}

// describeApp is one app in wire form.
func (d *Dash) describeApp(ctx context.Context, app model.App) (api.App, error) {
	out, err := d.describeWith(ctx, []model.App{app}, func(ctx context.Context) map[string]live {
		r, err := d.leader.app(ctx, app.ID)
		if err != nil {
			return d.noLive(err)
		}
		return map[string]live{app.ID: {int(r.GetReady()), r.GetState()}}
	})
	if err != nil {
		return api.App{}, err
	}
	return out[0], nil
}

// describeApps is a list of apps in wire form.
func (d *Dash) describeApps(ctx context.Context, apps []model.App) ([]api.App, error) {
	return d.describeWith(ctx, apps, func(ctx context.Context) map[string]live {
		counts, err := d.leader.apps(ctx)
		if err != nil {
			return d.noLive(err)
		}
		out := make(map[string]live, len(counts))
		for id, c := range counts {
			out[id] = live{int(c.GetReady()), c.GetState()}
		}
		return out
	})
}

// noLive is nil, for "nobody knows", unless a leader answered that it does not
// know the app (yet).
func (d *Dash) noLive(err error) map[string]live {
	if model.IsKind(err, model.NotFound) {
		return map[string]live{}
	}
	d.log.Warn("live state unavailable", "err", err)
	return nil
}

func (d *Dash) describeWith(ctx context.Context, apps []model.App, ask func(context.Context) map[string]live) ([]api.App, error) {
	if len(apps) == 0 {
		return []api.App{}, nil
	}
	teams, err := d.teamNames(ctx)
	if err != nil {
		return nil, err
	}
	domains, err := d.domainsOf(ctx, apps)
	if err != nil {
		return nil, err
	}
	histories, err := d.wantedHistories(ctx, apps)
	if err != nil {
		return nil, err
	}
	lives := ask(ctx)
	out := make([]api.App, 0, len(apps))
	for i, a := range apps {
		v := histories[i].app()
		v.URL, v.Team, v.Domains = d.cfg.AppURL(a.Name), teams[a.TeamID], domains[a.ID]
		l, ok := lives[a.ID]
		v.Ready, v.State = l.ready, stateOf(a, l, lives != nil, ok)
		out = append(out, v)
	}
	return out, nil
}

func stateOf(a model.App, l live, leads, known bool) string {
	switch {
	case !leads:
		return liveUnavailable
	case known && l.state != "":
		return l.state
	case a.ReleaseID == "":
		return "no release yet: deploy something"
	}
	return "waiting for the leading server to take it up"
}

// domainsOf lists custom domains by app ID; never nil, so that JSON has [].
func (d *Dash) domainsOf(ctx context.Context, apps []model.App) (map[string][]string, error) {
	one := ""
	if len(apps) == 1 {
		one = apps[0].ID
	}
	found, err := d.store.Domains(ctx, one)
	out := make(map[string][]string, len(apps))
	for _, a := range apps {
		out[a.ID] = []string{}
	}
	for _, v := range found {
		if _, ok := out[v.AppID]; ok {
			out[v.AppID] = append(out[v.AppID], v.Host)
		}
	}
	return out, err
}

// history is an app with the releases and deployments needed to describe it.
type history struct {
	of          model.App
	serving     string // release ID; "" when none ever served
	releases    map[string]model.Release
	deployments map[string]model.Deployment
	pins        map[int]bool    // by number; only where releases are listed
	removed     map[string]bool // images that are gone
}

// history reads all deployments of one app, and the releases they and the app name.
func (d *Dash) history(ctx context.Context, app model.App, known []model.Release) (history, error) {
	h := history{of: app, releases: map[string]model.Release{}}
	var err error
	if h.deployments, err = d.store.Deployments(ctx, app.ID); err != nil {
		return h, err
	}
	h.serving = h.servingID()
	var missing []string
	for _, r := range known {
		h.releases[r.ID] = r
		missing = append(missing, h.deployments[r.ID].FromReleaseID)
	}
	missing = append(missing, app.ReleaseID, h.serving, h.deployments[app.ReleaseID].FromReleaseID)
	if err := d.addRetention(ctx, &h, known); err != nil {
		return h, err
	}
	return h, d.addReleases(ctx, h.releases, missing)
}

// addRetention tells which of the releases are pinned, and which have lost their image.
func (d *Dash) addRetention(ctx context.Context, h *history, known []model.Release) (err error) {
	if len(known) == 0 {
		return nil
	}
	images := make([]string, len(known))
	for i, r := range known {
		images[i] = r.Spec.Image
	}
	if h.removed, err = d.store.RemovedImages(ctx, images); err != nil {
		return err
	}
	h.pins, err = d.store.Pins(ctx, h.of.ID)
	return err
}

// addReleases reads the releases with these IDs that are not there yet.
func (d *Dash) addReleases(ctx context.Context, into map[string]model.Release, ids []string) error {
	want := map[string]bool{}
	for _, id := range ids {
		if _, ok := into[id]; !ok && id != "" {
			want[id] = true
		}
	}
	if len(want) == 0 {
		return nil
	}
	found, err := d.store.ReleasesByID(ctx, slices.Collect(maps.Keys(want)))
	maps.Copy(into, found)
	return err
}

// wantedHistories are the histories of many apps, no deeper than the deployment
// of the wanted release, unless the leader has not seen that yet.
func (d *Dash) wantedHistories(ctx context.Context, apps []model.App) ([]history, error) {
	out := make([]history, len(apps))
	releases, ids := map[string]model.Release{}, []string{}
	for i, a := range apps {
		h := history{of: a, releases: releases, deployments: map[string]model.Deployment{}}
		if a.ReleaseID != "" {
			dep, err := d.store.Deployment(ctx, a.ReleaseID)
			if err != nil {
				return nil, err
			}
			if dep != nil {
				h.deployments[a.ReleaseID] = *dep
			} else if h.deployments, err = d.store.Deployments(ctx, a.ID); err != nil {
				return nil, err
			}
		}
		h.serving = h.servingID()
		ids = append(ids, a.ReleaseID, h.serving)
		out[i] = h
	}
	return out, d.addReleases(ctx, releases, ids)
}

// servingID is the release that is kept up: the wanted one once its deployment
// succeeded, else the one that served last.
func (h history) servingID() string {
	switch dep, ok := h.deployments[h.of.ReleaseID]; {
	case ok && dep.Status == model.DeploymentSucceeded:
		return dep.ReleaseID
	case ok:
		return dep.FromReleaseID
	}
	var last model.Deployment
	for _, dep := range h.deployments {
		if dep.Status == model.DeploymentSucceeded && (last.ReleaseID == "" || dep.StartedAt.After(last.StartedAt)) {
			last = dep
		}
	}
	return last.ReleaseID
}

func (h history) version(id string) string {
	if r, ok := h.releases[id]; ok {
		return r.Version()
	}
	return ""
}

func (h history) app() api.App {
	a, r := h.of, h.releases[h.of.ReleaseID]
	return api.App{
		Name: a.Name, Release: h.version(a.ReleaseID), Serving: h.version(h.serving), Instances: a.Instances,
		Paused: a.Paused, Maintenance: a.Maintenance, Singleton: a.Singleton, Constraints: constraintsOut(a.Constraints), Generation: a.Generation,
		Runtime: r.Spec.Runtime, MemoryMiB: r.Spec.MemoryMiB, CPUMilli: r.Spec.CPUMilli, Port: r.Spec.Port, Health: r.Spec.Health,
		EnvNames: envNames(r.Spec), Strategy: r.Spec.Strategy, Deployment: h.deployment(a.ReleaseID), CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

// constraintsOut is never nil, so that JSON has [].
func constraintsOut(c model.Constraints) []string { return append([]string{}, c.List()...) }

func envNames(s model.Spec) []string {
	names := slices.Sorted(maps.Keys(s.Env))
	if names == nil {
		names = []string{}
	}
	return names
}

func (h history) release(r model.Release) api.Release {
	return api.Release{
		Version: r.Version(), Image: r.Spec.Image, Runtime: r.Spec.Runtime, Artifact: r.Spec.Artifact, Build: r.BuildID, Cause: string(r.Cause), Note: r.Note,
		MemoryMiB: r.Spec.MemoryMiB, CPUMilli: r.Spec.CPUMilli, Port: r.Spec.Port, Health: r.Spec.Health, EnvNames: envNames(r.Spec), Strategy: r.Spec.Strategy,
		CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt,
		Wanted: r.ID == h.of.ReleaseID, Serving: r.ID == h.serving && r.ID != "", Deployment: h.deployment(r.ID),
		Pinned: h.pins[r.Number], Removed: h.removed[r.Spec.Image],
	}
}

// deployment is the movement to a release. One that the leader has not seen is
// waiting, or superseded when another release is wanted by now: then it never will.
func (h history) deployment(releaseID string) *api.Deployment {
	if releaseID == "" {
		return nil
	}
	out := api.Deployment{Release: h.version(releaseID)}
	dep, ok := h.deployments[releaseID]
	switch {
	case ok:
		out.From, out.Status, out.Error = h.version(dep.FromReleaseID), string(dep.Status), dep.Error
		out.StartedAt, out.EndedAt = dep.StartedAt, dep.EndedAt
		h.steps(dep, &out)
	case releaseID == h.of.ReleaseID:
		out.Status = "waiting"
	default:
		out.Status = string(model.DeploymentSuperseded)
	}
	return &out
}

// steps adds where a running deployment stands among its release's stages.
func (h history) steps(dep model.Deployment, out *api.Deployment) {
	r := h.releases[dep.ReleaseID]
	stages := r.Stages()
	if dep.Status != model.DeploymentRunning || dep.FromReleaseID == "" || h.of.Singleton || len(stages) == 0 {
		return
	}
	out.Strategy, out.Step, out.Steps, out.Share = r.Spec.Strategy, min(dep.Stage, len(stages))+1, len(stages)+1, 100
	if dep.Stage < len(stages) {
		out.Share = stages[dep.Stage].Share
	}
	out.StepAt, out.Judgement = dep.StageAt, dep.Judgement
	out.Held = dep.Held && h.of.Promoted != dep.ReleaseID
	if out.StepAt.IsZero() {
		out.StepAt = dep.StartedAt
	}
}

// describeRelease is one release, just made or read, in wire form.
func (d *Dash) describeRelease(ctx context.Context, app model.App, r model.Release) (api.Release, error) {
	h, err := d.history(ctx, app, []model.Release{r})
	return h.release(r), err
}

// clip shortens text from outside for a message.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
