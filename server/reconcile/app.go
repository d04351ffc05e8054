package reconcile

import (
	"cmp"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/plan"
)

// app is one app's desired state and what the leader remembers of it.
type app struct {
	model.App
	host        string // on which it answers
	domains     []string
	deployments map[string]model.Deployment
	lastGood    string
	rows        []*row // by slot and ID
	slots       map[int]plan.Slot
	failures    []plan.Failure // of failuresOf's instances
	failuresOf  string         // release ID
	failedOn    map[string]int // of those, by node ID
	unplaceable time.Time
	refusal     *model.Error
	awaited     bool              // silent nodes would have the room
	roomless    map[int]time.Time // since when a slot that is to have an instance finds no room, by slot
	pending     []plan.Pending
	tail        *tail
	trial       trial
	keys        []string // route keys as last Set, sorted; the publisher has what they say
	guests      []string // IDs of instances without a row that serve it, see leaveSafe
	strays      []string // IDs of instances without a row that a singleton waits for
	unheard     int      // rows on nodes that have not told in this term what they run
}

// tail is the output of an instance, asked for to explain why a release fails.
type tail struct {
	releaseID string
	lines     []string
	done      bool
}

// app returns an app, made when it is new.
func (c *Core) app(id string) *app {
	a := c.apps[id]
	if a == nil {
		a = &app{App: model.App{ID: id}, deployments: map[string]model.Deployment{}, slots: map[int]plan.Slot{}}
		c.apps[id] = a
		c.unrouted[id] = true
	}
	return a
}

// drop forgets a deleted app that has no rows any more.
func (c *Core) drop(a *app) {
	c.unpublish(a)
	c.watch(a, "", time.Time{})
	for _, set := range []map[string]bool{c.dirty, c.waiting, c.unrouted, c.doubtful} {
		delete(set, a.ID)
	}
	delete(c.awaiting, a.ID)
	c.wakes.set(a.ID, time.Time{})
	delete(c.apps, a.ID)
}

// place finds where a row is, or would be, in the app's rows.
func (a *app) place(r *row) (int, bool) {
	return slices.BinarySearchFunc(a.rows, r, func(x, y *row) int {
		return cmp.Or(cmp.Compare(x.Slot, y.Slot), cmp.Compare(x.ID, y.ID))
	})
}

func (a *app) add(r *row) {
	if i, there := a.place(r); !there {
		a.rows = slices.Insert(a.rows, i, r)
	}
}

func (a *app) remove(r *row) {
	if i, there := a.place(r); there {
		a.rows = slices.Delete(a.rows, i, i+1)
	}
}

// wanted is how many instances are to be kept up: none of an app that is deleted,
// or whose first release has failed.
func (a *app) wanted() int {
	d := a.deployments[a.ReleaseID]
	if !a.DeletedAt.IsZero() || d.Status == model.DeploymentFailed && d.FromReleaseID == "" {
		return 0
	}
	return a.Instances
}

// complete reports whether an app has the rows that are wanted of it, no more and
// no less, and none of its slots waits or has failed.
func (a *app) complete() bool {
	d, ok := a.deployments[a.ReleaseID]
	return ok && d.Status == model.DeploymentSucceeded && a.DeletedAt.IsZero() && len(a.rows) == a.Instances && len(a.slots)+len(a.pending) == 0
}

// idle reports whether the planner has nothing to do for an app: it would return an
// empty plan.
func (a *app) idle() bool {
	if !a.complete() {
		return false
	}
	for _, d := range a.deployments {
		if !d.Ended() {
			return false
		}
	}
	for slot, r := range a.rows {
		if r.Slot != slot || !r.settled() || r.node.Status == model.NodeLost {
			return false
		}
	}
	return true
}

// steady reports whether an app runs as wished, so that the planner has nothing to
// do, whether or not it is routed so far and monitors have said so.
func (a *app) steady() bool {
	if !a.complete() {
		return false
	}
	for slot, r := range a.rows {
		if r.Slot != slot || !r.settled() || r.node.session == nil || r.node.Status != model.NodeReady {
			return false
		}
	}
	return true
}

// rests reports whether an app is as wished and nothing about it is under way,
// without allocating: a sweep asks it of every app.
func (c *Core) rests(a *app) bool {
	if !a.complete() || len(a.keys) == 0 {
		return false
	}
	served := c.deps.Routes.Served()
	for slot, r := range a.rows {
		if r.told == 0 || !r.rests(slot, served) {
			return false
		}
	}
	return true
}
