package dash

import (
	"strings"
	"testing"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

func TestExplain_StepByStep(t *testing.T) {
	t.Parallel()
	app := api.App{Name: "shop", Release: "v2", Serving: "v2", Instances: 2, State: "s"}
	run := api.Instance{ID: "i", Slot: 1, Release: "v2", Node: "web1", Role: "primary", Phase: "running", Addr: "10.0.0.1:2000"}
	with := func(change func(*api.App, *api.Instance)) (api.App, api.Instance) {
		a, i := app, run
		change(&a, &i)
		return a, i
	}
	for name, c := range map[string]struct {
		change func(*api.App, *api.Instance)
		want   string // steps, those that are not done with !
		next   string
	}{
		"serves": {func(a *api.App, i *api.Instance) {
			a.Ready = 2
			i.Verdict, i.Ready, i.Routed = "GET / → 200", true, true
		}, "desired placed pulled started healthy routed", ""},
		"not routed":   {func(_ *api.App, i *api.Instance) { i.Verdict, i.Ready = "GET / → 200", true }, "desired placed pulled started healthy !routed", "dinp logs shop"},
		"unhealthy":    {func(_ *api.App, i *api.Instance) { i.Verdict = "GET / → 500" }, "desired placed pulled started !healthy", "dinp logs shop"},
		"not probed":   {func(*api.App, *api.Instance) {}, "desired placed pulled started !listening", "dinp logs shop"},
		"pulling":      {func(_ *api.App, i *api.Instance) { i.Phase = "pulling" }, "desired placed !pulled", "dinp logs shop"},
		"starting":     {func(_ *api.App, i *api.Instance) { i.Phase = "starting" }, "desired placed pulled !started", "dinp logs shop"},
		"gone":         {func(_ *api.App, i *api.Instance) { i.Phase, i.Code, i.Message = "gone", "D143", "exited with 1" }, "desired placed !gone", "dinp logs shop"},
		"stopping":     {func(_ *api.App, i *api.Instance) { i.Phase, i.Stopping, i.Reason = "draining", true, "scaled down" }, "desired placed !draining", "dinp logs shop"},
		"node unknown": {func(_ *api.App, i *api.Instance) { i.Phase = "unknown" }, "desired placed !unknown", "dinp logs shop"},
		"no release":   {func(a *api.App, i *api.Instance) { a.Release = ""; *i = run; i.Phase = "gone" }, "!desired placed !gone", "dinp deploy shop FILE"},
		"zero":         {func(a *api.App, i *api.Instance) { a.Instances = 0; i.Phase = "gone" }, "desired placed !gone", "dinp scale shop 1"},
		"maintenance":  {func(a *api.App, i *api.Instance) { a.Maintenance = true; i.Phase = "gone" }, "desired placed !gone", "dinp maintenance shop off"},
		"failed": {func(a *api.App, i *api.Instance) {
			a.Serving, a.Deployment, i.Phase = "v1", &api.Deployment{Status: string(model.DeploymentFailed)}, "gone"
		}, "!desired placed !gone", "dinp logs shop"},
	} {
		a, i := with(c.change)
		e := explain(a, api.Instances{Items: []api.Instance{i}})
		var got []string
		for _, s := range e.Steps {
			step := s.Step
			if !s.OK {
				step = "!" + step
			}
			if s.Text == "" {
				t.Errorf("%s: step %s says nothing", name, step)
			}
			got = append(got, step)
		}
		if strings.Join(got, " ") != c.want || e.Next != c.next {
			t.Errorf("%s: got %q next %q, want %q next %q", name, strings.Join(got, " "), e.Next, c.want, c.next)
		}
	}
	e := explain(app, api.Instances{Pending: []api.Pending{{Slot: 1, Code: "D140", Message: "0 of 1 nodes fit"}}})
	if len(e.Steps) != 2 || e.Steps[1].OK || e.Steps[1].Text != "0 of 1 nodes fit" || e.Next != "dinp nodes" {
		t.Errorf("pending: %+v", e)
	}
}

func TestExplain_OverTheAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqliteURL(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	app, err := r.store.App(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	r.leads.set(func() {
		r.leads.apps[app.ID] = &pb.AppReply{State: "v1 serves on 1 of 2", Ready: 1,
			Instances: []*pb.InstanceState{{Id: "aa11", Slot: 0, Release: 1, Phase: "running", Ready: true, Routed: true}},
			Pending:   []*pb.PendingSlot{{Slot: 1, Code: "D140", Message: "0 of 1 nodes fit: 1 lacks memory"}}}
	})
	in := do[api.Instances](r, 200, "GET", "/apps/shop/instances", r.admin, nil)
	if len(in.Items) != 1 || len(in.Pending) != 1 || in.Pending[0].Code != "D140" || in.State != "v1 serves on 1 of 2" {
		t.Errorf("instances: %+v", in)
	}
	if e := do[api.Explain](r, 200, "GET", "/apps/shop/explain", r.admin, nil); len(e.Steps) != 7 || e.State != "v1 serves on 1 of 2" {
		t.Errorf("explain: %+v", e)
	}
	for _, id := range []string{"0", "aa", "aa11"} {
		if e := do[api.Explain](r, 200, "GET", "/apps/shop/instances/"+id+"/explain", r.admin, nil); len(e.Steps) != 6 || e.Steps[1].Instance != "aa11" {
			t.Errorf("explain %s: %+v", id, e)
		}
	}
	r.refused(model.CodeNotFound, "GET", "/apps/shop/instances/7/explain", r.admin, nil)
}
