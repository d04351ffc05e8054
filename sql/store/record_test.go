package store

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

func TestIdempotency(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		begin := func(user, key, hash string, now time.Time) (*Answer, error) {
			return s.BeginIdempotent(ctx, user, key, hash, now)
		}
		for _, user := range []string{"u1", "u2"} { // keys are each user's own
			a, err := begin(user, "k", "h", t0)
			if check(t, err); a != nil {
				t.Errorf("%s: the first request got %v", user, a)
			}
		}
		_, err := begin("u1", "k", "h", t0)
		wantCode(t, err, model.CodeConflict) // still at work
		check(t, s.EndIdempotent(ctx, "u1", "k", Answer{201, `{"ü":1}`}))
		if a, err := begin("u1", "k", "h", t0.Add(time.Hour)); err != nil || a == nil || *a != (Answer{201, `{"ü":1}`}) {
			t.Errorf("the second request got %v, %v", a, err)
		}
		_, err = begin("u1", "k", "other", t0)
		wantCode(t, err, model.CodeConflict)
		if a, err := begin("u1", "K", "h", t0); err != nil || a != nil {
			t.Errorf("a key in capitals got %v, %v", a, err)
		}
		check(t, s.EndIdempotent(ctx, "u2", "k", Answer{}))
		if a, err := begin("u2", "k", "h", t0); err != nil || a != nil {
			t.Errorf("a request that failed cannot be tried again: %v, %v", a, err)
		}
		if a, err := begin("u1", "k", "other", t0.Add(25*time.Hour)); err != nil || a != nil {
			t.Errorf("a day later the key still means %v, %v", a, err)
		}
	})
}

func TestIdempotency_OneOfManyBegins(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		begun := 0
		for _, err := range together(12, func(int) error {
			_, err := s.BeginIdempotent(t.Context(), "u1", "k", "h", t0)
			return err
		}) {
			if err == nil {
				begun++
			} else {
				wantCode(t, err, model.CodeConflict)
			}
		}
		if begun != 1 {
			t.Errorf("%d requests with one key were let through", begun)
		}
	})
}

func TestEvents_Page(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for i := range 7 {
			check(t, s.AddEvent(ctx, model.Event{Verb: fmt.Sprint(i), AppID: fmt.Sprintf("app%d", i%2)}))
		}
		verb := func(e model.Event) string { return e.Verb }
		all, err := s.Events(ctx, EventFilter{})
		check(t, err)
		if got := ids(all, verb); got != "[6 5 4 3 2 1 0]" {
			t.Fatalf("all are %s", got)
		}
		for want, f := range map[string]EventFilter{
			"[6 5]": {Limit: 2}, "[4 3]": {Before: all[1].ID, Limit: 2}, "[5 6]": {After: all[2].ID}, "[3 4]": {After: all[4].ID, Limit: 2},
			"[5 3 1]": {AppID: "app1"}, "[3]": {AppID: "app1", After: all[5].ID, Before: all[1].ID}, "[]": {AppID: "app9"},
		} {
			got, err := s.Events(ctx, f)
			check(t, err)
			if g := ids(got, verb); g != want {
				t.Errorf("%+v: got %s, want %s", f, g, want)
			}
		}
		if all[0].Outcome != "ok" || all[0].Detail != "{}" || all[0].At.IsZero() {
			t.Errorf("the defaults are %+v", all[0])
		}
	})
}

func TestEvents_LongTextIsClippedAndStays(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		long := strings.Repeat("ü", 9000)
		check(t, s.AddEvent(t.Context(), model.Event{Actor: long, From: long, Verb: long, Subject: long, Message: long, Outcome: long, Detail: `"` + long + `"`}))
		got, err := s.Events(t.Context(), EventFilter{})
		check(t, err)
		if e := got[0]; len(e.Actor) != 64 || len(e.Message) != 8000 || !utf8.ValidString(e.Subject) || len(e.Detail) != 18002 {
			t.Errorf("lengths %d, %d, %d", len(e.Actor), len(e.Message), len(e.Detail))
		}
	})
}

func TestClip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "s"), rapid.IntRange(0, 20).Draw(t, "n")
		got := clip(s, n)
		if len(got) > n || !strings.HasPrefix(s, got) || !utf8.ValidString(got) || len(s) > n && len(got) < n-3 {
			t.Fatalf("%q clipped to %d is %q", s, n, got)
		}
	})
}

