package dash

import (
	"strings"
	"testing"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

// canary is an app whose v2 goes by steps, in the first of which it is held.
func canary(r *rig) model.Release {
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.release("shop", 1, model.DeploymentSucceeded)
	asked := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, api.NewRelease{Image: image(2), DeployRequest: model.DeployRequest{Strategy: model.StrategyCanary, Steps: []int{5, 25}}})
	if asked.Build == nil {
		r.t.Fatalf("no build: %+v", asked)
	}
	rel := r.finish(r.claim(), nil)
	r.settle(rel, model.DeploymentRunning, nil)
	return rel
}

func (r *rig) step(rel model.Release, change func(*model.Deployment)) {
	r.t.Helper()
	d, err := r.store.Deployment(r.t.Context(), rel.ID)
	if err != nil || d == nil {
		r.t.Fatal(d, err)
	}
	change(d)
	if err := r.store.Apply(r.t.Context(), r.lease, store.Control{Deployments: []model.Deployment{*d}}); err != nil {
		r.t.Fatal(err)
	}
}

func TestPromote_LetsAHeldReleaseGoOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	rel := canary(r)
	r.step(rel, func(d *model.Deployment) { d.Stage, d.Judgement, d.Held = 1, "3 of 50 requests came", true })
	app := do[api.App](r, 200, "GET", "/apps/shop", r.admin, nil)
	if d := app.Deployment; d.Strategy != "canary" || d.Step != 2 || d.Steps != 3 || d.Share != 25 || !d.Held || d.From != "v1" {
		t.Fatalf("told as %+v", d)
	}
	state := do[api.Deploy](r, 200, "GET", "/apps/shop/releases/v2/deploy", r.admin, nil)
	if !state.Done || state.OK || state.Error.Code != model.CodeHeld || !strings.Contains(state.Error.Next, "dinp promote shop") {
		t.Errorf("who waits for it is told %+v", state)
	}
	if got := do[api.Release](r, 202, "POST", "/apps/shop/promote", r.admin, api.Promote{Version: "v2"}); got.Version != "v2" || got.Deployment.Held {
		t.Errorf("promoted: %+v", got.Deployment)
	}
	if now, err := r.store.App(t.Context(), "shop"); err != nil || now.Promoted != rel.ID || now.Generation != app.Generation+1 {
		t.Errorf("the wish is %+v, %v", now, err)
	}
}

func TestPromote_RefusesWhatIsNotOnItsWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	rel := canary(r)
	r.refused(model.CodeConflict, "POST", "/apps/shop/promote", r.admin, api.Promote{Version: "v1"})
	r.settle(rel, model.DeploymentSucceeded, nil)
	r.refused(model.CodeConflict, "POST", "/apps/shop/promote", r.admin, nil)
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "blog"})
	r.release("blog", 1, model.DeploymentRunning)
	r.refused(model.CodeConflict, "POST", "/apps/blog/promote", r.admin, nil)
}
