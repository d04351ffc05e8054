package dash

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
)

// DeployInput is what to deploy: an artifact that was uploaded, or an image by
// reference, and the settings that go with it.
type DeployInput struct {
	Artifact string // sha256, hex
	Image    string // reference; nothing is built
	Filename string // with Artifact: as uploaded
	Runtime  string // with Artifact: "" lets the builder tell
	Team     string // of an app that is new; "" as in CreateApp
	Job      string // of CI, for the statement of provenance
	URL      string // instead of Artifact: the builder fetches it from there
	SHA256   string // with URL: that the file must have, hex; "": whatever comes
	model.DeployRequest
}

// StartDeploy queues the build of an artifact, or the copying of an image, and
// with its success the release; the app is made if it is new. What serves
// already, with the same settings, is not built again, and the answer says so.
func (d *Dash) StartDeploy(ctx context.Context, actor model.Actor, name string, in DeployInput) (api.Deploy, error) {
	if err := checkDeploy(in); err != nil {
		return api.Deploy{}, err
	}
	app, err := d.deployTarget(ctx, actor, name, in)
	if err != nil {
		return api.Deploy{}, err
	}
	if err := d.mayImage(ctx, actor, in.Image); err != nil {
		return api.Deploy{}, err
	}
	if in, err = d.alreadyHere(ctx, actor, in); err != nil {
		return api.Deploy{}, err
	}
	b := model.Build{ImageRef: in.Image, Filename: cleanFilename(in.Filename), Runtime: in.Runtime, Deploy: &in.DeployRequest,
		Origin: model.BuildOrigin{From: actor.From, Job: in.Job, URL: in.URL, SHA256: in.SHA256}}
	if in.Image != "" {
		b.Runtime = model.RuntimeImage
	} else if err = d.setArtifact(ctx, actor, in, &b); err != nil {
		return api.Deploy{}, err
	}
	if app.ID == "" {
		if app, err = d.createApp(ctx, actor, api.CreateApp{Name: name, Team: in.Team}); err != nil {
			return api.Deploy{}, err
		}
	}
	if same, err := d.unchanged(ctx, app, in); err != nil || same {
		return d.unchangedDeploy(ctx, app, err)
	}
	b.AppID = app.ID
	if b, err = d.store.CreateBuild(ctx, b, actor); err != nil {
		return api.Deploy{}, err
	}
	return d.describeDeploy(ctx, app, b)
}

// alreadyHere makes a deploy by URL and checksum one of an artifact, if the platform has the artifact: nothing is fetched.
func (d *Dash) alreadyHere(ctx context.Context, actor model.Actor, in DeployInput) (DeployInput, error) {
	if in.URL == "" || in.SHA256 == "" {
		return in, nil
	}
	_, err := d.artifact(ctx, actor, in.SHA256)
	if model.IsKind(err, model.NotFound) {
		return in, nil
	}
	if in.Filename == "" {
		in.Filename = model.BuildOrigin{URL: in.URL}.FileName()
	}
	in.Artifact = in.SHA256
	return in, err
}

// setArtifact says what a build is made from: an artifact, or what the actor promises to be one, which the builder has to
// sum up first. Nothing, if it is still to be fetched.
func (d *Dash) setArtifact(ctx context.Context, actor model.Actor, in DeployInput, b *model.Build) (err error) {
	if in.Artifact == "" {
		return nil
	}
	b.Artifact = in.Artifact
	b.Size, err = d.artifact(ctx, actor, in.Artifact)
	if !model.IsKind(err, model.NotFound) {
		return err
	}
	size, perr := d.promised(ctx, actor, in.Artifact)
	if model.IsKind(perr, model.NotFound) {
		return err
	}
	b.Artifact, b.Size, b.Origin.SHA256, b.Origin.Sender = "", size, in.Artifact, actor.UserID
	return perr
}

