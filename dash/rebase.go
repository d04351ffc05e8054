package dash

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// How often a rebase is looked at, how long the dash that carries it on has the right to, and how many apps are under way
// at a time unless somebody says otherwise.
const (
	rebasePeriod = time.Second
	rebaseLease  = 15 * time.Second
	rebaseBatch  = 3
	maxBatch     = 50
)

// Rebase rebuilds the apps of a runtime on its base image as it is now, or tells which with DryRun. While one of the
// runtime goes on, that is answered, and nothing is begun.
func (d *Dash) Rebase(ctx context.Context, actor model.Actor, in api.NewRebase) (api.Rebase, error) {
	switch {
	case in.Runtime == "" || in.Runtime == model.RuntimeImage || len(in.Runtime) > 64:
		return api.Rebase{}, model.E(model.CodeBadRuntime, "%q has no base image to move to", clip(in.Runtime, 40)).WithNext("name a runtime, as in dinp rebase tomcat")
	case in.Batch < 0 || in.Batch > maxBatch:
		return api.Rebase{}, model.E(model.CodeBadRequest, "batch is %d; it must be 1 to %d", in.Batch, maxBatch)
	case in.Batch == 0:
		in.Batch = rebaseBatch
	}
	plan, err := d.planRebase(ctx, actor, in)
	if err != nil || in.DryRun {
		return plan, err
	}
	r := model.Rebase{Runtime: in.Runtime, Batch: in.Batch}
	for _, a := range plan.Apps {
		if a.Step == string(model.StepWaiting) {
			app, err := d.store.App(ctx, a.App)
			if err != nil {
				return plan, err
			}
			r.Apps = append(r.Apps, model.RebaseApp{AppID: app.ID, AppName: app.Name})
		}
	}
	if len(r.Apps) == 0 {
		plan.Status = string(model.RebaseDone)
		return plan, nil
	}
	if r, err = d.store.CreateRebase(ctx, r, actor); err != nil {
		return plan, err
	}
	return d.rebaseOut(ctx, actor, r)
}

// planRebase finds the apps whose release stands on another base image than its name leads to now. An app whose base
// cannot be told is among them: the builder finds out, and changes nothing when it is the same.
func (d *Dash) planRebase(ctx context.Context, actor model.Actor, in api.NewRebase) (api.Rebase, error) {
	out := api.Rebase{Runtime: in.Runtime, Batch: in.Batch, DryRun: in.DryRun, Apps: []api.RebaseApp{}}
	apps, err := d.rebaseable(ctx, actor, in.App)
	if err != nil {
		return out, err
	}
	bases := map[string]string{} // what names lead to now
	for _, app := range apps {
		if app.ReleaseID == "" {
			continue
		}
		r, err := d.store.ReleaseByID(ctx, app.ReleaseID)
		if err != nil {
			return out, err
		}
		if r.Spec.Runtime != in.Runtime || r.Spec.Artifact == "" || r.BuildID == "" {
			continue
		}
		a, err := d.planApp(ctx, app, r, bases, in.All)
		if err != nil {
			return out, err
		}
		out.Apps = append(out.Apps, a)
	}
	if in.App != "" && len(out.Apps) == 0 {
		return out, model.E(model.CodeBadRuntime, "app %s does not run an artifact on %s", in.App, in.Runtime).WithNext("dinp releases %s shows its runtime", in.App)
	}
	return out, nil
}

// rebaseable are the apps that actor may deploy, or the one that is named.
func (d *Dash) rebaseable(ctx context.Context, actor model.Actor, name string) ([]model.App, error) {
	if name != "" {
		app, err := d.appFor(ctx, actor, name, policy.Deploy)
		return []model.App{app}, err
	}
	if err := d.mayUpload(ctx, actor); err != nil {
		return nil, err
	}
	var out []model.App
	for after := ""; ; {
		page, err := d.store.Apps(ctx, visibleTeams(actor), after, maxPage)
		if err != nil {
			return nil, err
		}
		for _, app := range page {
			if policy.Can(actor, policy.Deploy, app.TeamID) {
				out = append(out, app)
			}
			after = app.Name
		}
		if len(page) < maxPage {
			return out, nil
		}
	}
}

func (d *Dash) planApp(ctx context.Context, app model.App, r model.Release, bases map[string]string, all bool) (api.RebaseApp, error) {
	report, _, err := d.store.BuildReport(ctx, r.BuildID)
	out := api.RebaseApp{App: app.Name, Release: r.Version(), Base: report.Base, From: report.BaseDigest, Step: string(model.StepWaiting)}
	if err != nil {
		return out, err
	}
	if report.Base != "" {
		if _, ok := bases[report.Base]; !ok {
			if bases[report.Base], err = d.baseNow(ctx, report.Base); err != nil {
				return out, err
			}
		}
		out.To = bases[report.Base]
	}
	switch {
	case app.Paused:
		out.Step, out.Note = string(model.StepSuperseded), "the app is paused"
	case out.To != "" && out.To == out.From && !all:
		out.Step, out.Note = string(model.StepUnchanged), "on the newest base image already"
	}
	return out, nil
}

