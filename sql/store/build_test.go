package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func newBuild(t testing.TB, s *Store, appID string, deploy *model.DeployRequest) model.Build {
	t.Helper()
	b, err := s.CreateBuild(t.Context(), model.Build{AppID: appID, Artifact: "ab", Filename: "shop.war", Size: 7, Deploy: deploy}, admin)
	check(t, err)
	return b
}

func claim(t testing.TB, s *Store, builder string, now time.Time) *model.Build {
	t.Helper()
	b, err := s.ClaimBuild(t.Context(), builder, now, now.Add(time.Minute))
	check(t, err)
	return b
}

func built() BuildOutcome {
	return BuildOutcome{Status: model.BuildSucceeded, Image: anImage, Runtime: "tomcat", Command: []string{"run"}, Key: "k1", Now: t0}
}

func TestBuild_RoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		memory := int64(512)
		b := newBuild(t, s, a.ID, &model.DeployRequest{MemoryMiB: &memory, Env: map[string]string{"A": "1"}, Note: "first"})
		got, err := s.Build(t.Context(), b.ID)
		check(t, err)
		b.CreatedAt = got.CreatedAt
		if d := cmp.Diff(b, got); d != "" {
			t.Error(d)
		}
		_, err = s.Build(t.Context(), "nowhere")
		wantCode(t, err, model.CodeNotFound)
		check(t, s.DeleteApp(t.Context(), a.ID, admin))
		_, err = s.CreateBuild(t.Context(), model.Build{AppID: a.ID}, admin)
		wantCode(t, err, model.CodeNotFound)
	})
}

func TestClaimBuild_NeverTwice(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		const builds = 30
		for range builds {
			newBuild(t, s, a.ID, nil)
		}
		var mu sync.Mutex
		claims := map[string]string{}
		for _, err := range together(6, func(i int) error {
			builder := fmt.Sprintf("builder%d", i)
			for {
				b, err := s.ClaimBuild(t.Context(), builder, t0, t0.Add(time.Minute))
				if err != nil {
					return err
				}
				if b == nil {
					return nil
				}
				mu.Lock()
				if other, taken := claims[b.ID]; taken {
					err = fmt.Errorf("build %s went to %s and %s", b.ID, other, builder)
				}
				claims[b.ID] = builder
				mu.Unlock()
				if err != nil {
					return err
				}
			}
		}) {
			check(t, err)
		}
		// A builder that loses every race of one look may go home early; the rest is
		// still there for the next look.
		for b := claim(t, s, "last", t0); b != nil; b = claim(t, s, "last", t0) {
			claims[b.ID] = "last"
		}
		if len(claims) != builds {
			t.Errorf("%d of %d builds were claimed", len(claims), builds)
		}
	})
}

func TestClaimBuild_OldestFirst(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		a := newApp(t, s, "shop")
		first := newBuild(t, s, a.ID, nil)
		nextMilli()
		second := newBuild(t, s, a.ID, nil)
		for _, want := range []string{first.ID, second.ID} {
			if got := claim(t, s, "b", t0); got == nil || got.ID != want || got.Status != model.BuildRunning || got.BuilderID != "b" || !got.LeaseUntil.Equal(t0.Add(time.Minute)) {
				t.Errorf("claimed %+v, want %s", got, want)
			}
		}
		if got := claim(t, s, "b", t0); got != nil {
			t.Errorf("claimed %+v of an empty queue", got)
		}
	})
}

