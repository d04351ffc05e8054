package images

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dinp/dinp/agent/journal"
)

// crowded is a node whose disk is full: a@4 runs, a@1 is what a rollback wants, and
// two that failed were used after it.
func crowded(t *testing.T) (*host, *Keeper) {
	h := newHost("a@1", "a@2", "a@3", "a@4")
	k := h.keeper(t, t.TempDir())
	for n, image := range []string{"a@1", "a@2", "a@3"} {
		k.Note(image, start.Add(time.Duration(n)*time.Hour))
	}
	h.base, h.present["a@4"] = 100, true
	return h, k
}

var later = start.Add(24 * time.Hour)

func TestKeeper_AsksTheLeaderFirst_AndKeepsWhatIsNeededHoweverLongUnused(t *testing.T) {
	h, k := crowded(t)
	k.Look(t.Context(), later)
	h.has(t, "a@1", "a@2", "a@3", "a@4")
	if images, keep := k.Question(); !slices.Equal(images, []string{"a@1", "a@2", "a@3"}) || keep != 1 {
		t.Fatalf("asked about %v, keep %d", images, keep)
	}
	if images, _ := k.Question(); images != nil {
		t.Errorf("asked twice: %v", images)
	}
	k.Answered([]string{"a@1"}, []string{"a@2", "a@3"}, later)
	k.Look(t.Context(), later)
	h.has(t, "a@1", "a@4")
	k.Look(t.Context(), later.Add(neededFor/2))
	if images, _ := k.Question(); images != nil {
		t.Errorf("asked again soon: %v", images)
	}
	k.Look(t.Context(), later.Add(neededFor))
	if images, _ := k.Question(); !slices.Equal(images, []string{"a@1"}) {
		t.Errorf("asked %v after a while", images)
	}
	k.Answered(nil, []string{"a@1"}, later.Add(neededFor))
	k.Look(t.Context(), later.Add(neededFor))
	h.has(t, "a@4")
}

func TestKeeper_LeaderThatDoesNotAnswer_IsWaitedForUntilTheNextLook(t *testing.T) {
	h, k := crowded(t)
	k.Look(t.Context(), later)
	h.has(t, "a@1", "a@2", "a@3", "a@4")
	k.Look(t.Context(), later.Add(every))
	h.has(t, "a@4") // of those used a@4 was last
}

func TestKeeper_WhatIsNeeded_IsNotForgottenWithTheAgent_NorRemovedWithoutALeader(t *testing.T) {
	h, _ := crowded(t)
	dir := t.TempDir()
	k := h.keeper(t, dir)
	k.Note("a@1", start)
	k.Note("a@2", start.Add(time.Hour))
	k.Look(t.Context(), later)
	k.Answered([]string{"a@1"}, nil, later)
	h.base = 0
	k.Look(t.Context(), later)
	if err := k.ledger.(*journal.Journal).Close(); err != nil {
		t.Fatal(err)
	}
	h.base = 100
	h.lookLeaderless(t, h.keeper(t, dir), later.Add(48*time.Hour))
	h.has(t, "a@1", "a@3", "a@4")
}

func TestKeeper_WordOnWhatItHasNotUsed_IsNotKept(t *testing.T) {
	_, k := crowded(t)
	k.Answered([]string{"x@1"}, []string{"x@2"}, later)
	if len(k.words) != 0 || k.unkept {
		t.Errorf("words: %v", k.words)
	}
}

func TestKeeper_ImageThatIsUsedAgain_IsFreeNoMore(t *testing.T) {
	h, k := crowded(t)
	k.Answered(nil, []string{"a@3"}, later)
	k.Note("a@3", later.Add(-fresh)) // an instance of it came and went
	k.cfg.Keep = 2
	h.lookLeaderless(t, k, later)
	h.has(t, "a@3", "a@4")
}

func TestKeeper_Run_LooksAgainWhenTheLeaderHasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost("a@1", "a@2")
		k := h.keeper(t, t.TempDir())
		h.base = 100
		k.Note("a@1", time.Now().Add(-2*fresh))
		k.Note("a@2", time.Now().Add(-fresh))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		synctest.Wait()
		images, _ := k.Question()
		begun := time.Now()
		k.Answered(images[:1], images[1:], time.Now())
		synctest.Wait()
		cancel()
		<-done
		if h.has(t, "a@1"); time.Since(begun) != 0 {
			t.Errorf("it took %s", time.Since(begun))
		}
	})
}
