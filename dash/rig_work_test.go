package dash

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/testenv"
)

// image is a made-up image of the right form.
func image(n int) string {
	return fmt.Sprintf("dinp/apps/shop@sha256:%064x", n)
}

// release makes an app's next release the way a builder does, and settles it.
func (r *rig) release(app string, n int, status model.DeploymentStatus) model.Release {
	r.t.Helper()
	a, err := r.store.App(r.t.Context(), app)
	if err != nil {
		r.t.Fatal(err)
	}
	rel, _, err := r.store.CreateRelease(r.t.Context(), store.NewRelease{AppID: a.ID, Cause: model.CauseDeploy,
		Spec: func(base model.Release) (model.Spec, error) {
			s := base.Spec
			s.Image, s.Runtime = image(n), "static"
			return s, nil
		}}, model.Actor{Name: "builder"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.settle(rel, status, nil)
	return rel
}

// settle writes a deployment as the leader does; "" leaves it unseen.
func (r *rig) settle(rel model.Release, status model.DeploymentStatus, failure *model.Error) {
	r.t.Helper()
	if status == "" {
		return
	}
	ctx := r.t.Context()
	old, err := r.store.Deployments(ctx, rel.AppID)
	if err != nil {
		r.t.Fatal(err)
	}
	from := ""
	for _, d := range old {
		if d.Status == model.DeploymentSucceeded && d.ReleaseID != rel.ID {
			from = d.ReleaseID
		}
	}
	now := time.Now()
	dep := model.Deployment{ReleaseID: rel.ID, AppID: rel.AppID, FromReleaseID: from, Status: status, Error: failure, StartedAt: now, Deadline: now.Add(time.Minute)}
	if status != model.DeploymentRunning {
		dep.EndedAt = now
	}
	if err := r.store.Apply(ctx, r.lease, store.Control{Deployments: []model.Deployment{dep}}); err != nil {
		r.t.Fatal(err)
	}
}

// claim takes the next build as a builder does, waiting for one.
func (r *rig) claim() model.Build {
	r.t.Helper()
	var b *model.Build
	testenv.Eventually(r.t, 20*time.Second, func() (err error) {
		if b, err = r.store.ClaimBuild(r.t.Context(), "b1", time.Now(), time.Now().Add(time.Minute)); err == nil && b == nil {
			err = errors.New("no build is queued")
		}
		return err
	})
	return *b
}

// finish ends a build with an image, or with an error, and returns its release.
func (r *rig) finish(b model.Build, failure *model.Error) model.Release {
	r.t.Helper()
	o := store.BuildOutcome{Status: model.BuildSucceeded, Image: image(len(b.ID)), Runtime: "static", Now: time.Now()}
	if failure != nil {
		o = store.BuildOutcome{Status: model.BuildFailed, Err: failure, Now: time.Now()}
	}
	if err := r.store.FinishBuild(r.t.Context(), b.ID, "b1", o); err != nil {
		r.t.Fatal(err)
	}
	if failure != nil {
		return model.Release{}
	}
	b, err := r.store.Build(r.t.Context(), b.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	rel, err := r.store.ReleaseByID(r.t.Context(), b.ReleaseID)
	if err != nil {
		r.t.Fatal(err)
	}
	return rel
}

func shaOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
