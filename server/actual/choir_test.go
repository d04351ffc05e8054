package actual

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestChoirs_AreSetsOfWhichThereIsOneEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := choirs{}
		var sets [4]*choir
		var want [4]map[string]bool
		for i := range want {
			want[i] = map[string]bool{}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i, m := rapid.IntRange(0, 3).Draw(t, "set"), fmt.Sprint("hm", rapid.IntRange(0, 4).Draw(t, "monitor"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0: // it is gone
				for k := range sets {
					sets[k] = all.without(sets[k], m)
					delete(want[k], m)
				}
				all.drop(m)
			case 1, 2:
				sets[i] = all.without(sets[i], m)
				delete(want[i], m)
			default:
				sets[i] = all.with(sets[i], m)
				want[i][m] = true
			}
			for k, s := range sets {
				var members []string
				if s != nil {
					members = s.monitors
				}
				if len(members) != len(want[k]) || !slices.IsSorted(members) || slices.ContainsFunc(members, func(m string) bool { return !want[k][m] }) {
					t.Fatalf("set %d has %v, want %v", k, members, want[k])
				}
				for j, other := range sets {
					if other != nil && s != nil && slices.Equal(other.monitors, s.monitors) != (other == s) {
						t.Fatalf("sets %d and %d are alike, and there are two of them: %v", j, k, s.monitors)
					}
				}
			}
		}
	})
}
