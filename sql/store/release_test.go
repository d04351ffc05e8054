package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func TestRelease_RoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		n := 4
		spec := model.Spec{Image: anImage, Runtime: "tomcat", Artifact: "ab", Command: []string{"./app", "--x"}, Env: map[string]string{"A": "ü\n\x01", "B": ""}, Health: "/healthz"}.WithDefaults()
		rel, app, err := s.CreateRelease(ctx, NewRelease{AppID: a.ID, Generation: a.Generation, Cause: model.CauseEnv, Note: "naïve ☕", BuildID: "b1", Instances: &n,
			Spec: func(model.Release) (model.Spec, error) { return spec, nil }}, admin)
		check(t, err)
		if rel.Number != 1 || app.ReleaseID != rel.ID || app.Instances != 4 || app.Generation != a.Generation+1 {
			t.Errorf("made %+v of %+v", rel, app)
		}
		got, err := s.Release(ctx, a.ID, 1)
		check(t, err)
		rel.CreatedAt = got.CreatedAt
		if d := cmp.Diff(rel, got); d != "" {
			t.Error(d)
		}
		_, err = s.Release(ctx, a.ID, 2)
		wantCode(t, err, model.CodeNotFound)
	})
}

func TestRelease_Refusals(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		_, _, err := newRelease(ctx, s, a.ID, 1)
		wantCode(t, err, model.CodeBadSize)
		_, _, err = s.CreateRelease(ctx, NewRelease{AppID: a.ID, Generation: 99, Spec: nil}, admin)
		wantCode(t, err, model.CodeStale)
		_, _, err = s.CreateRelease(ctx, NewRelease{AppID: a.ID, Spec: func(b model.Release) (model.Spec, error) { return b.Spec, nil }}, admin)
		wantCode(t, err, model.CodeNoRelease)
		own := errors.New("no change")
		if _, _, err = s.CreateRelease(ctx, NewRelease{AppID: a.ID, Spec: func(model.Release) (model.Spec, error) { return model.Spec{}, own }}, admin); !errors.Is(err, own) {
			t.Errorf("the caller's error became %v", err)
		}
		many := model.MaxInstances + 1
		_, _, err = s.CreateRelease(ctx, NewRelease{AppID: a.ID, Instances: &many, Spec: func(b model.Release) (model.Spec, error) {
			b.Spec.Image = anImage
			return b.Spec, nil
		}}, admin)
		wantCode(t, err, model.CodeBadSize)
		if rs, err := s.Releases(ctx, a.ID, 0, 0); err != nil || len(rs) != 0 {
			t.Errorf("refused releases left %v, %v", rs, err)
		}
	})
}

func TestRelease_NumbersHaveNoGapsUnderConcurrency(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		for i, err := range together(24, func(i int) error {
			for {
				_, _, err := newRelease(t.Context(), s, a.ID, int64(100+i))
				if !model.IsCode(err, model.CodeStale) {
					return err
				}
			}
		}) {
			if err != nil {
				t.Errorf("release %d: %v", i, err)
			}
		}
		rs, err := s.Releases(t.Context(), a.ID, 0, 0)
		check(t, err)
		memories := map[int64]bool{}
		for i, r := range rs {
			memories[r.Spec.MemoryMiB] = true
			if r.Number != len(rs)-i {
				t.Errorf("release %d of %d has number %d", i, len(rs), r.Number)
			}
		}
		app, err := s.AppByID(t.Context(), a.ID)
		if check(t, err); len(rs) != 24 || len(memories) != 24 || app.ReleaseID != rs[0].ID || app.Generation != a.Generation+24 {
			t.Errorf("%d releases of %d contents, %s is wanted and %s the last, generation %d", len(rs), len(memories), app.ReleaseID, rs[0].ID, app.Generation)
		}
	})
}

func TestRelease_ConcurrentEditsBuildOnEachOther(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		_, _, err := newRelease(t.Context(), s, a.ID, 128)
		check(t, err)
		names := []string{"A", "B", "C", "D", "E", "F", "G", "H"}
		for _, err := range together(len(names), func(i int) error {
			for {
				_, _, err := s.CreateRelease(t.Context(), NewRelease{AppID: a.ID, Cause: model.CauseEnv, Spec: func(base model.Release) (model.Spec, error) {
					return model.DeployRequest{Env: map[string]string{names[i]: "x"}}.Apply(base.Spec), nil
				}}, admin)
				if !model.IsCode(err, model.CodeStale) {
					return err
				}
			}
		}) {
			check(t, err)
		}
		app, err := s.AppByID(t.Context(), a.ID)
		check(t, err)
		r, err := s.ReleaseByID(t.Context(), app.ReleaseID)
		if check(t, err); len(r.Spec.Env) != len(names) {
			t.Errorf("of %d variables set at once, %v are left", len(names), r.Spec.Env)
		}
	})
}

func TestRelease_ListsByPageAndID(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		var want []string
		for i := range 5 {
			r, _, err := newRelease(ctx, s, a.ID, int64(100+i))
			check(t, err)
			want = append(want, r.ID)
		}
		page, err := s.Releases(ctx, a.ID, 4, 2)
		check(t, err)
		if got := ids(page, model.Release.Version); got != "[v3 v2]" {
			t.Errorf("the page before v4 is %s", got)
		}
		found, err := s.ReleasesByID(ctx, append(want, want[0], "nowhere", ""))
		if check(t, err); len(found) != 5 || found[want[2]].Number != 3 {
			t.Errorf("found %v", found)
		}
		if found, err = s.ReleasesByID(ctx, nil); err != nil || len(found) != 0 {
			t.Errorf("found %v, %v", found, err)
		}
	})
}

func TestRelease_EventTellsNamesOfVariablesOnly(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		_, _, err := s.CreateRelease(ctx, NewRelease{AppID: a.ID, Cause: model.CauseDeploy, Spec: func(b model.Release) (model.Spec, error) {
			b.Spec.Image, b.Spec.Env = anImage, map[string]string{"PASSWORD": "hunter2"}
			return b.Spec, nil
		}}, admin)
		check(t, err)
		es, err := s.Events(ctx, EventFilter{AppID: a.ID, Limit: 1})
		check(t, err)
		if es[0].Verb != "release.deploy" || es[0].Detail == "" || contains(es[0], "hunter2") || !contains(es[0], "PASSWORD") {
			t.Errorf("the event is %+v", es[0])
		}
	})
}

func contains(e model.Event, s string) bool { return strings.Contains(e.Detail+e.Message+e.Subject, s) }
