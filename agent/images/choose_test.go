package images

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func ago(minutes int) time.Time { return start.Add(-time.Duration(minutes) * time.Minute) }

func TestRemovable_LeavesWhatRunsWhatIsFreshAndTheLastOfEachApp(t *testing.T) {
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
		if got := (stock{used: used, present: set(c.present...)}).removable(c.keep, start); !slices.Equal(got, c.want) {
			t.Errorf("present %v, keep %d: %v, want %v", c.present, c.keep, got, c.want)
		}
	}
}

func set(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}

// The last good release was used here long before three that failed.
func TestRemovable_TheLeadersWordGoesBeforeWhatWasUsedLast(t *testing.T) {
	s := stock{used: map[string]time.Time{"a@good": ago(900), "a@bad1": ago(300), "a@bad2": ago(200), "a@now": ago(100)}, present: set("a@now")}
	for _, c := range []struct {
		name  string
		words map[string]word
		want  []string
	}{
		{"no word: the best guess", nil, []string{"a@good", "a@bad1"}},
		{"needed stays, free goes", map[string]word{"a@good": {true, ago(1)}, "a@bad1": {false, ago(1)}, "a@bad2": {false, ago(1)}}, []string{"a@bad1", "a@bad2"}},
		{"needed counts for as long as nothing else is said", map[string]word{"a@good": {true, ago(5000)}}, []string{"a@bad1"}},
		{"needed counts after a restart", map[string]word{"a@good": {needed: true}}, []string{"a@bad1"}},
		{"free may be over by now", map[string]word{"a@bad2": {false, ago(3)}}, []string{"a@good", "a@bad1"}},
		{"what runs stays whatever is said", map[string]word{"a@now": {false, ago(1)}}, []string{"a@good", "a@bad1"}},
	} {
		s.words = c.words
		if got := s.removable(2, start); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDoubtful_IsWhatTheLeaderHasNotSpokenOfLately(t *testing.T) {
	s := stock{
		used:    map[string]time.Time{"a@1": ago(100), "a@2": ago(99), "a@3": ago(98), "a@4": ago(97), "a@5": ago(96), "a@6": ago(1), "a@7": ago(200)},
		present: set("a@5"),
		words:   map[string]word{"a@1": {true, ago(1)}, "a@2": {true, ago(11)}, "a@3": {false, ago(1)}, "a@4": {false, ago(3)}, "a@7": {needed: true}},
	}
	if got, want := s.doubtful(start), []string{"a@7", "a@2", "a@4"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for n := range 2 * maxAsked {
		s.used[fmt.Sprint("b@", n)] = ago(300)
	}
	if got := s.doubtful(start); len(got) != maxAsked {
		t.Errorf("%d are asked about at once, want %d", len(got), maxAsked)
	}
}

func TestRemovable_NeverWhatIsPresentFreshOrNeeded_AndKeepsEnoughOfEachApp(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := stock{map[string]time.Time{}, map[string]bool{}, map[string]word{}}
		for n := range rapid.IntRange(0, 30).Draw(r, "images") {
			name := fmt.Sprintf("%s@%d", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "app"), n)
			s.used[name] = ago(rapid.IntRange(0, 100).Draw(r, "minutes"))
			s.present[name] = rapid.Bool().Draw(r, "present")
			if rapid.Bool().Draw(r, "word") {
				s.words[name] = word{rapid.Bool().Draw(r, "needed"), ago(rapid.IntRange(0, 20).Draw(r, "said"))}
			}
		}
		keep := rapid.IntRange(0, 4).Draw(r, "keep")
		got := s.removable(keep, start)
		gone := map[string]bool{}
		for n, name := range got {
			gone[name] = true
			if s.present[name] || start.Sub(s.used[name]) < fresh || s.words[name].needed {
				r.Fatalf("%s must stay", name)
			}
			if n > 0 && s.used[got[n-1]].After(s.used[name]) {
				r.Fatalf("%s goes before %s, which was used longer ago", got[n-1], name)
			}
		}
		for _, app := range []string{"a", "b", "c"} {
			all, left := 0, 0
			for name := range s.used {
				if name[:1] == app && !s.words[name].free(start) {
					all++
					if !gone[name] {
						left++
					}
				}
			}
			// Those of which the leader says that nobody needs them may be among the last used.
			free := 0
			for _, name := range slices.Collect(maps.Keys(s.last(keep))) {
				if name[:1] == app && s.words[name].free(start) {
					free++
				}
			}
			if left < min(all, keep-free) {
				r.Fatalf("%d of %d images of %s are left, %d are to be kept", left, all, app, keep-free)
			}
		}
		for name := range s.words {
			if _, used := s.used[name]; used && s.words[name].free(start) && !s.present[name] && start.Sub(s.used[name]) >= fresh && !gone[name] {
				r.Fatalf("%s is free, and stays", name)
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