func TestClaimBuild_TakesOverWhatALeaseLeft(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		b := newBuild(t, s, newApp(t, s, "shop").ID, nil)
		claim(t, s, "dead", t0)
		if got := claim(t, s, "next", t0.Add(30*time.Second)); got != nil {
			t.Fatalf("took %s over from a builder that lives", got.ID)
		}
		_, err := s.RenewBuild(ctx, b.ID, "dead", t0.Add(3*time.Minute))
		check(t, err)
		if got := claim(t, s, "next", t0.Add(2*time.Minute)); got != nil {
			t.Fatalf("took %s over from a builder that renewed", got.ID)
		}
		if got := claim(t, s, "next", t0.Add(4*time.Minute)); got == nil || got.ID != b.ID {
			t.Fatalf("did not take over: %v", got)
		}
		for name, err := range map[string]error{
			"renew":  second(s.RenewBuild(ctx, b.ID, "dead", t0.Add(time.Hour))),
			"step":   s.SetBuildStep(ctx, b.ID, "dead", "push", ""),
			"finish": s.FinishBuild(ctx, b.ID, "dead", built()),
		} {
			if !errors.Is(err, ErrLost) {
				t.Errorf("%s by a builder that lost its claim: %v, want %v", name, err, ErrLost)
			}
		}
		check(t, s.FinishBuild(ctx, b.ID, "next", built()))
		if err := s.FinishBuild(ctx, b.ID, "next", built()); !errors.Is(err, ErrLost) {
			t.Errorf("finished twice: %v", err)
		}
		if got := claim(t, s, "b", t0.Add(time.Hour)); got != nil {
			t.Errorf("claimed a build that has ended")
		}
	})
}

// A build that kills whoever takes it must not go round for ever.
func TestClaimBuild_GivesUpOnWhatEndsItsBuilders(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		b := newBuild(t, s, newApp(t, s, "shop").ID, &model.DeployRequest{})
		now := t0
		for i := range 5 { // builders that stop in good order do not count
			if got := claim(t, s, "polite", now); got == nil || got.Attempts != 1 {
				t.Fatalf("claim %d: %+v", i, got)
			}
			check(t, s.GiveBackBuild(ctx, b.ID, "polite", now))
		}
		for i := range MaxAttempts {
			if got := claim(t, s, fmt.Sprint("victim", i), now); got == nil || got.ID != b.ID {
				t.Fatalf("attempt %d: %+v", i+1, got)
			}
			now = now.Add(2 * time.Minute)
		}
		if got := claim(t, s, "next", now); got != nil {
			t.Fatalf("begun a %dth time: %+v", MaxAttempts+1, got)
		}
		got, err := s.Build(ctx, b.ID)
		check(t, err)
		if got.Status != model.BuildFailed || got.Error == nil || got.Error.Code != model.CodeBuildKills || !strings.Contains(got.Error.Message, "victim2") || got.ReleaseID != "" || got.EndedAt.IsZero() {
			t.Errorf("build %+v, error %+v", got, got.Error)
		}
		if err := s.GiveBackBuild(ctx, b.ID, "victim2", now); !errors.Is(err, ErrLost) {
			t.Errorf("given back after its end: %v", err)
		}
	})
}

func second(_ bool, err error) error { return err }

// An expired build that several find at once goes to one of them, and one that
// its owner renews at that moment stays with it.
func TestClaimBuild_TakeOverIsACompareAndSwap(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		b := newBuild(t, s, newApp(t, s, "shop").ID, nil)
		claim(t, s, "owner", t0)
		late := t0.Add(time.Hour)
		var mu sync.Mutex
		owners := map[string]bool{}
		for _, err := range together(8, func(i int) error {
			builder := fmt.Sprintf("b%d", i)
			var mine bool
			if i == 0 {
				builder = "owner"
				_, err := s.RenewBuild(t.Context(), b.ID, builder, late.Add(time.Minute))
				if err != nil && !errors.Is(err, ErrLost) {
					return err
				}
				mine = err == nil
			} else {
				got, err := s.ClaimBuild(t.Context(), builder, late, late.Add(time.Minute))
				if err != nil {
					return err
				}
				mine = got != nil
			}
			mu.Lock()
			defer mu.Unlock()
			owners[builder] = mine
			return nil
		}) {
			check(t, err)
		}
		got, err := s.Build(t.Context(), b.ID)
		check(t, err)
		n := 0
		for builder, mine := range owners {
			if mine && builder != "owner" {
				n++
			}
		}
		if n > 1 || !owners[got.BuilderID] {
			t.Errorf("%s has the build; it went to %v", got.BuilderID, owners)
		}
	})
}

