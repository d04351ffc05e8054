package store

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func TestApp_RoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		made := newApp(t, s, "shop")
		byName, err := s.App(t.Context(), "shop")
		check(t, err)
		byID, err := s.AppByID(t.Context(), made.ID)
		check(t, err)
		made.CreatedAt, made.UpdatedAt = byName.CreatedAt, byName.UpdatedAt // kept in milliseconds
		if byName != made || byID != made {
			t.Errorf("made %v\nread %v\n and %v", made, byName, byID)
		}
		_, err = s.App(t.Context(), "nowhere")
		wantCode(t, err, model.CodeNotFound)
		_, err = s.CreateApp(t.Context(), "Shop", "team1", admin)
		wantCode(t, err, model.CodeBadAppName)
	})
}

func TestApp_NameIsUniqueAmongTheLiving(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		first := newApp(t, s, "shop")
		_, err := s.CreateApp(ctx, "shop", "team2", admin)
		wantCode(t, err, model.CodeAppTaken)
		check(t, s.DeleteApp(ctx, first.ID, admin))
		_, err = s.App(ctx, "shop")
		wantCode(t, err, model.CodeNotFound)

		second := newApp(t, s, "shop")
		_, err = s.UndeleteApp(ctx, "shop", admin)
		wantCode(t, err, model.CodeAppTaken)
		check(t, s.DeleteApp(ctx, second.ID, admin)) // two deleted ones have the name
		nextMilli()
		third := newApp(t, s, "shop")
		check(t, s.DeleteApp(ctx, third.ID, admin))

		back, err := s.UndeleteApp(ctx, "shop", admin)
		check(t, err)
		if back.Generation != third.Generation+2 || !back.DeletedAt.IsZero() {
			t.Errorf("brought back as %+v", back)
		}
		got, err := s.App(ctx, "shop")
		if check(t, err); got.Generation != back.Generation {
			t.Errorf("generation %d was returned, %d is stored", back.Generation, got.Generation)
		}
		_, err = s.UndeleteApp(ctx, "never", admin)
		wantCode(t, err, model.CodeNotFound)
	})
}

// nextMilli lets the clock go on by a millisecond: no less is kept.
func nextMilli() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() <= now; {
		runtime.Gosched()
	}
}

func TestApp_BroughtBackAtOnceByMany(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		check(t, s.DeleteApp(t.Context(), a.ID, admin))
		won := 0
		for _, err := range together(8, func(int) error {
			_, err := s.UndeleteApp(t.Context(), "shop", admin)
			return err
		}) {
			if err == nil {
				won++
			}
		}
		got, err := s.App(t.Context(), "shop")
		if check(t, err); won != 1 || got.Generation != a.Generation+2 {
			t.Errorf("brought back %d times, generation %d", won, got.Generation)
		}
	})
}

func TestApp_CreatedAtOnceByMany(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		made := 0
		for _, err := range together(20, func(int) error {
			_, err := s.CreateApp(t.Context(), "shop", "team1", admin)
			return err
		}) {
			if err == nil {
				made++
			} else {
				wantCode(t, err, model.CodeAppTaken)
			}
		}
		if made != 1 {
			t.Errorf("%d apps of one name were made", made)
		}
	})
}

func TestApps_PagesAndTeams(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for i, name := range []string{"c", "a", "b", "d"} {
			_, err := s.CreateApp(ctx, name, fmt.Sprintf("team%d", i%2), admin)
			check(t, err)
		}
		for _, c := range []struct {
			teams []string
			after string
			n     int
			want  string
		}{{nil, "", 0, "[a b c d]"}, {nil, "b", 1, "[c]"}, {[]string{"team0"}, "", 0, "[b c]"}, {[]string{"team0", "team1"}, "c", 0, "[d]"}, {[]string{}, "", 0, "[]"}} {
			got, err := s.Apps(ctx, c.teams, c.after, c.n)
			check(t, err)
			if names := ids(got, func(a model.App) string { return a.Name }); names != c.want {
				t.Errorf("%+v: got %s", c, names)
			}
		}
	})
}

