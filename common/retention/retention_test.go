package retention

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	now   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	rules = Rules{Keep: 2, Deleted: 24 * time.Hour}
)

func release(number int, change ...func(*Release)) Release {
	r := Release{ID: fmt.Sprint("r", number), AppID: "a", Number: number, Image: fmt.Sprint("i", number)}
	for _, f := range change {
		f(&r)
	}
	return r
}

func served(r *Release)  { r.Served = true }
func wanted(r *Release)  { r.Wanted = true }
func runs(r *Release)    { r.Runs = true }
func pinned(r *Release)  { r.Pinned = true }
func deleted(r *Release) { r.Deleted = now.Add(-time.Hour) }
func longDeleted(r *Release) {
	r.Deleted = now.Add(-48 * time.Hour)
}

func TestKeep_WhatRunsIsWantedPinnedOrNearStays(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []Release
		want map[string]string
	}{
		{"the newest", []Release{release(1), release(2), release(3)}, map[string]string{"r3": Recent, "r2": Recent}},
		{"the newest that served, past failures", []Release{release(1, served), release(2, served), release(3, served), release(4), release(5)},
			map[string]string{"r5": Recent, "r4": Recent, "r3": Served, "r2": Served}},
		{"different images, not the same one again", []Release{release(1, served), release(2, served), release(3, served, func(r *Release) { r.Image = "i2" }), release(4), release(5)},
			map[string]string{"r5": Recent, "r4": Recent, "r3": Served, "r2": Served, "r1": Served}},
		{"wanted, running and pinned however old", []Release{release(1, wanted), release(2, runs), release(3, pinned), release(4), release(5), release(6)},
			map[string]string{"r1": Wanted, "r2": Runs, "r3": Pinned, "r5": Recent, "r6": Recent}},
		{"of a deleted app what could be brought back", []Release{release(1, deleted), release(2, deleted, wanted), release(3, deleted)}, map[string]string{"r2": Undo}},
		{"of an app long deleted only what still runs", []Release{release(1, longDeleted, runs), release(2, longDeleted, wanted)}, map[string]string{"r1": Runs}},
	} {
		if d := cmp.Diff(c.want, Keep(c.in, rules, now)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestKeep_NeverDropsWhatRunsOrIsPinnedAndIsFairToEachApp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Release
		for n := range rapid.IntRange(0, 30).Draw(t, "releases") {
			r := release(n+1, func(r *Release) {
				r.AppID = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "app")
				r.Image = rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "image")
				r.Served, r.Runs, r.Pinned, r.Wanted = rapid.Bool().Draw(t, "served"), rapid.Bool().Draw(t, "runs"), rapid.Bool().Draw(t, "pinned"), rapid.Bool().Draw(t, "wanted")
			})
			all = append(all, r)
		}
		kept := Keep(all, rules, now)
		newest := map[string]int{}
		for i := len(all) - 1; i >= 0; i-- {
			r := all[i]
			newest[r.AppID]++
			if must := r.Runs || r.Pinned || r.Wanted || newest[r.AppID] <= rules.Keep; must && kept[r.ID] == "" {
				t.Fatalf("dropped %+v", r)
			}
		}
	})
}
