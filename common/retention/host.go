package retention

import (
	"math"
	"time"
)

// OnHost divides images of an app's name that lie on a host although nothing there
// runs them: needed are those that the app may want again without a pull, free
// those that it does not. all are the app's newest releases; when they are not
// complete, an image that is not kept for one of them may still be one of the last
// that served, unless so many are known. Then it is in neither list.
func OnHost(images []string, all []Release, complete bool, keep int) (needed, free []string) {
	kept, served := map[string]bool{}, map[string]bool{}
	never := time.Duration(math.MinInt64) // a host keeps nothing for an app that may be brought back
	reasons := Keep(all, Rules{Keep: keep, Deleted: never}, time.Time{})
	for _, r := range all {
		if reasons[r.ID] != "" {
			kept[r.Image] = true
		}
		if r.Served {
			served[r.Image] = true
		}
	}
	complete = complete || len(all) >= keep && len(served) >= keep
	for _, image := range images {
		switch {
		case kept[image]:
			needed = append(needed, image)
		case complete:
			free = append(free, image)
		}
	}
	return needed, free
}
