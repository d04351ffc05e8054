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

// word is what the leader last said of an image that no instance here has.
type word struct {
	needed bool
	at     time.Time // when it came; zero: before this agent's start
}

// How long a leader's word counts. That an image is needed does until it says
// otherwise; it is only asked again. That none needs it may be over with the next
// deploy.
const (
	neededFor = 10 * time.Minute
	freeFor   = 2 * time.Minute
)

// free reports whether the leader has just said that no app needs the image.
func (w word) free(now time.Time) bool {
	return !w.needed && !w.at.IsZero() && now.Sub(w.at) < freeFor
}

// stock is what is known of a node's images.
type stock struct {
	used    map[string]time.Time // those that this node has used for an instance, and when last
	present map[string]bool      // of instances that are not gone
	words   map[string]word      // the leader's
}

// idle lists the images that no instance here has and that were not used just now,
// those first whose last use is longest ago.
func (s stock) idle(now time.Time) []string {
	var out []string
	for name, at := range s.used {
		if !s.present[name] && now.Sub(at) >= fresh {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(s.used[a].Compare(s.used[b]), cmp.Compare(b, a)) })
	return out
}

// doubtful lists the idle images of which the leader has said nothing of late, as
// many as are asked about at once.
func (s stock) doubtful(now time.Time) []string {
	out := slices.DeleteFunc(s.idle(now), func(name string) bool {
		w := s.words[name]
		return w.free(now) || w.needed && !w.at.IsZero() && now.Sub(w.at) < neededFor
	})
	return out[:min(len(out), maxAsked)]
}

// maxAsked keeps a question far below gRPC's limit of 4 MiB.
const maxAsked = 500

// removable lists the images that may go, those first whose last use is longest
// ago. What the leader called needed never does. Where it has said nothing of late,
// the last keep of each repository, which is an app's, that were used here stay:
// that is the best guess at what a rollback needs.
func (s stock) removable(keep int, now time.Time) []string {
	last := s.last(keep)
	return slices.DeleteFunc(s.idle(now), func(name string) bool {
		w := s.words[name]
		return w.needed || last[name] && !w.free(now)
	})
}

// last are the keep images of each repository that were used last.
func (s stock) last(keep int) map[string]bool {
	names := make([]string, 0, len(s.used))
	for name := range s.used {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(s.used[b].Compare(s.used[a]), cmp.Compare(a, b)) })
	count, out := map[string]int{}, map[string]bool{}
	for _, name := range names {
		app, _, _ := strings.Cut(name, "@")
		if count[app] < keep {
			count[app]++
			out[name] = true
		}
	}
	return out
}