func TestAccounts(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		u, err := s.CreateUser(ctx, model.User{Name: "ann", PasswordHash: "$argon2id$x", Role: model.Member}, admin)
		check(t, err)
		_, err = s.CreateUser(ctx, model.User{Name: "ann"}, admin)
		wantCode(t, err, model.CodeConflict)
		team, err := s.CreateTeam(ctx, "web", admin)
		check(t, err)
		_, err = s.CreateTeam(ctx, "web", admin)
		wantCode(t, err, model.CodeConflict)
		for _, role := range []model.TeamRole{model.Viewer, model.Owner} {
			check(t, s.SetMembership(ctx, Membership{team.ID, u.ID, role}, admin))
		}
		actor, err := s.ActorOf(ctx, u.ID)
		check(t, err)
		if d := cmp.Diff(model.Actor{UserID: u.ID, Name: "ann", Role: model.Member, Teams: map[string]model.TeamRole{team.ID: model.Owner}}, actor); d != "" {
			t.Error(d)
		}
		tok, err := s.CreateToken(ctx, model.Token{UserID: u.ID, Name: "ci", Hash: "h1", ExpiresAt: t0.Add(time.Hour)}, admin)
		check(t, err)
		check(t, s.CreateLogin(ctx, model.Session{Hash: "l1", UserID: u.ID, ExpiresAt: time.Now().Add(time.Hour)}, admin))
		check(t, s.SetPassword(ctx, u.ID, "$argon2id$y", admin))
		_, err = s.LoginByHash(ctx, "l1", time.Now())
		wantCode(t, err, model.CodeUnauthentic) // a new password ends all logins
		if got, err := s.UserByID(ctx, u.ID); err != nil || got.PasswordHash != "$argon2id$y" {
			t.Errorf("the user is %+v, %v", got, err)
		}
		check(t, s.DeleteUser(ctx, u.ID, admin))
		for what, err := range map[string]error{"user": third(s.UserByName(ctx, "ann")), "token": third(s.TokenByHash(ctx, tok.Hash, t0))} {
			if err == nil {
				t.Errorf("the %s of a deleted user is still there", what)
			}
		}
		if ms, err := s.Memberships(ctx, ""); err != nil || len(ms) != 0 {
			t.Errorf("memberships of a deleted user: %v, %v", ms, err)
		}
	})
}

func third[T any](_ T, err error) error { return err }

func TestTokens_ExpireAndNoteTheirUse(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for name, expires := range map[string]time.Time{"short": t0.Add(time.Hour), "forever": {}} {
			_, err := s.CreateToken(ctx, model.Token{UserID: "u1", Name: name, Hash: name, ExpiresAt: expires}, admin)
			check(t, err)
		}
		for _, now := range []time.Time{t0, t0.Add(30 * time.Second), t0.Add(2 * time.Minute)} {
			_, err := s.TokenByHash(ctx, "short", now)
			check(t, err)
		}
		got, err := s.TokenByHash(ctx, "short", t0.Add(2*time.Minute))
		if check(t, err); !got.UsedAt.Equal(t0.Add(2 * time.Minute)) {
			t.Errorf("used at %v", got.UsedAt)
		}
		_, err = s.TokenByHash(ctx, "short", t0.Add(time.Hour))
		wantCode(t, err, model.CodeUnauthentic)
		check(t, third(s.TokenByHash(ctx, "forever", t0.AddDate(10, 0, 0))))
		_, err = s.TokenByHash(ctx, "unknown", t0)
		wantCode(t, err, model.CodeUnauthentic)
		wantCode(t, s.DeleteToken(ctx, "u2", got.ID, admin), model.CodeNotFound) // another user's
		check(t, s.DeleteToken(ctx, "u1", got.ID, admin))
		if ts, err := s.Tokens(ctx, "u1"); err != nil || len(ts) != 1 || ts[0].Name != "forever" {
			t.Errorf("left %v, %v", ts, err)
		}
	})
}

func TestLogins_Expire(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		soon := time.Now().Add(time.Hour)
		check(t, s.CreateLogin(ctx, model.Session{Hash: "l1", UserID: "u1", ExpiresAt: soon}, admin))
		check(t, third(s.LoginByHash(ctx, "l1", soon.Add(-time.Second))))
		_, err := s.LoginByHash(ctx, "l1", soon)
		wantCode(t, err, model.CodeUnauthentic)
		check(t, s.DeleteLogin(ctx, "l1"))
		_, err = s.LoginByHash(ctx, "l1", time.Now())
		wantCode(t, err, model.CodeUnauthentic)
	})
}