// baseNow is the digest that a base image's name leads to; "" when it lies in another registry, which the builder asks.
func (d *Dash) baseNow(ctx context.Context, base string) (string, error) {
	if !strings.HasPrefix(base, "dinp/") {
		return "", nil
	}
	path, tag, ok := strings.Cut(base, ":")
	if !ok {
		tag = "latest"
	}
	image, err := d.artifacts.resolve(ctx, path, tag)
	_, digest, _ := strings.Cut(image, "@")
	return digest, err
}

// RebaseState tells how a rebase goes on.
func (d *Dash) RebaseState(ctx context.Context, actor model.Actor, id string) (api.Rebase, error) {
	r, err := d.store.Rebase(ctx, id)
	if err != nil {
		return api.Rebase{}, err
	}
	return d.rebaseOut(ctx, actor, r)
}

// Rebases lists rebases of which actor may see something, newest first; before is the Next of an earlier page.
func (d *Dash) Rebases(ctx context.Context, actor model.Actor, before string, limit int) (api.Page[api.Rebase], error) {
	none, until, n := api.Page[api.Rebase]{}, time.Time{}, pageSize(limit)
	if before != "" {
		ms, err := strconv.ParseInt(before, 10, 64)
		if err != nil || ms <= 0 {
			return none, model.E(model.CodeBadRequest, "before=%s is not the end of a page", clip(before, 40))
		}
		until = time.UnixMilli(ms)
	}
	found, err := d.store.Rebases(ctx, until, n+1)
	if err != nil {
		return none, err
	}
	p := pageOf(found, n, func(r model.Rebase) string { return strconv.FormatInt(r.CreatedAt.UnixMilli(), 10) })
	out := api.Page[api.Rebase]{Items: []api.Rebase{}, Next: p.Next}
	see := d.rebaseEyes(ctx, actor)
	for _, r := range p.Items {
		if shown, ok := shownRebase(r, see); ok {
			out.Items = append(out.Items, shown)
		}
	}
	return out, nil
}

// rebaseEyes tells of which apps actor may see how they go on.
func (d *Dash) rebaseEyes(ctx context.Context, actor model.Actor) func(appID string) bool {
	if actor.Role == model.Admin {
		return func(string) bool { return true }
	}
	visible := d.ofVisibleApps(ctx, actor)
	return func(appID string) bool { return visible(model.Event{AppID: appID}) }
}

// rebaseOut shows of a rebase what actor may see.
func (d *Dash) rebaseOut(ctx context.Context, actor model.Actor, r model.Rebase) (api.Rebase, error) {
	out, ok := shownRebase(r, d.rebaseEyes(ctx, actor))
	if !ok {
		return api.Rebase{}, model.E(model.CodeNotFound, "there is no rebase %q", clip(r.ID, 40))
	}
	return out, nil
}

// shownRebase is what of a rebase can be seen; false when that is nothing.
func shownRebase(r model.Rebase, see func(appID string) bool) (api.Rebase, bool) {
	out := api.Rebase{ID: r.ID, Runtime: r.Runtime, Batch: r.Batch, Status: string(r.Status), Error: r.Error, By: r.By.Name, CreatedAt: r.CreatedAt, EndedAt: r.EndedAt, Apps: []api.RebaseApp{}}
	for _, a := range r.Apps {
		if see(a.AppID) {
			out.Apps = append(out.Apps, api.RebaseApp{App: a.AppName, Step: string(a.Step), Build: a.BuildID, Note: a.Note})
		}
	}
	return out, len(out.Apps) > 0
}

// StopRebase lets a rebase begin no more apps; what is under way goes on.
func (d *Dash) StopRebase(ctx context.Context, actor model.Actor, id string) (api.Rebase, error) {
	r, err := d.store.Rebase(ctx, id)
	if err != nil {
		return api.Rebase{}, err
	}
	for _, a := range r.Apps {
		if _, err := d.appFor(ctx, actor, a.AppName, policy.Deploy); err != nil && !model.IsKind(err, model.NotFound) {
			return api.Rebase{}, err
		}
	}
	if len(r.Apps) > 0 && !policy.CanSomewhere(actor, policy.Deploy) {
		return api.Rebase{}, d.may(ctx, actor, policy.Deploy, "", model.App{})
	}
	why := model.E(model.CodeRebase, "stopped by %s", actor.Name).WithStill("apps under way go on").WithNext("dinp rebase %s goes on with what is left", r.Runtime)
	if err := d.store.EndRebase(ctx, id, model.RebaseStopped, why, actor); err != nil {
		return api.Rebase{}, err
	}
	return d.RebaseState(ctx, actor, id)
}

