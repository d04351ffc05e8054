package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func TestFinishBuild_MakesTheReleaseWithIt(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		n, memory := 3, int64(512)
		b := newBuild(t, s, a.ID, &model.DeployRequest{Instances: &n, MemoryMiB: &memory, Env: map[string]string{"A": "1"}, Note: "first"})
		claim(t, s, "b", t0)
		check(t, s.FinishBuild(ctx, b.ID, "b", built()))
		app, err := s.AppByID(ctx, a.ID)
		check(t, err)
		rel, err := s.ReleaseByID(ctx, app.ReleaseID)
		check(t, err)
		want := model.DeployRequest{MemoryMiB: &memory, Env: map[string]string{"A": "1"}, Command: []string{"run"}}.Apply(model.Spec{Image: anImage, Runtime: "tomcat", Artifact: "ab"})
		if d := cmp.Diff(want, rel.Spec); d != "" || rel.Number != 1 || rel.BuildID != b.ID || rel.Note != "first" || app.Instances != 3 {
			t.Errorf("release %+v of %+v; %s", rel, app, d)
		}
		got, err := s.Build(ctx, b.ID)
		if check(t, err); got.Status != model.BuildSucceeded || got.ReleaseID != rel.ID || got.Image != anImage || !got.EndedAt.Equal(t0) || !got.Ended() {
			t.Errorf("the build is %+v", got)
		}
	})
}

func TestFinishBuild_AfterTheAppIsDeleted(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		b := newBuild(t, s, a.ID, &model.DeployRequest{})
		claim(t, s, "b", t0)
		check(t, s.DeleteApp(ctx, a.ID, admin))
		check(t, s.FinishBuild(ctx, b.ID, "b", built()))
		got, err := s.Build(ctx, b.ID)
		check(t, err)
		if got.Status != model.BuildFailed || got.ReleaseID != "" || got.Error == nil || got.Error.Code != model.CodeNotFound {
			t.Errorf("the build is %+v with %v", got, got.Error)
		}
		if rs, err := s.Releases(ctx, a.ID, 0, 0); err != nil || len(rs) != 0 {
			t.Errorf("a deleted app has releases %v, %v", rs, err)
		}
	})
}

// A refusal found only after the release was inserted must not leave it behind.
func TestFinishBuild_RefusedReleaseLeavesNone(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		many := model.MaxInstances + 1
		b := newBuild(t, s, a.ID, &model.DeployRequest{Instances: &many})
		claim(t, s, "b", t0)
		check(t, s.FinishBuild(ctx, b.ID, "b", built()))
		got, err := s.Build(ctx, b.ID)
		check(t, err)
		rs, err := s.Releases(ctx, a.ID, 0, 0)
		check(t, err)
		if got.Status != model.BuildFailed || got.ReleaseID != "" || len(rs) != 0 {
			t.Errorf("the build is %s with release %q; the app has releases %v", got.Status, got.ReleaseID, rs)
		}
	})
}

func TestFinishBuild_WhileTheAppIsEdited(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		const builds = 6
		for range builds {
			newBuild(t, s, a.ID, &model.DeployRequest{})
		}
		for _, err := range together(2*builds, func(i int) error {
			if i%2 == 0 {
				n := i + 1
				_, err := s.EditApp(t.Context(), a.ID, 0, AppEdit{Instances: &n}, admin)
				return err
			}
			builder := fmt.Sprintf("b%d", i)
			var b *model.Build
			for b == nil {
				var err error
				if b, err = s.ClaimBuild(t.Context(), builder, t0, t0.Add(time.Minute)); err != nil {
					return err
				}
			}
			return s.FinishBuild(t.Context(), b.ID, builder, built())
		}) {
			check(t, err)
		}
		bs, err := s.Builds(t.Context(), a.ID, time.Time{}, 0)
		check(t, err)
		for _, b := range bs {
			if b.Status != model.BuildSucceeded {
				t.Errorf("build %s is %s: %v", b.ID, b.Status, b.Error)
			}
		}
		if rs, err := s.Releases(t.Context(), a.ID, 0, 0); err != nil || len(rs) != builds {
			t.Errorf("%d releases of %d builds, %v", len(rs), builds, err)
		}
	})
}

func TestFinishBuild_Failed(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		b := newBuild(t, s, a.ID, &model.DeployRequest{})
		claim(t, s, "b", t0)
		check(t, s.SetBuildStep(ctx, b.ID, "b", "detect", "binary"))
		failure := model.E(model.CodeBuildFailed, "it broke").WithEvidence("line 1", "line 2").WithNext("look")
		check(t, s.FinishBuild(ctx, b.ID, "b", BuildOutcome{Status: model.BuildFailed, Err: failure, Now: t0}))
		got, err := s.Build(ctx, b.ID)
		check(t, err)
		if d := cmp.Diff(failure, got.Error); d != "" || got.Status != model.BuildFailed || got.Runtime != "binary" {
			t.Errorf("the build is %+v; %s", got, d)
		}
	})
}
