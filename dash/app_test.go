package dash

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestApps_CreateListAndSee(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		for _, n := range []string{"c", "a", "b"} {
			do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: n})
		}
		p := do[api.Page[api.App]](r, 200, "GET", "/apps?limit=2", r.admin, nil)
		if len(p.Items) != 2 || p.Items[0].Name != "a" || p.Next != "b" {
			t.Fatalf("first page: %+v", p)
		}
		p = do[api.Page[api.App]](r, 200, "GET", "/apps?limit=2&after="+p.Next, r.admin, nil)
		if len(p.Items) != 1 || p.Items[0].Name != "c" || p.Next != "" {
			t.Fatalf("second page: %+v", p)
		}
		r.release("a", 1, model.DeploymentSucceeded)
		r.release("a", 2, model.DeploymentFailed)
		app, _ := r.store.App(t.Context(), "a")
		r.leads.set(func() { r.leads.apps[app.ID] = &pb.AppReply{Ready: 1, State: "v1 serves on 1 of 1"} })
		got := do[api.App](r, 200, "GET", "/apps/a", r.admin, nil)
		if got.Release != "v2" || got.Serving != "v1" || got.Ready != 1 || got.State != "v1 serves on 1 of 1" || got.URL != "http://a.apps.localhost:8080/" || got.Team != "default" {
			t.Errorf("app: %+v", got)
		}
		if got.Deployment == nil || got.Deployment.Status != "failed" || got.Deployment.From != "v1" {
			t.Errorf("deployment: %+v", got.Deployment)
		}
		if items := do[api.Page[api.App]](r, 200, "GET", "/apps", r.admin, nil).Items; items[0].Serving != "v1" || items[0].State != got.State || items[0].Domains == nil {
			t.Errorf("the same app in the list: %+v", items[0])
		}
	})
}

func TestApps_NamesAreRefusedWithReasons(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	e := r.refused(model.CodeBadAppName, "POST", "/apps", r.admin, api.CreateApp{Name: "My_Shop"})
	if !strings.Contains(e.Next, `"my-shop"`) {
		t.Errorf("next step: %q", e.Next)
	}
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.refused(model.CodeAppTaken, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.refused(model.CodeNotFound, "POST", "/apps", r.admin, api.CreateApp{Name: "other", Team: "none"})
	r.refused(model.CodeBadRequest, "POST", "/apps", r.admin, `{"name":"x","colour":"red"}`)
	r.refused(model.CodeBadRequest, "POST", "/apps", r.admin, `{"name":`)
	r.refused(model.CodeTooLarge, "POST", "/apps", r.admin, `{"name":"`+strings.Repeat("x", maxBody)+`"}`)
	r.refused(model.CodeNotFound, "GET", "/nothing/here", r.admin, nil)
	if status, text, h := r.call("PUT", "/apps", r.admin, nil); status != 405 || !strings.Contains(text, "D101") || !strings.Contains(h.Get("Allow"), "POST") {
		t.Errorf("a method that is not there: %d %s %v", status, text, h)
	}
}

// TestScale_MissingCountIsRefused is DEFECTS 54: it must never scale to zero.
func TestScale_MissingCountIsRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
		for _, body := range []any{nil, "{}", `{"instances":null}`, `{"instance":0}`, `{"instances":""}`, `{"instances":-1}`, `{"instances":1001}`} {
			status, text, _ := r.call("POST", "/apps/shop/scale", r.admin, body)
			if status != 400 {
				t.Errorf("%v: got %d %s", body, status, text)
			}
		}
		if app := do[api.App](r, 200, "GET", "/apps/shop", r.admin, nil); app.Instances != 1 || app.Generation != 1 {
			t.Errorf("after refusals: %+v", app)
		}
		three, zero := 3, 0
		if app := do[api.App](r, 200, "POST", "/apps/shop/scale", r.admin, api.Scale{Instances: &three}); app.Instances != 3 {
			t.Errorf("scaled: %+v", app)
		}
		do[api.App](r, 200, "POST", "/apps/shop/scale", r.admin, api.Scale{Instances: &zero})
		app, _ := r.store.App(t.Context(), "shop")
		if got := strings.Count(r.leads.nudges(), app.ID); got != 3 {
			t.Errorf("the leader was told %d times, want 3: created and scaled twice", got)
		}
	})
}

func TestEdits_OfAnOldGenerationAreRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
		_, _, h := r.call("GET", "/apps/shop", r.admin, nil)
		if h.Get("ETag") != `"1"` {
			t.Fatalf("ETag: %q", h.Get("ETag"))
		}
		var wg sync.WaitGroup
		statuses := make([]int, 6)
		for i := range statuses {
			wg.Go(func() {
				statuses[i], _, _ = r.call("POST", "/apps/shop/scale", r.admin, fmt.Sprintf(`{"instances":%d}`, i+2), "If-Match", `"1"`)
			})
		}
		wg.Wait()
		won := 0
		for _, s := range statuses {
			switch s {
			case 200:
				won++
			case 412:
			default:
				t.Errorf("an edit ended with %d", s)
			}
		}
		if won != 1 {
			t.Errorf("%d of %d edits of one generation were taken", won, len(statuses))
		}
		e := r.refused(model.CodeStale, "PATCH", "/apps/shop", r.admin, `{"generation":1,"paused":true}`)
		if !strings.Contains(e.Message, "generation 1, it is now 2") {
			t.Errorf("message: %q", e.Message)
		}
		r.refused(model.CodeStale, "DELETE", "/apps/shop", r.admin, nil, "If-Match", `"1"`)
		r.refused(model.CodeBadRequest, "POST", "/apps/shop/scale", r.admin, `{"instances":1}`, "If-Match", "yesterday")
		r.refused(model.CodeBadRequest, "POST", "/apps/shop/scale", r.admin, `{"instances":1,"generation":1}`, "If-Match", `"2"`)
		do[api.App](r, 200, "POST", "/apps/shop/scale", r.admin, `{"instances":1}`, "If-Match", `*`)
	})
}

// TestEnv_NeedsRights is DEFECTS 62.
func TestEnv_NeedsRights(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
		r.release("shop", 1, model.DeploymentSucceeded)
		viewer, stranger, deployer := r.user("vic", model.Viewer), r.user("sam", ""), r.user("dan", model.Deployer)
		set := api.EditEnv{Set: map[string]string{"GREETING": "hello", "SECRET": "s3cret"}}
		e := r.refused(model.CodeDenied, "PATCH", "/apps/shop/env", viewer, set)
		if !strings.Contains(e.Message, "vic") || !strings.Contains(e.Message, "deployer") {
			t.Errorf("message: %q", e.Message)
		}
		r.refused(model.CodeDenied, "GET", "/apps/shop/env", viewer, nil)
		r.refused(model.CodeDenied, "PUT", "/apps/shop/env", viewer, api.Env{Env: map[string]string{}})
		r.refused(model.CodeNotFound, "GET", "/apps/shop/env", stranger, nil)
		r.refused(model.CodeNotFound, "PUT", "/apps/shop/env", stranger, api.Env{Env: map[string]string{}})
		r.refused(model.CodeNotFound, "PATCH", "/apps/shop/env", stranger, set)
		env := do[api.Env](r, 200, "PATCH", "/apps/shop/env", deployer, set)
		if diff := cmp.Diff(set.Set, env.Env); diff != "" {
			t.Error(diff)
		}
		env = do[api.Env](r, 200, "PATCH", "/apps/shop/env", deployer, api.EditEnv{Set: map[string]string{"A": "1"}, Unset: []string{"GREETING"}})
		if diff := cmp.Diff(map[string]string{"SECRET": "s3cret", "A": "1"}, env.Env); diff != "" {
			t.Error(diff)
		}
		if app := do[api.App](r, 200, "GET", "/apps/shop", viewer, nil); app.Release != "v3" || cmp.Diff([]string{"A", "SECRET"}, app.EnvNames) != "" {
			t.Errorf("app: %+v", app)
		}
		do[api.Env](r, 200, "PATCH", "/apps/shop/env", deployer, api.EditEnv{Set: map[string]string{"A": "1"}})
		do[api.Env](r, 200, "PUT", "/apps/shop/env", deployer, api.Env{Env: map[string]string{"A": "1", "SECRET": "s3cret"}})
		if app := do[api.App](r, 200, "GET", "/apps/shop", viewer, nil); app.Release != "v3" {
			t.Errorf("the same environment made %s", app.Release)
		}
		r.refused(model.CodeBadEnv, "PATCH", "/apps/shop/env", deployer, api.EditEnv{Set: map[string]string{"PORT": "1"}})
		r.refused(model.CodeBadRequest, "PATCH", "/apps/shop/env", deployer, `{}`)
		r.refused(model.CodeBadRequest, "PUT", "/apps/shop/env", deployer, `{}`)
		r.refused(model.CodeStale, "PUT", "/apps/shop/env", deployer, `{"env":{}}`, "If-Match", `"1"`)
		_, audit, _ := r.call("GET", "/audit", r.admin, nil)
		if strings.Contains(audit, "s3cret") || !strings.Contains(audit, `"verb":"denied"`) {
			t.Error("the audit log has a secret, or not the refusals")
		}
	})
}