func TestCancelBuild(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		queued := newBuild(t, s, a.ID, nil)
		got, err := s.CancelBuild(ctx, queued.ID, admin)
		if check(t, err); got.Status != model.BuildCancelled || got.Error == nil || got.EndedAt.IsZero() {
			t.Errorf("a queued build became %+v", got)
		}
		if b := claim(t, s, "b", t0); b != nil {
			t.Errorf("a cancelled build was claimed")
		}
		running := newBuild(t, s, a.ID, nil)
		claim(t, s, "b", t0)
		got, err = s.CancelBuild(ctx, running.ID, admin)
		if check(t, err); got.Status != model.BuildRunning || !got.Cancel {
			t.Errorf("a running build became %+v", got)
		}
		if cancel, err := s.RenewBuild(ctx, running.ID, "b", t0.Add(time.Hour)); err != nil || !cancel {
			t.Errorf("its builder is told %v, %v", cancel, err)
		}
		check(t, s.FinishBuild(ctx, running.ID, "b", BuildOutcome{Status: model.BuildCancelled, Now: t0}))
		got, err = s.CancelBuild(ctx, running.ID, admin)
		if check(t, err); got.Status != model.BuildCancelled {
			t.Errorf("an ended build became %+v", got)
		}
	})
}

func TestBuildLog_KeepsOrderUnderConcurrency(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		b := newBuild(t, s, newApp(t, s, "shop").ID, nil)
		check(t, s.AppendBuildLog(ctx, b.ID, t0, nil))
		for _, err := range together(8, func(i int) error {
			for range 5 {
				if err := s.AppendBuildLog(ctx, b.ID, t0, []string{fmt.Sprintf("%d first", i), fmt.Sprintf("%d then", i)}); err != nil {
					return err
				}
			}
			return nil
		}) {
			check(t, err)
		}
		lines, err := s.BuildLog(ctx, b.ID, 0, 0)
		check(t, err)
		for i, l := range lines {
			if l.Seq != int64(i+1) || !l.At.Equal(t0) {
				t.Fatalf("line %d is %+v", i, l)
			}
			if i%2 == 1 && l.Text != strings.Replace(lines[i-1].Text, "first", "then", 1) {
				t.Errorf("%q comes after %q", l.Text, lines[i-1].Text)
			}
		}
		if rest, err := s.BuildLog(ctx, b.ID, 78, 1); err != nil || len(lines) != 80 || len(rest) != 1 || rest[0].Seq != 79 {
			t.Errorf("%d lines; after 78 comes %v, %v", len(lines), rest, err)
		}
	})
}

func TestBuildLog_TakesManyLinesAtATime(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		b := newBuild(t, s, newApp(t, s, "shop").ID, nil)
		var want []string
		for i := range 2*logRows + 1 {
			want = append(want, fmt.Sprint("line ", i))
		}
		check(t, s.AppendBuildLog(t.Context(), b.ID, t0, want))
		lines, err := s.BuildLog(t.Context(), b.ID, 0, len(want)+1)
		check(t, err)
		for i, l := range lines {
			if l.Seq != int64(i+1) || l.Text != want[i] {
				t.Fatalf("line %d is %+v", i, l)
			}
		}
		if len(lines) != len(want) {
			t.Errorf("%d lines, want %d", len(lines), len(want))
		}
	})
}

func TestBuilds_ListAndKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a, other := newApp(t, s, "shop"), newApp(t, s, "blog")
		b := newBuild(t, s, a.ID, nil)
		nextMilli()
		newBuild(t, s, other.ID, nil)
		claim(t, s, "b", t0)
		check(t, s.FinishBuild(ctx, b.ID, "b", built()))
		all, err := s.Builds(ctx, "", time.Time{}, 0)
		check(t, err)
		older, err := s.Builds(ctx, "", all[0].CreatedAt, 0)
		check(t, err)
		if len(all) != 2 || all[0].AppName != "blog" || len(older) != 1 || older[0].ID != b.ID {
			t.Errorf("all %v, older %v", all, older)
		}
		for key, want := range map[string]string{"k1": anImage, "k2": ""} {
			if got, _, err := s.FindBuiltImage(ctx, a.ID, key); err != nil || got != want {
				t.Errorf("key %s: got %q, %v", key, got, err)
			}
		}
		if got, _, err := s.FindBuiltImage(ctx, other.ID, "k1"); err != nil || got != "" {
			t.Errorf("another app's image: %q, %v", got, err)
		}
	})
}
