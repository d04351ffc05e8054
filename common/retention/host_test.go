package retention

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func failed(*Release) {}

func TestOnHost_WhatIsWantedRunsOrServedLastIsNeeded(t *testing.T) {
	images := []string{"i1", "i2", "i3", "i4", "i5"}
	for _, c := range []struct {
		name         string
		in           []Release
		complete     bool
		needed, free []string
	}{
		{"after a deploy the release before stays", []Release{release(1, served), release(2, served), release(3, served), release(4, served), release(5, served, wanted, runs)}, true,
			[]string{"i4", "i5"}, []string{"i1", "i2", "i3"}},
		{"failures push no good one out", []Release{release(1, served), release(2, served), release(3, failed), release(4, failed), release(5, wanted)}, true,
			[]string{"i1", "i2", "i4", "i5"}, []string{"i3"}},
		{"a rollout needs both", []Release{release(1, served), release(2, served, runs), release(3, served), release(4, served), release(5, runs)}, true,
			[]string{"i2", "i3", "i4", "i5"}, []string{"i1"}},
		{"what is wanted is, before it runs anywhere", []Release{release(1, served, wanted), release(2, served), release(3, served)}, true,
			[]string{"i1", "i2", "i3"}, []string{"i4", "i5"}},
		{"older ones than are known may have served last", []Release{release(4, failed), release(5, wanted, served)}, false,
			[]string{"i4", "i5"}, nil},
		{"not when as many have served since", []Release{release(3, served), release(4, served), release(5, wanted)}, false,
			[]string{"i3", "i4", "i5"}, []string{"i1", "i2"}},
		{"a deleted app needs what still runs", []Release{release(4, deleted, runs), release(5, deleted, wanted)}, true,
			[]string{"i4"}, []string{"i1", "i2", "i3", "i5"}},
		{"an app that is no more needs nothing", nil, true, nil, images},
	} {
		needed, free := OnHost(images, c.in, c.complete, 2)
		if !slices.Equal(needed, c.needed) || !slices.Equal(free, c.free) {
			t.Errorf("%s: needed %v, free %v, want %v and %v", c.name, needed, free, c.needed, c.free)
		}
	}
}

func TestOnHost_OfTheNewestOnlyNothingIsFreeThatAllWouldKeep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Release
		for n := range rapid.IntRange(0, 20).Draw(t, "releases") {
			all = append(all, release(n+1, func(r *Release) {
				r.Image = fmt.Sprint("i", rapid.IntRange(0, 9).Draw(t, "image"))
				r.Served = rapid.Bool().Draw(t, "served")
			}))
		}
		images := []string{"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9"}
		keep := rapid.IntRange(0, 4).Draw(t, "keep")
		wantedNow, spared := OnHost(images, all, true, keep)
		if len(wantedNow)+len(spared) != len(images) {
			t.Fatalf("of some nothing is said: %v, %v", wantedNow, spared)
		}
		newest := all[min(len(all), rapid.IntRange(0, 20).Draw(t, "unknown")):]
		needed, free := OnHost(images, newest, len(newest) == len(all), keep)
		for _, image := range free {
			if slices.Contains(needed, image) || slices.Contains(wantedNow, image) {
				t.Fatalf("%s is free, and needed", image)
			}
		}
	})
}
