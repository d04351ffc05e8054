package reconcile

import (
	"cmp"
	"slices"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/place"
)

// loss is the loss of one node, tried on a copy of the index, where all apps on it
// are steady: then what the planner would do is known without asking it. Each primary
// on the node becomes suspect and is placed anew, by app and slot, as
// plan.Compute orders it; nothing else moves.
type loss struct {
	c      *Core
	x      *place.Index
	view   *place.View
	noRoom *noRoom
	lost   *node
	taken  []took // to be given back
	out    outcome
}

// took is what was reserved on a node of the copy.
type took struct {
	node        int
	memory, cpu int64
}

// outcome is what the loss of a node would bring.
type outcome struct {
	placed, misfits int
	example         string   // of the misfits, the first
	interrupted     []string // apps that serve on this node alone, by name
}

// loseSteady tries the loss of a node on which all apps are steady, and leaves the
// copy as it was.
func (c *Core) loseSteady(n *node, apps []*app) outcome {
	x := c.survey.index
	at, ok := x.Number(n.ID)
	if !ok {
		return outcome{}
	}
	before := x.Node(at)
	gone := before
	gone.Status = model.NodeLost
	x.Set(gone)
	l := loss{c: c, x: x, view: &c.view0, noRoom: &c.survey.noRoom, lost: n}
	slices.SortFunc(apps, func(a, b *app) int { return cmp.Compare(a.ID, b.ID) })
	for _, a := range apps {
		l.app(a)
	}
	for _, t := range slices.Backward(l.taken) {
		x.Release(t.node, t.memory, t.cpu)
		x.Starting(t.node, -1)
	}
	x.Set(before)
	return l.out
}

// app replaces what an app has on the node. Singletons and what is paused are not
// replaced.
func (l *loss) app(a *app) {
	if !slices.ContainsFunc(a.rows, func(r *row) bool { return r.node != l.lost }) {
		l.out.interrupted = append(l.out.interrupted, a.Name)
	}
	if a.Paused || a.Singleton {
		return
	}
	spec := l.c.releases[a.ReleaseID].Spec
	req := place.For(a.App, spec, "")
	l.lookFrom(a)
	for _, r := range a.rows {
		if r.node == l.lost {
			l.replace(a, &req)
		}
	}
}

// lookFrom sets the view by which placement sees an app that is steady: none of its
// instances has failed.
func (l *loss) lookFrom(a *app) {
	l.view.Reset()
	for _, r := range a.rows {
		if at, known := l.x.Number(r.NodeID); known {
			l.view.Add(l.x, at, 1)
			l.view.Image(at)
		}
	}
	for id, n := range a.failedOn {
		if at, known := l.x.Number(id); known && a.failuresOf == a.ReleaseID {
			l.view.Fail(at, n)
		}
	}
}

func (l *loss) replace(a *app, req *place.Request) {
	at, refused := l.noRoom.pick(l.x, req, l.view)
	if at < 0 {
		if l.out.misfits++; l.out.misfits == 1 {
			l.out.example = a.Name + ": " + refused.Error(a.Name).Message
		}
		return
	}
	l.out.placed++
	l.x.Reserve(at, req.MemoryMiB, req.CPUMilli)
	l.x.Starting(at, 1)
	l.view.Add(l.x, at, 1)
	l.taken = append(l.taken, took{at, req.MemoryMiB, req.CPUMilli})
}

// allSteady reports whether all of these apps are steady, and how many instances it
// had to look at: an app that was found to be is not asked again in a pass. One that
// was not is, because in a term that is young all come to be one after another.
func (s *survey) allSteady(apps []*app) (all bool, looked int) {
	for _, a := range apps {
		if s.steady[a] {
			continue
		}
		looked += len(a.rows)
		if !a.steady() {
			return false, looked
		}
		s.steady[a] = true
	}
	return true, looked
}
