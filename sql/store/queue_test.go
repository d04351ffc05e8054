package store

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

func TestClaimBuild_TeamsTakeTurns(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		many, few := ofTeam(t, s, "many"), ofTeam(t, s, "few")
		for range 6 {
			newBuild(t, s, many.ID, nil)
		}
		nextMilli()
		newBuild(t, s, few.ID, nil)
		newBuild(t, s, few.ID, nil)
		var order []string
		for b := claim(t, s, "b1", t0); b != nil; b = claim(t, s, "b1", t0) {
			order = append(order, b.AppName)
			check(t, s.FinishBuild(t.Context(), b.ID, "b1", BuildOutcome{Status: model.BuildFailed, Err: model.E(model.CodeBuildFailed, "x"), Now: t0}))
		}
		if got := strings.Join(order, " "); got != "many few many few many many many many" {
			t.Errorf("order %s", got)
		}
	})
}

func TestClaimBuild_ATeamWithBuildsUnderWayWaitsForOneWithout(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		slow, quick := ofTeam(t, s, "slow"), ofTeam(t, s, "quick")
		newBuild(t, s, slow.ID, nil)
		newBuild(t, s, slow.ID, nil)
		if b := claim(t, s, "b1", t0); b.AppName != "slow" {
			t.Fatalf("claimed %+v", b)
		}
		for range 3 { // its build goes on while another team's come and go
			newBuild(t, s, quick.ID, nil)
			b := claim(t, s, "b2", t0)
			if b == nil || b.AppName != "quick" {
				t.Fatalf("claimed %+v", b)
			}
			check(t, s.FinishBuild(t.Context(), b.ID, "b2", BuildOutcome{Status: model.BuildFailed, Err: model.E(model.CodeBuildFailed, "x"), Now: t0}))
		}
		if b := claim(t, s, "b2", t0); b == nil || b.AppName != "slow" {
			t.Errorf("the last one is %+v", b)
		}
	})
}

func TestFairer_IsAnOrderAndStarvesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		teams := rapid.IntRange(1, 6).Draw(t, "teams")
		turns := make([]turn, teams)
		for i := range turns {
			turns[i] = turn{team: string(rune('a' + i)), oldest: rapid.Int64Range(0, 9).Draw(t, "oldest"), last: rapid.Int64Range(0, 9).Draw(t, "last")}
		}
		begun := map[string]int{}
		for now := int64(10); now < int64(10+3*teams); now++ { // one builder; every team always has more
			slices.SortFunc(turns, fairer)
			begun[turns[0].team]++
			turns[0].last = now
		}
		for _, v := range turns {
			if begun[v.team] != 3 {
				t.Fatalf("after three rounds: %v", begun)
			}
		}
	})
}

func TestClaimBuild_WhatWasCancelledAfterItsBuilderDiedIsNotBegunAgain(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		b := newBuild(t, s, newApp(t, s, "shop").ID, nil)
		claim(t, s, "dead", t0)
		_, err := s.CancelBuild(t.Context(), b.ID, admin)
		check(t, err)
		if got := claim(t, s, "b2", t0.Add(time.Hour)); got != nil {
			t.Errorf("claimed %+v", got)
		}
		got, err := s.Build(t.Context(), b.ID)
		if err != nil || got.Status != model.BuildCancelled || got.Error == nil || got.Error.Code != model.CodeBuildStopped {
			t.Errorf("build %+v, %v", got, err)
		}
	})
}

// ofTeam makes an app of a team with its name.
func ofTeam(t testing.TB, s *Store, name string) model.App {
	t.Helper()
	a, err := s.CreateApp(t.Context(), name, name, admin)
	check(t, err)
	return a
}
