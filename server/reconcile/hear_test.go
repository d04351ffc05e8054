package reconcile

import (
	"slices"
	"testing"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// alone is a rig with an app of one instance that serves, on n1.
func alone(t *testing.T) (*rig, *fakeAgent, *row) {
	t.Helper()
	r := newRig(t)
	a := r.node("n1", 4096)
	r.deploy("shop", 1)
	r.settle()
	return r, a, r.core.apps["app-shop"].rows[0]
}

func TestHeard_AnInstanceThatRunsElsewhereThanBeforeIsRoutedThere(t *testing.T) {
	t.Parallel()
	r, a, row := alone(t)
	o := a.has[row.ID]
	o.Addr = "10.0.0.1:31999"
	a.has[row.ID] = o
	a.sync()
	r.round()
	b, err := route.DecodeBackend(r.table[route.BackendPrefix+"shop.apps.test"])
	if err != nil || len(b.Endpoints) != 1 || b.Endpoints[0].Addr != o.Addr {
		t.Errorf("routed is %v, want %s (%v)", b.Endpoints, o.Addr, err)
	}
}

func TestHeard_AnAgentThatComesBackIsToldAgainWhatToStop(t *testing.T) {
	t.Parallel()
	r, a, row := alone(t)
	a.hold = true
	r.edit("shop", func(a *model.App) { a.Instances = 0 })
	r.settle()
	told := func(m any) bool { s, is := m.(*pb.Stop); return is && s.GetInstanceId() == row.ID }
	if !slices.ContainsFunc(a.todo, told) {
		t.Fatal("it was not told to stop it")
	}
	a.connect() // what it was told in the session before is lost
	r.round()
	if !slices.ContainsFunc(a.todo, told) {
		t.Error("it is not told again")
	}
}

func TestHeard_AnAgentThatComesBackIsToldThatItsInstanceIsASingletonNow(t *testing.T) {
	t.Parallel()
	r, a, row := alone(t)
	a.leave()
	r.edit("shop", func(a *model.App) { a.Singleton = true })
	r.round()
	a.connect()
	r.round()
	if !slices.ContainsFunc(a.todo, func(m any) bool {
		s, is := m.(*pb.Start)
		return is && s.GetInstanceId() == row.ID && s.GetSingleton()
	}) {
		t.Errorf("it is told %v", a.todo)
	}
}

// An unhealthy instance is not replaced while its node is silent; when that speaks
// again it is, without waiting for a sweep.
func TestHeard_WhatIsIllOnANodeThatWasSilentIsReplacedWhenItSpeaks(t *testing.T) {
	t.Parallel()
	r, a, row := alone(t)
	r.node("n2", 4096)
	r.sick[row.ID] = true
	r.step()
	a.leave()
	r.pass(r.core.cfg.Limits.UnknownAfter + r.core.cfg.Plan.UnhealthyFor)
	r.round()
	if n := len(r.inserted); n != 1 || row.node.Status != model.NodeUnknown {
		t.Fatalf("%d were placed, and the node is %s", n, row.node.Status)
	}
	a.connect()
	r.core.swept = r.now
	r.round()
	if len(r.inserted) != 2 {
		t.Errorf("%d were placed, want a replacement", len(r.inserted))
	}
}

// Once an app's routes are set, a verdict counts at once, though one of its nodes has
// never spoken in this term.
func TestHeard_WhatIsWellAgainIsRoutedThoughANodeIsSilent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 4096)
	r.node("n2", 4096)
	r.deploy("shop", 2)
	r.settle()
	r.inForce = r.table
	delete(r.agents, "n2")
	r.lead()
	if err := r.core.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.round()
	r.agents["n1"].connect()
	r.pass(r.core.cfg.RouteGrace)
	r.round()
	r.round()
	routed := func() int {
		b, err := route.DecodeBackend(r.table[route.BackendPrefix+"shop.apps.test"])
		if err != nil {
			t.Fatal(err)
		}
		return len(b.Endpoints)
	}
	for _, row := range r.core.nodes["n1"].rows {
		r.step()
		r.round()
		if routed() != 2 || r.core.apps["app-shop"].unheard != 1 {
			t.Fatalf("%d are routed, and %d are to be heard of", routed(), r.core.apps["app-shop"].unheard)
		}
		r.sick[row.ID] = true
		r.step()
		r.round()
		if routed() != 1 {
			t.Fatalf("%d are routed, one of which is ill", routed())
		}
		r.step() // routers take that
		r.round()
		r.sick[row.ID] = false
		r.step()
		r.round()
		if routed() != 2 {
			t.Errorf("%d are routed, and all are well", routed())
		}
	}
}

// What nobody waits for any more is ended, though nothing else is to be done.
func TestHeard_AnAppIsNotIdleWhileARolloutOfAnotherReleaseRuns(t *testing.T) {
	t.Parallel()
	r, _, row := alone(t)
	r.core.apps["app-shop"].deployments["rel-other"] = model.Deployment{ReleaseID: "rel-other", AppID: "app-shop", Status: model.DeploymentRunning}
	r.core.dirty[row.AppID] = true
	r.round()
	if d := r.deployments["rel-other"]; d.Status != model.DeploymentSuperseded {
		t.Errorf("the other rollout is %q", d.Status)
	}
}
