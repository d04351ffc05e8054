package reconcile

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/explain"
)

func TestExplain_ServingInstanceHasATimeAtEveryLink(t *testing.T) {
	t.Parallel()
	r := serving(t)
	for _, s := range r.explained("shop").Steps {
		if !s.OK || s.At.IsZero() || s.Text == "" {
			t.Errorf("%+v", s)
		}
	}
}

// times are those of the first instance's links.
func times(r *rig) map[explain.Link]time.Time {
	out := map[explain.Link]time.Time{}
	for _, s := range r.explained("shop").Steps {
		if s.Slot == 0 && s.Instance != "" {
			out[s.Link] = s.At
		}
	}
	return out
}

func TestExplain_TimesOfTheImageAndOfTheFirstAnswer_OutliveTheLeader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.node("n1", 1024)
	r.sick["shop"], r.probe = true, "GET /: connect: refused"
	r.deploy("shop", 1)
	r.round()
	r.pass(10 * time.Second)
	r.step()
	made := r.now.Add(-time.Millisecond)
	r.round()
	r.pass(20 * time.Second)
	r.step()
	r.probe = "GET / → 503"
	r.pass(5 * time.Second)
	r.step()
	answered := r.now
	r.pass(10 * time.Second)
	r.sick["shop"] = false
	r.settle()
	for term := range 2 {
		at := times(r)
		if pulled, listening := at[explain.Pulled], at[explain.Listening]; !pulled.Equal(made) || listening.Sub(answered).Abs() > 5*time.Millisecond {
			t.Errorf("term %d: pulled at %s, made at %s; listening at %s, answered at %s", term, pulled, made, listening, answered)
		}
		if !at[explain.Healthy].After(answered) {
			t.Errorf("term %d: healthy at %s", term, at[explain.Healthy])
		}
		r.inForce = maps.Clone(r.table)
		r.lead()
		a.connect()
		r.settle()
	}
}

// Nothing is written in safe mode: what is in force is as the last leader left it.
func TestExplain_RoutesOfBeforeTheTermLeadToAnInstance_UntilTheLeaderWritesItsOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 8192)
	r.deploy("shop", 1)
	r.settle()
	old := r.backup()
	r.deploy("new", 1)
	r.settle()
	r.restore(old)
	r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, model.Moment{Epoch: 4 * day, Age: 3_601_000})
	r.settle()
	routed := func() explain.Step {
		steps := r.explained("shop").Steps
		last := steps[len(steps)-1]
		if last.Link != explain.Routed || last.Instance == "" {
			t.Fatalf("the last link is %+v", last)
		}
		return last
	}
	if s := routed(); r.core.safe == nil || !s.OK || !strings.Contains(s.Text, "before this leader") {
		t.Errorf("in safe mode %+v: %+v", r.core.safe, s)
	}
	r.core.doubted = true // Redis was set back, and may name what routers have let go
	if s := routed(); s.OK {
		t.Errorf("by a table that was set back: %+v", s)
	}
	r.core.doubted = false
	r.wish.Safe = nil
	r.core.swept = time.Time{}
	r.settle()
	if s := routed(); !s.OK || strings.Contains(s.Text, "before") {
		t.Errorf("after it: %+v", s)
	}
}