// checkURL refuses addresses that no builder would fetch from. Where the name leads to is found out by the builder.
func checkURL(in DeployInput) error {
	u, err := url.Parse(in.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || len(in.URL) > 2000:
		return model.E(model.CodeBadSource, "%q is no address of a file", clip(model.BuildOrigin{URL: in.URL}.PublicURL(), 120)).WithNext("write it as https://host/path/shop.war")
	case u.User != nil:
		return model.E(model.CodeBadSource, "the address has a user or password in it, which would be kept with the build").
			WithNext("use a signed address, or download the file yourself and deploy it")
	case in.SHA256 != "" && !sha256hex.MatchString(in.SHA256):
		return model.E(model.CodeBadRequest, "the sha256 is not 64 hex digits")
	}
	return nil
}

// checkDeploy refuses what cannot be right whatever the app is.
func checkDeploy(in DeployInput) error {
	switch {
	case in.Artifact == "" && in.Image == "" && in.URL == "":
		return model.E(model.CodeBadRequest, "nothing to deploy: neither an artifact nor an image is named").WithNext("name an image, the sha256 of an artifact, or a URL")
	case in.Artifact != "" && in.Image != "":
		return model.E(model.CodeBadRequest, "both an artifact and an image are named; deploy one of them")
	case in.URL != "" && (in.Artifact != "" || in.Image != ""):
		return model.E(model.CodeBadRequest, "a URL is named beside an artifact or an image; deploy one of them")
	case in.SHA256 != "" && in.URL == "":
		return model.E(model.CodeBadRequest, "sha256 belongs to a URL; an artifact that is here is named by artifact")
	case in.Image != "" && in.Runtime != "" && in.Runtime != model.RuntimeImage:
		return model.E(model.CodeBadRuntime, "an image is deployed as it is, without the runtime %q", clip(in.Runtime, 40)).WithNext("leave the runtime out")
	case len(in.Image) > 500 || strings.ContainsAny(in.Image, " \t\r\n"):
		return model.E(model.CodeNoImage, "%q is not an image reference", clip(in.Image, 80)).WithNext("write it as registry.example/name:tag or name@sha256:…")
	case len(in.Runtime) > 64:
		return model.E(model.CodeBadRuntime, "runtime %q is not known", clip(in.Runtime, 40))
	}
	if in.URL != "" {
		if err := checkURL(in); err != nil {
			return err
		}
	}
	return checkRequest(in.DeployRequest)
}

// deployTarget is the app a deploy goes to; one with ID "" is to be made. It is
// asked before an upload is read, too: nobody should send two gigabytes to be refused.
func (d *Dash) deployTarget(ctx context.Context, actor model.Actor, name string, in DeployInput) (model.App, error) {
	if err := model.CheckAppName(name); err != nil {
		return model.App{}, err
	}
	app, err := d.store.App(ctx, name)
	if model.IsKind(err, model.NotFound) {
		team, err := d.teamFor(ctx, actor, in.Team)
		if err != nil {
			return model.App{}, err
		}
		return model.App{}, d.may(ctx, actor, policy.CreateApp, team, model.App{Name: name})
	}
	if err != nil {
		return app, err
	}
	if !policy.Can(actor, policy.ViewApp, app.TeamID) {
		return model.App{}, model.E(model.CodeAppTaken, "the app name %q is taken by another team", name).WithNext("choose another name")
	}
	if err := d.may(ctx, actor, policy.Deploy, app.TeamID, app); err != nil {
		return app, err
	}
	return app, d.maySettings(ctx, actor, app, in.DeployRequest)
}

// mayImage asks for the right to see the app whose image a reference names: the
// registry holds every team's images, and the builder may read them all. The
// registry goes by many names (its address, localhost, …), so the path decides.
func (d *Dash) mayImage(ctx context.Context, actor model.Actor, ref string) error {
	repository, _, _ := strings.Cut(ref, "@")
	at := strings.Index("/"+repository, "/dinp/")
	if at < 0 {
		return nil
	}
	kind, rest, _ := strings.Cut(strings.TrimPrefix(repository[at:], "dinp/"), "/")
	none := model.E(model.CodeNoImage, "the image %q does not exist", clip(ref, 120)).WithNext("dinp releases APP shows the images of an app")
	switch kind {
	case "base":
		return nil
	case "apps":
		name, _, _ := strings.Cut(rest, ":")
		app, err := d.store.App(ctx, name)
		if model.IsKind(err, model.NotFound) || err == nil && !policy.Can(actor, policy.ViewApp, app.TeamID) {
			return none
		}
		return err
	}
	return none
}

