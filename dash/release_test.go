package dash

import (
	"encoding/json"
	"testing"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestPatch_SettingsMakeARelease(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.refused(model.CodeNoRelease, "PATCH", "/apps/shop", r.admin, `{"memory_mib":128}`)
	r.release("shop", 1, model.DeploymentSucceeded)
	app := do[api.App](r, 200, "PATCH", "/apps/shop", r.admin, `{"memory_mib":128,"instances":2,"note":"small"}`)
	if app.Release != "v2" || app.Serving != "v1" || app.MemoryMiB != 128 || app.Instances != 2 || app.Deployment.Status != "waiting" {
		t.Errorf("after the edit: %+v", app)
	}
	if again := do[api.App](r, 200, "PATCH", "/apps/shop", r.admin, `{"memory_mib":128}`); again.Release != "v2" || again.Generation != app.Generation {
		t.Errorf("the same setting made %s, generation %d", again.Release, again.Generation)
	}
	for _, body := range []string{`{"memory_mib":1}`, `{"memory_mib":0}`, `{"port":0}`, `{"port":70000}`, `{"health":"x"}`, `{"instances":3,"cpu_milli":-1}`} {
		r.refused(model.CodeBadSize, "PATCH", "/apps/shop", r.admin, body)
	}
	r.refused(model.CodeBadRequest, "PATCH", "/apps/shop", r.admin, `{}`)
	if app := do[api.App](r, 200, "GET", "/apps/shop", r.admin, nil); app.Instances != 2 {
		t.Errorf("a refused edit left %d instances", app.Instances)
	}
	if app := do[api.App](r, 200, "PATCH", "/apps/shop", r.admin, `{"maintenance":true}`); !app.Maintenance || app.Release != "v2" {
		t.Errorf("maintenance: %+v", app)
	}
}

func TestRollback_PicksTheLastThatServedAndDiffers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
		r.refused(model.CodeNoRelease, "POST", "/apps/shop/rollback", r.admin, nil)
		r.refused(model.CodeNoRelease, "POST", "/apps/shop/restart", r.admin, nil)
		r.release("shop", 1, model.DeploymentSucceeded) // v1
		r.refused(model.CodeNoRelease, "POST", "/apps/shop/rollback", r.admin, nil)
		r.release("shop", 2, model.DeploymentFailed)    // v2 never served
		r.release("shop", 3, model.DeploymentSucceeded) // v3
		v4 := do[api.Release](r, 202, "POST", "/apps/shop/restart", r.admin, nil)
		if v4.Version != "v4" || v4.Cause != "restart" || v4.Image != image(3) || v4.Deployment.Status != "waiting" {
			t.Fatalf("restart: %+v", v4)
		}
		status, text, h := r.call("POST", "/apps/shop/rollback", r.admin, api.Rollback{})
		var v5 api.Release
		if err := json.Unmarshal([]byte(text), &v5); err != nil || status != 202 || h.Get("Location") != "/api/v1/apps/shop/releases/v5/deploy" {
			t.Fatalf("rollback: %d %v %s", status, h, text)
		}
		if v5.Image != image(1) || v5.Cause != "rollback" || v5.Note != "rollback to v1" || !v5.Wanted || v5.Serving {
			t.Errorf("rollback: %+v", v5)
		}
		if got := do[api.Release](r, 202, "POST", "/apps/shop/rollback", r.admin, api.Rollback{Version: "v3", Note: "again"}); got.Image != image(3) || got.Note != "again" {
			t.Errorf("rollback to v3: %+v", got)
		}
		r.refused(model.CodeConflict, "POST", "/apps/shop/rollback", r.admin, api.Rollback{Version: "v6"})
		r.refused(model.CodeNotFound, "POST", "/apps/shop/rollback", r.admin, api.Rollback{Version: "v99"})
		r.refused(model.CodeBadRequest, "POST", "/apps/shop/rollback", r.admin, api.Rollback{Version: "latest"})
		page := do[api.Page[api.Release]](r, 200, "GET", "/apps/shop/releases?limit=4", r.admin, nil)
		if len(page.Items) != 4 || page.Items[0].Version != "v6" || page.Next != "v3" || !page.Items[3].Serving {
			t.Errorf("releases: %+v", page)
		}
		if got := page.Items[1].Deployment.Status; got != "superseded" {
			t.Errorf("v5, which the leader never saw: %s", got)
		}
		page = do[api.Page[api.Release]](r, 200, "GET", "/apps/shop/releases?before=v3", r.admin, nil)
		if len(page.Items) != 2 || page.Items[0].Version != "v2" || page.Next != "" {
			t.Errorf("older releases: %+v", page)
		}
		if got := do[api.Release](r, 200, "GET", "/apps/shop/releases/2", r.admin, nil); got.Deployment.Status != "failed" {
			t.Errorf("v2: %+v", got)
		}
		if d := do[api.Deploy](r, 200, "GET", "/apps/shop/releases/v5/deploy", r.admin, nil); !d.Done || d.OK || d.Error.Code != model.CodeSuperseded {
			t.Errorf("how v5 went on: %+v", d)
		}
		if builds := do[api.Page[api.Build]](r, 200, "GET", "/apps/shop/builds", r.admin, nil); len(builds.Items) != 0 {
			t.Errorf("a rollback built: %+v", builds)
		}
	})
}
