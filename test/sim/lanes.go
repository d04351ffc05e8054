package sim

import (
	"slices"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/runtime"
)

// errand is a call of the engine, with all who wait for its answer.
type errand struct {
	spec  runtime.Spec
	call  instance.Call
	tell  []func(answer)
	left  int // of those, how many wait no longer
	since time.Time
	begun bool
	over  bool
}

// ask asks the engine when it is its turn, as the gate of package instance does;
// who leaves waits for the answer no longer, and is told nothing.
func (a *agent) ask(s runtime.Spec, c instance.Call, done func(answer)) (leave func()) {
	t, fresh := a.lanes.Join(c.Op, s.Image)
	if fresh {
		t.Errand = &errand{spec: s, call: c, since: a.w.now}
		a.errands = append(a.errands, t.Errand)
	}
	e, gone := t.Errand, false
	e.tell = append(e.tell, func(ans answer) {
		if !gone {
			done(ans)
		}
	})
	a.begin()
	return func() {
		gone = true
		e.left++
		callOff := a.lanes.Leave(t)
		if e.left == len(e.tell) {
			a.finish(e) // what the daemon has taken in it does all the same
		}
		if callOff {
			a.lanes.End(t)
		}
		a.begin()
	}
}

// begin asks the engine what there is room for.
func (a *agent) begin() {
	for _, t := range a.lanes.Next() {
		e := t.Errand
		e.begun = true
		a.n.ask(a.p, e.spec, e.call, func(ans answer) {
			if e.over {
				return // it was called off
			}
			a.finish(e)
			a.lanes.End(t)
			a.begin()
			for _, tell := range e.tell {
				tell(ans)
			}
		})
	}
	a.w.check.lanes(a)
}

func (a *agent) finish(e *errand) {
	e.over = true
	a.errands = slices.DeleteFunc(a.errands, func(o *errand) bool { return o == e })
}