// rebases carries rebases on until ctx ends. Of several dashes one does it at a time, and another takes over when it dies.
func (d *Dash) rebases(ctx context.Context) {
	driver := store.NewID()
	defer d.yieldRebases(ctx, driver)
	tick := time.NewTicker(rebasePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := d.carryOn(ctx, driver); err != nil && ctx.Err() == nil {
			d.log.Warn("rebase not carried on", "err", err)
		}
	}
}

// yieldRebases spares the others the wait for the end of this one's right. One that dies cannot; they wait then.
func (d *Dash) yieldRebases(ctx context.Context, driver string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.store.YieldRebases(ctx, driver); err != nil {
		d.log.Warn("rebases not handed over", "err", err)
	}
}

func (d *Dash) carryOn(ctx context.Context, driver string) error {
	ids, err := d.store.RunningRebases(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		mine, err := d.store.DriveRebase(ctx, id, driver, time.Now().Add(rebaseLease))
		if err != nil {
			return err
		}
		if mine {
			if err := d.stepRebase(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// stepRebase looks how the apps under way stand, and begins the next. Whatever it does twice, it does once.
func (d *Dash) stepRebase(ctx context.Context, id string) error {
	r, err := d.store.Rebase(ctx, id)
	if err != nil {
		return err
	}
	for i, a := range r.Apps {
		if a.Step != model.StepBuilding && a.Step != model.StepRolling {
			continue
		}
		to, note, err := d.rebaseStep(ctx, a)
		if err != nil {
			return err
		}
		if to == a.Step {
			continue
		}
		if err := d.store.StepRebaseApp(ctx, id, a, to, note); err != nil {
			return err
		}
		r.Apps[i].Step, r.Apps[i].Note = to, note
	}
	begin, end := model.NextOfRebase(r)
	for _, i := range begin {
		if err := d.store.BeginRebaseApp(ctx, r, r.Apps[i]); err != nil {
			return err
		}
	}
	if end == model.RebaseRunning {
		return nil
	}
	return d.store.EndRebase(ctx, id, end, rebaseError(r, end), r.By)
}

func rebaseError(r model.Rebase, end model.RebaseStatus) *model.Error {
	i := slices.IndexFunc(r.Apps, func(a model.RebaseApp) bool { return a.Step == model.StepFailed })
	if end == model.RebaseDone || i < 0 {
		return nil
	}
	left := 0
	for _, a := range r.Apps {
		if a.Step == model.StepWaiting {
			left++
		}
	}
	return model.E(model.CodeRebase, "app %s did not come up on the new base of %s; %d apps were not begun", r.Apps[i].AppName, r.Runtime, left).
		WithEvidence(r.Apps[i].Note).WithStill("%s keeps serving on the old base", r.Apps[i].AppName).
		WithNext("dinp explain %s; when it is mended, dinp rebase %s goes on with what is left", r.Apps[i].AppName, r.Runtime)
}

// rebaseStep is how far an app is, by its build and the rollout of its release.
func (d *Dash) rebaseStep(ctx context.Context, a model.RebaseApp) (model.RebaseStep, string, error) {
	b, err := d.store.Build(ctx, a.BuildID)
	if err != nil {
		return a.Step, "", err
	}
	switch {
	case !b.Ended():
		return model.StepBuilding, "", nil
	case b.Status != model.BuildSucceeded:
		return model.StepFailed, fmt.Sprintf("build %s: %s", b.Status, errorText(b.Error)), nil
	case b.ReleaseID == "":
		return model.StepUnchanged, "nothing to change: the same image, or another artifact by now", nil
	}
	dep, err := d.store.Deployment(ctx, b.ReleaseID)
	if err != nil || dep == nil {
		return d.unseen(ctx, a, b, err)
	}
	switch dep.Status {
	case model.DeploymentSucceeded:
		return model.StepDone, "", nil
	case model.DeploymentFailed:
		return model.StepFailed, errorText(dep.Error), nil
	case model.DeploymentSuperseded:
		return model.StepSuperseded, "another release took its place", nil
	}
	return model.StepRolling, "", nil
}

// unseen is a release the leader has not begun: it never will when another is wanted, or nobody wants the app.
func (d *Dash) unseen(ctx context.Context, a model.RebaseApp, b model.Build, err error) (model.RebaseStep, string, error) {
	if err != nil {
		return a.Step, "", err
	}
	app, err := d.store.AppByID(ctx, a.AppID)
	if err == nil && (app.ReleaseID != b.ReleaseID || !app.DeletedAt.IsZero()) {
		return model.StepSuperseded, "another release took its place", nil
	}
	return model.StepRolling, "", err
}

func errorText(e *model.Error) string {
	if e == nil {
		return "no reason was left"
	}
	return string(e.Code) + " " + e.Message
}
