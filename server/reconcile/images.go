package reconcile

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/retention"
	"github.com/dinp/dinp/server/dispatch"
)

// How far back an app's releases are looked at when an agent asks for its images,
// and how many it may want at hand.
const (
	leastHistory = 10
	mostKept     = 20
)

// unused answers an agent whose disk fills up which images apps need. It is asked
// only then: nobody has to tell ten thousand nodes of each release.
func (c *Core) unused(ctx context.Context, e dispatch.Unused, now time.Time) {
	n := c.heard(e.Session, now)
	if n == nil || c.reload || c.safe != nil {
		return // what people want is not known for sure
	}
	q := c.inquiry(e)
	if err := c.readHistory(ctx, q); err != nil {
		c.log().Warn("question about images not answered", "node", n.Name, "err", err)
		return
	}
	var keep, free []string
	for _, app := range slices.Sorted(maps.Keys(q.images)) {
		k, f := q.answer(app)
		keep, free = append(keep, k...), append(free, f...)
	}
	e.Session.Needed(keep, free)
}

// inquiry is what is asked of some apps' images, and what is known of the apps.
type inquiry struct {
	keep   int
	images map[string][]string   // by the app's name, which their repository has
	owners map[string][]*history // of that name: a deleted app's may be another's by now
}

// history is an app's newest releases.
type history struct {
	app      *app
	ids      []string
	complete bool
	releases []retention.Release
}

func (c *Core) inquiry(e dispatch.Unused) *inquiry {
	q := &inquiry{keep: min(max(e.Keep, 0), mostKept), images: map[string][]string{}, owners: map[string][]*history{}}
	for _, image := range e.Images {
		repository, _, _ := strings.Cut(image, "@")
		if name, ok := strings.CutPrefix(repository, model.AppRepository("")); ok {
			q.images[name] = append(q.images[name], image)
		}
	}
	for _, a := range c.apps {
		if q.images[a.Name] != nil {
			q.owners[a.Name] = append(q.owners[a.Name], newHistory(a, max(leastHistory, 3*q.keep)))
		}
	}
	return q
}

// newHistory names the releases that matter: those in use, and the newest others
// that were ever rolled out.
func newHistory(a *app, newest int) *history {
	deployed := slices.SortedFunc(maps.Values(a.deployments), func(x, y model.Deployment) int {
		return cmp.Or(y.StartedAt.Compare(x.StartedAt), cmp.Compare(x.ReleaseID, y.ReleaseID))
	})
	h := &history{app: a, complete: len(deployed) <= newest}
	for i, d := range deployed {
		if i < newest || !d.Ended() {
			h.ids = append(h.ids, d.ReleaseID)
		}
		if !d.Ended() {
			h.ids = append(h.ids, d.FromReleaseID)
		}
	}
	if h.ids = append(h.ids, a.ReleaseID); a.DeletedAt.IsZero() {
		h.ids = append(h.ids, a.lastGood)
	}
	for _, r := range a.rows {
		h.ids = append(h.ids, r.ReleaseID)
	}
	slices.Sort(h.ids)
	h.ids = slices.DeleteFunc(slices.Compact(h.ids), func(id string) bool { return id == "" })
	return h
}

// readHistory reads the releases of an inquiry, of which memory has few.
func (c *Core) readHistory(ctx context.Context, q *inquiry) error {
	missing, known := map[string]bool{}, map[string]model.Release{}
	each := func(f func(*history)) {
		for _, owners := range q.owners {
			for _, h := range owners {
				f(h)
			}
		}
	}
	each(func(h *history) {
		for _, id := range h.ids {
			if r, ok := c.releases[id]; ok {
				known[id] = r
			} else {
				missing[id] = true
			}
		}
	})
	if len(missing) > 0 {
		got, err := c.deps.Store.ReleasesByID(ctx, slices.Sorted(maps.Keys(missing)))
		if err != nil {
			return err
		}
		maps.Copy(known, got)
	}
	each(func(h *history) { h.fill(known) })
	return nil
}

// fill turns what is known of the releases into what retention asks.
func (h *history) fill(known map[string]model.Release) {
	runs := map[string]bool{}
	for _, r := range h.app.rows {
		runs[r.ReleaseID] = true
	}
	for id, d := range h.app.deployments {
		if !d.Ended() {
			runs[id], runs[d.FromReleaseID] = true, true
		}
	}
	for _, id := range h.ids {
		r, ok := known[id]
		if !ok {
			h.complete = false // it is not there to be read
			continue
		}
		h.releases = append(h.releases, retention.Release{
			ID: id, AppID: h.app.ID, Number: r.Number, Image: r.Spec.Image, Wanted: id == h.app.ReleaseID, Runs: runs[id] || id == h.app.lastGood && h.app.DeletedAt.IsZero(),
			Served: h.app.deployments[id].Status == model.DeploymentSucceeded, Deleted: h.app.DeletedAt,
		})
	}
}

// answer says which of the images of an app's name are needed, and which not.
func (q *inquiry) answer(name string) (keep, free []string) {
	needs, spares := map[string]bool{}, map[string]int{}
	for _, h := range q.owners[name] {
		k, f := retention.OnHost(q.images[name], h.releases, h.complete, q.keep)
		for _, image := range k {
			needs[image] = true
		}
		for _, image := range f {
			spares[image]++
		}
	}
	for _, image := range q.images[name] {
		switch {
		case needs[image]:
			keep = append(keep, image)
		case spares[image] == len(q.owners[name]):
			free = append(free, image)
		}
	}
	return keep, free
}