func TestEditApp_GenerationDecides(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		won := 0
		for i, err := range together(10, func(i int) error {
			n := i + 2
			_, err := s.EditApp(ctx, a.ID, a.Generation, AppEdit{Instances: &n}, admin)
			return err
		}) {
			if err == nil {
				won++
			} else if !model.IsCode(err, model.CodeStale) {
				t.Errorf("edit %d: %v", i, err)
			}
		}
		got, err := s.App(ctx, "shop")
		if check(t, err); won != 1 || got.Generation != a.Generation+1 {
			t.Errorf("%d edits won, generation %d → %d", won, a.Generation, got.Generation)
		}
		same := got.Instances
		if again, err := s.EditApp(ctx, a.ID, 0, AppEdit{Instances: &same}, admin); err != nil || again.Generation != got.Generation {
			t.Errorf("an edit that changes nothing made generation %d, %v", again.Generation, err)
		}
	})
}

func TestEditApp_200ConcurrentIncrementsAreKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		increment := func(ctx context.Context) error {
			for {
				now, err := s.AppByID(ctx, a.ID)
				if err != nil {
					return err
				}
				n := now.Instances + 1
				if _, err = s.EditApp(ctx, a.ID, now.Generation, AppEdit{Instances: &n}, admin); !model.IsCode(err, model.CodeStale) {
					return err
				}
			}
		}
		for _, err := range together(8, func(int) error {
			for range 25 {
				if err := increment(t.Context()); err != nil {
					return err
				}
			}
			return nil
		}) {
			check(t, err)
		}
		if got, err := s.AppByID(t.Context(), a.ID); err != nil || got.Instances != 201 {
			t.Errorf("%d instances after 200 increments of 1, %v", got.Instances, err)
		}
	})
}

func TestEditApp_BlindEditsAtOnceAllSucceed(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		for i, err := range together(16, func(i int) error {
			n := i + 2
			_, err := s.EditApp(t.Context(), a.ID, 0, AppEdit{Instances: &n}, admin) // takes any generation
			return err
		}) {
			if err != nil {
				t.Errorf("edit %d: %v", i, err)
			}
		}
	})
}

func TestEditApp_Bounds(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		for _, n := range []int{-1, model.MaxInstances + 1} {
			_, err := s.EditApp(t.Context(), a.ID, 0, AppEdit{Instances: &n}, admin)
			wantCode(t, err, model.CodeBadSize)
		}
		yes := true
		got, err := s.EditApp(t.Context(), a.ID, 0, AppEdit{Paused: &yes, Maintenance: &yes}, admin)
		if check(t, err); !got.Paused || !got.Maintenance || got.Instances != 1 {
			t.Errorf("got %+v", got)
		}
		check(t, s.DeleteApp(t.Context(), a.ID, admin))
		_, err = s.EditApp(t.Context(), a.ID, 0, AppEdit{Paused: &yes}, admin)
		wantCode(t, err, model.CodeNotFound)
		wantCode(t, s.DeleteApp(t.Context(), a.ID, admin), model.CodeNotFound)
	})
}

// Names are compared byte by byte in both databases, as Go does (DEFECT 40).
func TestNames_AreCaseSensitive(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, name := range []string{"ann", "Ann", "ANN", "änn"} {
			_, err := s.CreateUser(ctx, model.User{Name: name, Role: model.Member}, admin)
			check(t, err)
			_, err = s.CreateTeam(ctx, name, admin)
			check(t, err)
		}
		for _, name := range []string{"ann", "Ann"} {
			if u, err := s.UserByName(ctx, name); err != nil || u.Name != name {
				t.Errorf("%s: got %v, %v", name, u, err)
			}
		}
		_, err := s.UserByName(ctx, "aNN")
		wantCode(t, err, model.CodeNotFound)
		newApp(t, s, "shop")
		_, err = s.App(ctx, "SHOP")
		wantCode(t, err, model.CodeNotFound)
		_, err = s.App(ctx, "shop ") // a collation that pads would find it
		wantCode(t, err, model.CodeNotFound)
	})
}

func TestEvents_TellWhatWasDone(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		n := 3
		_, err := s.EditApp(ctx, a.ID, 0, AppEdit{Instances: &n}, admin)
		check(t, err)
		check(t, s.DeleteApp(ctx, a.ID, admin))
		got, err := s.Events(ctx, EventFilter{AppID: a.ID})
		check(t, err)
		if verbs := ids(got, func(e model.Event) string { return e.Verb }); verbs != "[app.delete app.scale app.create]" {
			t.Errorf("the events are %s", verbs)
		}
		got[1].ID, got[1].At, got[1].Detail = 0, t0, ""
		if d := cmp.Diff(got[1], model.Event{At: t0, Actor: "admin", From: "10.0.0.9", Verb: "app.scale", AppID: a.ID, AppName: "shop", Subject: "shop", Message: "instances 1 → 3", Outcome: "ok"}); d != "" {
			t.Error(d)
		}
	})
}