func TestRights_OfRolesOverTheAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.release("shop", 1, model.DeploymentSucceeded)
	tokens := []string{r.user("sam", ""), r.user("vic", model.Viewer), r.user("dan", model.Deployer), r.user("oli", model.Operator), r.user("olga", model.Owner)}
	for _, c := range []struct {
		method, path string
		body         any
		want         string // D denied, N not found, . allowed, for each of tokens
	}{
		{"GET", "/apps/shop", nil, "N...."},
		{"GET", "/apps/shop/releases", nil, "N...."},
		{"GET", "/apps/shop/events", nil, "N...."},
		{"GET", "/apps/shop/explain", nil, "N...."},
		{"GET", "/apps/shop/env", nil, "ND..."},
		{"POST", "/apps/shop/restart", nil, "ND..."},
		{"POST", "/apps/shop/scale", `{"instances":2}`, "NDD.."},
		{"PATCH", "/apps/shop", `{"paused":true}`, "NDD.."},
		{"POST", "/apps/shop/domains", `{"host":"a.example"}`, "NDD.."},
		{"PATCH", "/apps/shop", `{"constraints":["zone==a"]}`, "NDD.."},
		{"PATCH", "/apps/shop", `{"singleton":false}`, "NDD.."},
		{"DELETE", "/apps/shop", nil, "NDDD."},
		{"PATCH", "/nodes/n1", `{"availability":"cordoned"}`, "DDDDD"},
		{"DELETE", "/nodes/n1", nil, "DDDDD"},
		{"PUT", "/pools/default", `{"policy":"spread"}`, "DDDDD"},
		{"GET", "/audit", nil, "DDDDD"},
		{"POST", "/apps/gone/undelete", nil, "DDDDD"},
	} {
		for i, token := range tokens {
			status, text, _ := r.call(c.method, c.path, token, c.body)
			got := "."
			switch {
			case status == 403:
				got = "D"
			case status == 404:
				got = "N"
			case status >= 300:
				got = "?"
			}
			if got != c.want[i:i+1] {
				t.Errorf("%s %s by user %d: got %d, want %s: %s", c.method, c.path, i, status, c.want[i:i+1], text)
			}
		}
	}
	if p := do[api.Page[api.App]](r, 200, "GET", "/apps", tokens[0], nil); len(p.Items) != 0 {
		t.Errorf("a stranger sees %+v", p)
	}
	if p := do[api.Page[api.Event]](r, 200, "GET", "/events", tokens[0], nil); len(p.Items) != 0 {
		t.Errorf("a stranger sees %+v", p)
	}
}

// TestDelete_IsAuditedAndCanBeUndone is DEFECTS 64.
func TestDelete_IsAuditedAndCanBeUndone(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.release("shop", 1, model.DeploymentSucceeded)
	do[any](r, 204, "DELETE", "/apps/shop", r.admin, nil)
	r.refused(model.CodeNotFound, "GET", "/apps/shop", r.admin, nil)
	if app := do[api.App](r, 200, "POST", "/apps/shop/undelete", r.admin, nil); app.Release != "v1" || app.Serving != "v1" {
		t.Errorf("brought back: %+v", app)
	}
	page := do[api.Page[api.Event]](r, 200, "GET", "/apps/shop/events?limit=2", r.admin, nil)
	if page.Items[0].Verb != "app.undelete" || page.Items[1].Verb != "app.delete" || page.Items[1].Actor != "admin" || page.Items[1].From != "127.0.0.1" || page.Next == "" {
		t.Errorf("events: %+v", page)
	}
	older := do[api.Page[api.Event]](r, 200, "GET", "/apps/shop/events?before="+page.Next, r.admin, nil)
	if len(older.Items) == 0 || older.Items[len(older.Items)-1].Verb != "app.create" || older.Next != "" {
		t.Errorf("older events: %+v", older)
	}
	r.refused(model.CodeBadRequest, "GET", "/apps/shop/events?before=x", r.admin, nil)
}

func TestDomains(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "other"})
	if got := do[api.Domain](r, 201, "POST", "/apps/shop/domains", r.admin, api.Domain{Host: "WWW.Shop.example."}); got.Host != "www.shop.example" {
		t.Errorf("bound: %+v", got)
	}
	r.refused(model.CodeDomainTaken, "POST", "/apps/other/domains", r.admin, api.Domain{Host: "www.shop.example"})
	for _, h := range []string{"", "shop", "http://a.b", "10.0.0.1", "x.apps.localhost"} {
		r.refused(model.CodeBadDomain, "POST", "/apps/shop/domains", r.admin, api.Domain{Host: h})
	}
	if p := do[api.Page[api.Domain]](r, 200, "GET", "/apps/shop/domains", r.admin, nil); len(p.Items) != 1 {
		t.Errorf("list: %+v", p)
	}
	do[any](r, 204, "DELETE", "/apps/shop/domains/www.shop.example", r.admin, nil)
	r.refused(model.CodeNotFound, "DELETE", "/apps/shop/domains/www.shop.example", r.admin, nil)
}
