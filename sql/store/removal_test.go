package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/retention"
)

var twoOfEach = retention.Rules{Keep: 2, Deleted: time.Hour, Recent: time.Hour}

func imageNo(n int) string { return fmt.Sprintf("dinp/apps/shop@sha256:%064x", n) }

// releaseOf makes a release with that image.
func releaseOf(t testing.TB, s *Store, appID string, n int) model.Release {
	t.Helper()
	r, _, err := s.CreateRelease(t.Context(), NewRelease{AppID: appID, Cause: model.CauseDeploy, Spec: func(base model.Release) (model.Spec, error) {
		spec := base.Spec
		spec.Image = imageNo(n)
		return spec, nil
	}}, admin)
	check(t, err)
	return r
}

func TestRemoval_WhatIsNotKeptMayNotBeReleasedAgain(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		var images []string
		var first model.Release
		for n := range 5 {
			r := releaseOf(t, s, a.ID, n)
			if images = append(images, r.Spec.Image); n == 0 {
				first = r
			}
		}
		check(t, s.SetPin(t.Context(), a.ID, 2, true, admin))
		until := time.Now().Add(time.Minute)
		remove, _, err := s.BeginRemoval(t.Context(), "shop", "gc1", images, twoOfEach, until)
		check(t, err)
		if want := []string{imageNo(0), imageNo(2)}; !slices.Equal(remove, want) {
			t.Errorf("to remove %v, want %v", remove, want)
		}
		_, _, err = s.CreateRelease(t.Context(), NewRelease{AppID: a.ID, Cause: model.CauseRollback, Spec: func(model.Release) (model.Spec, error) { return first.Spec, nil }}, admin)
		wantCode(t, err, model.CodeImageGone)
		wantCode(t, s.SetPin(t.Context(), a.ID, 1, true, admin), model.CodeImageGone)

		// Another collection keeps away, and so do builds, until this one has ended.
		again, _, err := s.BeginRemoval(t.Context(), "shop", "gc2", images, twoOfEach, until)
		if err != nil || len(again) != 0 {
			t.Errorf("a second collection got %v, %v", again, err)
		}
		b := newBuild(t, s, a.ID, &model.DeployRequest{})
		if got := claim(t, s, "b1", t0); got != nil {
			t.Errorf("claimed %+v during a removal", got)
		}
		check(t, s.EndRemoval(t.Context(), "shop", "gc1"))
		if got := claim(t, s, "b1", t0); got == nil || got.ID != b.ID {
			t.Fatalf("claimed %+v after it", got)
		}
		// And while that build goes on, nothing of the app is removed.
		none, h, err := s.BeginRemoval(t.Context(), "shop", "gc3", images, twoOfEach, until)
		if err != nil || len(none) != 0 || h.Building != b.ID {
			t.Errorf("during a build: %v, %+v, %v", none, h, err)
		}
		// A build that makes an image again makes it good again.
		o := built()
		o.Image = imageNo(0)
		check(t, s.FinishBuild(t.Context(), b.ID, "b1", o))
		if got, err := s.Build(t.Context(), b.ID); err != nil || got.Status != model.BuildSucceeded || got.ReleaseID == "" {
			t.Errorf("build %+v, %v", got, err)
		}
	})
}

func TestRemoval_ACrashedOneIsTakenUp(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		var images []string
		for n := range 4 {
			images = append(images, releaseOf(t, s, a.ID, n).Spec.Image)
		}
		_, _, err := s.BeginRemoval(t.Context(), "shop", "dead", images, twoOfEach, time.Now().Add(-time.Second))
		check(t, err)
		b := newBuild(t, s, a.ID, nil)
		if got := claim(t, s, "b1", t0); got == nil || got.ID != b.ID {
			t.Fatalf("claimed %+v", got)
		}
		check(t, s.FinishBuild(t.Context(), b.ID, "b1", BuildOutcome{Status: model.BuildFailed, Err: model.E(model.CodeBuildFailed, "x"), Now: t0}))
		remove, _, err := s.BeginRemoval(t.Context(), "shop", "next", images, twoOfEach, time.Now().Add(time.Minute))
		if want := images[:2]; err != nil || !slices.Equal(remove, want) {
			t.Errorf("to remove %v, %v; want %v", remove, err, want)
		}
	})
}

func TestRemoval_TheImageThatAnUndeleteNeedsStaysForAWhile(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		image := releaseOf(t, s, a.ID, 1).Spec.Image
		check(t, s.DeleteApp(t.Context(), a.ID, admin))
		until := time.Now().Add(time.Minute)
		if remove, _, err := s.BeginRemoval(t.Context(), "shop", "gc", []string{image}, twoOfEach, until); err != nil || len(remove) != 0 {
			t.Errorf("to remove %v, %v", remove, err)
		}
		remove, _, err := s.BeginRemoval(t.Context(), "shop", "gc", []string{image}, retention.Rules{Keep: 2, Deleted: time.Nanosecond}, until)
		if err != nil || !slices.Equal(remove, []string{image}) {
			t.Fatalf("to remove %v, %v", remove, err)
		}
		_, err = s.UndeleteApp(t.Context(), "shop", admin)
		wantCode(t, err, model.CodeImageGone)
	})
}

func TestArtifactRemoval_KeepsWhatIsNeededAndWhatCameLately(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		newBuild(t, s, a.ID, nil) // of artifact "ab"
		until := time.Now().Add(time.Minute)
		old := func(sha string) {
			check(t, s.TouchArtifact(t.Context(), sha, 7))
			_, err := s.db.ExecContext(t.Context(), `UPDATE artifacts SET touched_ms = 1 WHERE sha256 = ?`, sha)
			check(t, err)
		}
		old("ab")
		check(t, s.TouchArtifact(t.Context(), "fresh", 7))
		old("unused")
		for sha, want := range map[string]bool{"ab": false, "fresh": false, "never heard of": false, "unused": true} {
			held, err := s.BeginArtifactRemoval(t.Context(), sha, "gc", twoOfEach, until)
			if err != nil || held != want {
				t.Errorf("%s: held %v, %v", sha, held, err)
			}
		}
		wantCode(t, s.TouchArtifact(t.Context(), "unused", 7), model.CodeUnavailable)
		check(t, s.EndArtifactRemoval(t.Context(), "unused", "gc"))
		check(t, s.TouchArtifact(t.Context(), "unused", 7))
		if held, err := s.BeginArtifactRemoval(t.Context(), "unused", "gc", twoOfEach, until); err != nil || held {
			t.Errorf("brought again: held %v, %v", held, err)
		}
	})
}