// maySettings asks for the rights that a deploy's settings need on their own:
// who may only deploy cannot scale by deploying. A setting that repeats what is
// there needs none, and neither does the first deploy.
func (d *Dash) maySettings(ctx context.Context, actor model.Actor, app model.App, req model.DeployRequest) error {
	if app.ReleaseID == "" {
		return nil
	}
	if req.Instances != nil && *req.Instances != app.Instances {
		if err := d.may(ctx, actor, policy.Scale, app.TeamID, app); err != nil {
			return err
		}
	}
	r, err := d.store.ReleaseByID(ctx, app.ReleaseID)
	if err != nil {
		return err
	}
	now := req.Apply(r.Spec)
	if now.MemoryMiB != r.Spec.MemoryMiB || now.CPUMilli != r.Spec.CPUMilli {
		return d.may(ctx, actor, policy.Configure, app.TeamID, app)
	}
	return nil
}

// unchanged reports whether a deploy would bring what serves already: the
// release people want has this content and these settings, its rollout
// succeeded, and no build is on its way to replace it. An image by tag may have
// moved; only a digest says that it is the same.
func (d *Dash) unchanged(ctx context.Context, app model.App, in DeployInput) (bool, error) {
	if app.ReleaseID == "" || in.Artifact == "" && in.Image == "" || in.Instances != nil && *in.Instances != app.Instances {
		return false, nil
	}
	r, err := d.store.ReleaseByID(ctx, app.ReleaseID)
	if err != nil || in.DeployRequest.Apply(r.Spec).Hash() != r.Spec.Hash() {
		return false, err
	}
	if same, err := d.sameContent(ctx, r, in); err != nil || !same {
		return false, err
	}
	dep, err := d.store.Deployment(ctx, r.ID)
	if err != nil || dep == nil || dep.Status != model.DeploymentSucceeded {
		return false, err
	}
	builds, err := d.store.Builds(ctx, app.ID, time.Time{}, 20)
	for _, b := range builds {
		if !b.Ended() {
			return false, err
		}
	}
	return true, err
}

func (d *Dash) sameContent(ctx context.Context, r model.Release, in DeployInput) (bool, error) {
	if in.Image == "" && (r.Spec.Artifact != in.Artifact || in.Runtime != "" && in.Runtime != r.Spec.Runtime) {
		return false, nil
	}
	if in.Image != "" && (r.Spec.Artifact != "" || !strings.Contains(in.Image, "@sha256:")) {
		return false, nil
	}
	if r.BuildID == "" {
		return in.Image == "", nil
	}
	b, err := d.store.Build(ctx, r.BuildID)
	if err != nil {
		return false, err
	}
	if in.Image != "" {
		return b.ImageRef == in.Image, nil
	}
	// The same bytes under another extension may be another thing: .war and .zip.
	return in.Runtime != "" || strings.EqualFold(path.Ext(b.Filename), path.Ext(cleanFilename(in.Filename))), nil
}

func (d *Dash) unchangedDeploy(ctx context.Context, app model.App, err error) (api.Deploy, error) {
	if err != nil {
		return api.Deploy{}, err
	}
	h, err := d.history(ctx, app, nil)
	if err != nil {
		return api.Deploy{}, err
	}
	version := h.version(app.ReleaseID)
	return api.Deploy{
		App: app.Name, URL: d.cfg.AppURL(app.Name), Unchanged: true, Done: true, OK: true, Release: version, Deployment: h.deployment(app.ReleaseID),
		State: fmt.Sprintf("nothing to do: %s has the same content and settings, and serves already", version),
	}, nil
}
