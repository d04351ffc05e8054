package store

import (
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

func TestBuildsBefore_AreTheAppsOwnThatSucceeded(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		shop, other := newApp(t, s, "shop"), newApp(t, s, "other")
		if got, err := s.LastBuilt(ctx, shop.ID); err != nil || got != (BuiltBefore{}) {
			t.Errorf("before the first build: %+v, %v", got, err)
		}
		created := 0
		end := func(appID, artifact string, status model.BuildStatus, deploy *model.DeployRequest) model.Build {
			t.Helper()
			b, err := s.CreateBuild(ctx, model.Build{AppID: appID, Artifact: artifact, Filename: "a.war", Deploy: deploy}, admin)
			check(t, err)
			_, err = s.ClaimBuild(ctx, "b", t0, t0.Add(time.Minute))
			check(t, err)
			o := BuildOutcome{Status: status, Runtime: "tomcat", Now: t0}
			if status == model.BuildSucceeded {
				o.Image = anImage
			} else {
				o.Err = model.E(model.CodeBuildFailed, "no")
			}
			check(t, s.FinishBuild(ctx, b.ID, "b", o))
			created++
			_, err = s.db.ExecContext(ctx, `UPDATE builds SET created_ms = ? WHERE id = ?`, created, b.ID) // two may be queued in one millisecond
			check(t, err)
			return b
		}
		first := end(shop.ID, "aa", model.BuildSucceeded, &model.DeployRequest{})
		second := end(shop.ID, "bb", model.BuildSucceeded, nil)
		end(shop.ID, "cc", model.BuildFailed, &model.DeployRequest{})
		end(other.ID, "aa", model.BuildSucceeded, &model.DeployRequest{})
		if got, err := s.LastBuilt(ctx, shop.ID); err != nil || got != (BuiltBefore{ID: second.ID, Image: anImage, Artifact: "bb"}) {
			t.Errorf("last built: %+v, %v; want %s, which made no release", got, err, second.ID)
		}
		if got, err := s.BuiltFrom(ctx, shop.ID, "aa"); err != nil || got != (BuiltBefore{ID: first.ID, Image: anImage, Artifact: "aa", Release: 1}) {
			t.Errorf("built from aa: %+v, %v; want %s, which made v1", got, err, first.ID)
		}
		if got, err := s.BuiltFrom(ctx, shop.ID, "cc"); err != nil || got.ID != "" {
			t.Errorf("built from what failed: %+v, %v", got, err)
		}
	})
}
