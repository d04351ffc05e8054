package dash

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestRouting_IsChangedPartByPartAndKeepsSecrets(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		app := do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
		got := do[api.Routing](r, 200, "PATCH", "/apps/shop/routing", r.admin, `{"settings":{"max_body":1024,"rate":{"per_second":5}},"passwords":{"ann":"sesame-1"}}`)
		if got.Settings.MaxBody != 1024 || got.Settings.Rate.PerSecond != 5 || got.Generation <= app.Generation || got.Settings.BasicAuth[0] != (model.BasicUser{Name: "ann"}) {
			t.Errorf("changed: %+v", got)
		}
		got = do[api.Routing](r, 200, "PATCH", "/apps/shop/routing", r.admin, `{"settings":{"rate":null,"sticky":["JSESSIONID"]}}`)
		if got.Settings.Rate != nil || got.Settings.MaxBody != 1024 || got.Settings.Sticky[0] != "JSESSIONID" || len(got.Settings.BasicAuth) != 1 {
			t.Errorf("one part changed: %+v", got)
		}
		if _, text, h := r.call("GET", "/apps/shop/routing", r.admin, nil); strings.Contains(text, "$2a$") || h.Get("ETag") == "" {
			t.Errorf("read: %s %v", text, h)
		}
		stored, err := r.store.App(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		settings, err := stored.Routing.Routing()
		if err != nil || bcrypt.CompareHashAndPassword([]byte(settings.BasicAuth[0].Hash), []byte("sesame-1")) != nil || strings.Contains(string(stored.Routing), "sesame") {
			t.Errorf("stored: %s, %v", stored.Routing, err)
		}
		r.refused(model.CodeStale, "PATCH", "/apps/shop/routing", r.admin, `{"settings":{"rate":null}}`, "If-Match", `"1"`)
		if got = do[api.Routing](r, 200, "PATCH", "/apps/shop/routing", r.admin, `{"passwords":{"ann":""}}`); len(got.Settings.BasicAuth) != 0 {
			t.Errorf("the user is still there: %+v", got)
		}
	})
}

func TestRouting_Refusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	e := r.refused(model.CodeBadRouting, "PATCH", "/apps/shop/routing", r.admin, `{"settings":{"policy":"random","allow_from":["x"]}}`)
	if len(e.Evidence) != 2 {
		t.Errorf("not every mistake is named: %+v", e)
	}
	r.refused(model.CodeBadRouting, "PATCH", "/apps/shop/routing", r.admin, `{"settings":{"speed":1}}`)
	r.refused(model.CodeBadRouting, "PATCH", "/apps/shop/routing", r.admin, `{"passwords":{"ann":"`+strings.Repeat("x", 73)+`"}}`)
	r.refused(model.CodeBadRequest, "PATCH", "/apps/shop/routing", r.admin, `{}`)
	viewer := r.user("vera", model.Viewer)
	do[api.Routing](r, 200, "GET", "/apps/shop/routing", viewer, nil)
	r.refused(model.CodeDenied, "PATCH", "/apps/shop/routing", viewer, `{"settings":{"max_body":1}}`)
}

func TestDomains_WithStarsAndPaths(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	for in, want := range map[string]string{"*.Shop.example": "*.shop.example", "shop.example/API/": "shop.example/API"} {
		if d := do[api.Domain](r, 201, "POST", "/apps/shop/domains", r.admin, api.Domain{Host: in}); d.Host != want {
			t.Errorf("%s is bound as %s, want %s", in, d.Host, want)
		}
	}
	r.refused(model.CodeBadDomain, "POST", "/apps/shop/domains", r.admin, api.Domain{Host: "shop.example/../x"})
	for _, path := range []string{"/apps/shop/domains/shop.example%2FAPI", "/apps/shop/domains/*.shop.example"} {
		if status, text, _ := r.call("DELETE", path, r.admin, nil); status != 204 {
			t.Errorf("DELETE %s: %d %s", path, status, text)
		}
	}
	if left := do[api.Page[api.Domain]](r, 200, "GET", "/apps/shop/domains", r.admin, nil).Items; len(left) != 0 {
		t.Errorf("still bound: %v", left)
	}
}
