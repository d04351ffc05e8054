package images

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// fresh is how long an image is left alone after it was used: it may just have
// been pulled for an instance that is about to be made.
const fresh = 10 * time.Minute

// removable lists the images that no instance needs, those first whose last use is
// longest ago. Of each repository, which is an app's, the last keep that were used
// stay: a rollback needs them.
func removable(used map[string]time.Time, present map[string]bool, keep int, now time.Time) []string {
	names := make([]string, 0, len(used))
	for name := range used {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(used[b].Compare(used[a]), cmp.Compare(a, b)) })
	kept := map[string]int{}
	var out []string
	for _, name := range names {
		app, _, _ := strings.Cut(name, "@")
		kept[app]++
		if kept[app] > keep && !present[name] && now.Sub(used[name]) >= fresh {
			out = append(out, name)
		}
	}
	slices.Reverse(out)
	return out
}
