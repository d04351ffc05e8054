package images

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRemovable_LeavesWhatRunsWhatIsFreshAndTheLastOfEachApp(t *testing.T) {
	now := time.Unix(1e9, 0)
	ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
	used := map[string]time.Time{
		"a@1": ago(500), "a@2": ago(400), "a@3": ago(300), "a@4": ago(200),
		"b@1": ago(600), "b@2": ago(5), "b@3": ago(4), "b@4": ago(3),
		"c@1": ago(9999),
	}
	for _, c := range []struct {
		present []string
		keep    int
		want    []string
	}{
		{nil, 2, []string{"b@1", "a@1", "a@2"}},
		{[]string{"a@1"}, 2, []string{"b@1", "a@2"}},
		{[]string{"a@1", "b@1"}, 1, []string{"a@2", "a@3"}},
		{nil, 0, []string{"c@1", "b@1", "a@1", "a@2", "a@3", "a@4"}},
	} {
		present := map[string]bool{}
		for _, p := range c.present {
			present[p] = true
		}
		if got := removable(used, present, c.keep, now); !slices.Equal(got, c.want) {
			t.Errorf("present %v, keep %d: %v, want %v", c.present, c.keep, got, c.want)
		}
	}
}

func TestRemovable_NeverWhatIsPresentOrFresh_AndKeepsEnoughOfEachApp(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		now := time.Unix(1e9, 0)
		used, present := map[string]time.Time{}, map[string]bool{}
		for n := range rapid.IntRange(0, 30).Draw(r, "images") {
			name := fmt.Sprintf("%s@%d", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "app"), n)
			used[name] = now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(r, "minutes")) * time.Minute)
			present[name] = rapid.Bool().Draw(r, "present")
		}
		keep := rapid.IntRange(0, 4).Draw(r, "keep")
		got := removable(used, present, keep, now)
		gone := map[string]bool{}
		for n, name := range got {
			gone[name] = true
			if present[name] || now.Sub(used[name]) < fresh {
				r.Fatalf("%s must stay", name)
			}
			if n > 0 && used[got[n-1]].After(used[name]) {
				r.Fatalf("%s goes before %s, which was used longer ago", got[n-1], name)
			}
		}
		for _, app := range []string{"a", "b", "c"} {
			all, left := 0, 0
			for name := range used {
				if name[:1] == app {
					all++
					if !gone[name] {
						left++
					}
				}
			}
			if left < min(all, keep) {
				r.Fatalf("%d of %d images of %s are left, %d are to be kept", left, all, app, keep)
			}
		}
	})
}

func TestUsage_RoundsUpAndCountsWhatRootKeepsAsGone(t *testing.T) {
	if u := usage(1000, 300, 200, 1<<20); u != (Usage{FreeMiB: 200, TotalMiB: 1000, Percent: 78}) { // 700 of 900
		t.Errorf("%+v", u)
	}
	if u := usage(0, 0, 0, 4096); u != (Usage{}) {
		t.Errorf("an empty file system: %+v", u)
	}
}
