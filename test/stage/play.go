package stage

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

const builder = "stage-builder"

// build plays the builder: the image's digest is the artifact's.
func (s *Stage) build(ctx context.Context) error {
	now := time.Now()
	b, err := s.Store.ClaimBuild(ctx, builder, now, now.Add(time.Minute))
	if err != nil || b == nil {
		return err
	}
	if err := s.Store.SetBuildStep(ctx, b.ID, builder, "assemble", "static"); err != nil {
		return err
	}
	lines := []string{"unpacked " + b.Filename, "runtime static", "image assembled"}
	if err := s.Store.AppendBuildLog(ctx, b.ID, now, lines); err != nil {
		return err
	}
	digest := b.Artifact
	if digest == "" {
		digest = strings.Repeat("0", 64)
	}
	o := store.BuildOutcome{Status: model.BuildSucceeded, Image: model.AppRepository(b.AppName) + "@sha256:" + digest, Runtime: "static", Key: digest, Now: time.Now()}
	if b.Filename == BrokenBuild {
		o.Status, o.Err = model.BuildFailed, model.E(model.CodeBuildFailed, "the build of %s failed", b.Filename).WithEvidence("assemble: no space").WithNext("dinp build log %s", b.ID)
	}
	return s.Store.FinishBuild(ctx, b.ID, builder, o)
}

// rollOut plays the leader's deployments: begun in one round, ended in the next.
func (s *Stage) rollOut(ctx context.Context) error {
	apps, err := s.appsOf(ctx)
	if err != nil {
		return err
	}
	for _, a := range apps {
		if a.ReleaseID == "" || a.Paused {
			continue
		}
		next, err := s.nextDeployment(ctx, a)
		if err != nil {
			return err
		}
		if next != nil {
			if err := s.Store.Apply(ctx, s.lease, store.Control{Deployments: []model.Deployment{*next}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Stage) nextDeployment(ctx context.Context, a model.App) (*model.Deployment, error) {
	d, err := s.Store.Deployment(ctx, a.ReleaseID)
	if err != nil || d != nil && d.Ended() {
		return nil, err
	}
	now := time.Now()
	if d == nil {
		from, err := s.serving(ctx, a)
		return &model.Deployment{ReleaseID: a.ReleaseID, AppID: a.ID, FromReleaseID: from.ID, Status: model.DeploymentRunning, StartedAt: now, Deadline: now.Add(time.Minute)}, err
	}
	if byHand, err := s.goesBySteps(ctx, a, *d); err != nil || byHand {
		return nil, err
	}
	d.Status, d.EndedAt = model.DeploymentSucceeded, now
	if silent, err := s.isSilent(ctx, a.ReleaseID); err != nil || silent {
		d.Status = model.DeploymentFailed
		d.Error = model.E(model.CodeNotReady, "the release was not ready after 5s: 0 of %d instances answered", a.Instances).WithEvidence("GET / → connection refused").WithNext("dinp logs %s", a.Name)
		return d, err
	}
	return d, nil
}

// goesBySteps reports whether a deployment has steps. Nobody plays those: it goes
// on by Step, and ends when a person promotes it.
func (s *Stage) goesBySteps(ctx context.Context, a model.App, d model.Deployment) (bool, error) {
	r, err := s.Store.ReleaseByID(ctx, d.ReleaseID)
	return d.FromReleaseID != "" && a.Promoted != r.ID && len(r.Stages()) > 0, err
}

// Step does what the leader does as the wanted release of an app goes from step to
// step: it changes where its deployment stands.
func (s *Stage) Step(t testing.TB, app string, change func(*model.Deployment)) {
	t.Helper()
	a, err := s.Store.App(t.Context(), app)
	must(t, err)
	d, err := s.Store.Deployment(t.Context(), a.ReleaseID)
	must(t, err)
	if d == nil {
		t.Fatalf("%s is not being deployed", app)
	}
	change(d)
	must(t, s.Store.Apply(t.Context(), s.lease, store.Control{Deployments: []model.Deployment{*d}}))
}

func (s *Stage) isSilent(ctx context.Context, releaseID string) (bool, error) {
	r, err := s.Store.ReleaseByID(ctx, releaseID)
	if err != nil || r.BuildID == "" {
		return false, err
	}
	b, err := s.Store.Build(ctx, r.BuildID)
	return b.Filename == SilentApp, err
}

// serving is the release that is kept up: the zero one when none is.
func (s *Stage) serving(ctx context.Context, a model.App) (model.Release, error) {
	all, err := s.Store.Deployments(ctx, a.ID)
	if err != nil {
		return model.Release{}, err
	}
	var best model.Release
	for id, d := range all {
		if d.Status != model.DeploymentSucceeded {
			continue
		}
		r, err := s.Store.ReleaseByID(ctx, id)
		if err != nil {
			return best, err
		}
		if r.Number > best.Number {
			best = r
		}
	}
	return best, nil
}

// router plays the router: an app answers with the artifact that it serves.
func (s *Stage) router() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		app, err := s.appAt(r.Context(), strings.TrimSuffix(r.Host, ":"+s.port))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		rel, err := s.serving(r.Context(), app)
		if err != nil || rel.ID == "" {
			http.Error(w, "nothing serves", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><title>%s</title><p>%s serves artifact %.12s</p>`, app.Name, app.Name, rel.Spec.Artifact)
	})
}

func (s *Stage) appAt(ctx context.Context, host string) (model.App, error) {
	if name, ok := strings.CutSuffix(host, ".apps.localhost"); ok {
		return s.Store.App(ctx, name)
	}
	domains, err := s.Store.Domains(ctx, "")
	if err != nil {
		return model.App{}, err
	}
	for _, d := range domains {
		if d.Host == host {
			return s.Store.AppByID(ctx, d.AppID)
		}
	}
	return model.App{}, model.E(model.CodeNoSuchHost, "no app at %s", host)
}
