package dash_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/stage"
)

func TestPages_LoginAndLogout(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s)
	a := v.get("/apps/shop/env?values=1").want(t, "without login", http.StatusSeeOther)
	if a.location != "/login?next=%2Fapps%2Fshop%2Fenv%3Fvalues%3D1" {
		t.Fatalf("sent to %q", a.location)
	}
	v.get(a.location).want(t, "login page", 200, `value="/apps/shop/env?values=1"`, "Log in to dinp")
	v.post("/login", "user", "admin", "password", "wrong", "next", "/nodes").
		want(t, "wrong password", http.StatusUnauthorized, "D102", `value="admin"`, `value="/nodes"`)
	a = v.post("/login", "user", s.User, "password", s.Password, "next", "/nodes").want(t, "login", http.StatusSeeOther)
	if a.location != "/nodes" {
		t.Errorf("login leads to %q", a.location)
	}
	v.get("/login").want(t, "login page, logged in", http.StatusSeeOther)
	v.post("/logout").sends(v, "logout", "/login")
	v.get("/apps").want(t, "after logout", http.StatusSeeOther)
}

func TestPages_LoginSendsNobodyElsewhere(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	for _, next := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)", "/\t/evil.example", ""} {
		a := visit(t, s).post("/login", "user", s.User, "password", s.Password, "next", next).want(t, "login", http.StatusSeeOther)
		if a.location != "/apps" {
			t.Errorf("next=%q leads to %q", next, a.location)
		}
	}
}

func TestPages_LanguageIsNegotiatedAndChosen(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t))
	v.get("/login", "Accept-Language", "zh-CN,zh;q=0.9").want(t, "in Chinese", 200, `lang="zh"`, "密码")
	a := v.post("/lang", "lang", "zh", "next", "/login").want(t, "choice", http.StatusSeeOther)
	v.get(a.location).want(t, "chosen Chinese", 200, `lang="zh"`, "密码")
	if a := v.post("/lang", "lang", "tlh", "next", "//evil.example").want(t, "unknown language", http.StatusSeeOther); a.location != "/apps" {
		t.Errorf("a choice of language leads to %q", a.location)
	}
	v.get("/login").want(t, "still Chinese", 200, `lang="zh"`)
	v.login()
	v.get("/apps").want(t, "apps", 200, "应用")
}

func TestPages_PolicyAndCaching(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	for _, path := range []string{"/apps", "/no/such/page", "/apps/none", "/login"} {
		h := v.get(path).header
		csp := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s has the policy %q", path, csp)
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %q", path, h.Get("Cache-Control"))
		}
	}
	page := v.get("/apps")
	for _, m := range regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`).FindAllStringSubmatch(page.body, -1) {
		if h := v.get(m[1]).want(t, m[1], 200).header; !strings.Contains(h.Get("Cache-Control"), "immutable") {
			t.Errorf("%s is loaded again each time: %q", m[1], h.Get("Cache-Control"))
		}
	}
}

func TestPages_ErrorsHaveTheOneForm(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s).login()
	v.get("/apps/none").want(t, "no app", 404, "Not found", "D104", `class="problem"`)
	v.get("/nowhere/<b>").want(t, "no page", 404, "Not found", "/nowhere/&lt;b&gt;")
	v.get("/deploys/none").want(t, "no deploy", 404, "D104")
	v.get("/builds/none").want(t, "no build", 404, "D104")
	v.get("/live/apps/none?tab=").want(t, "no stream", 404)
	v.get("/live/apps/none?tab=moon").want(t, "no tab", 404)
	v.get("/apps?after=%00").want(t, "odd page", 200)
	v.do("POST", "/apps/shop/scale", "application/x-www-form-urlencoded", strings.NewReader("instances=1"), "Origin", "https://evil.example").
		want(t, "another site's form", http.StatusForbidden, "D103")
}

func TestPages_WithoutALeader(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s).login()
	v.deployed("shop", "one")
	s.Away.Store(true)
	v.get("/apps").want(t, "apps", 200, "no server leads")
	v.get("/apps/shop").want(t, "app", 200, "no server leads")
	v.post("/apps/shop/scale", "instances", "2").sends(v, "scale", "/apps/shop", "is scaled to 2")
	v.get("/nodes").want(t, "nodes", 200, "stage-node")
}

func TestPages_AScaleThatNodesHaveNoRoomForIsTakenWithAWarning(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s).login()
	v.deployed("shop", "one")
	app, err := s.Store.App(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	one := model.Constraints("per-node==1")
	if _, err := s.Store.EditApp(t.Context(), app.ID, app.Generation, store.AppEdit{Constraints: &one}, model.Actor{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	v.post("/apps/shop/scale", "instances", "0").sends(v, "scale", "/apps/shop", `class="notice "`, "is scaled to 0")
	v.post("/apps/shop/scale", "instances", "5").sends(v, "scale", "/apps/shop", `class="notice warn"`, "is scaled to 5", "per-node==1 on 1 node is room for 1 instance, and 5 are wanted: 4 wait")
}

func TestPages_NodesAndBuilds(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	deploy := v.deployed("shop", "one")
	build := strings.Replace(deploy, "/deploys/", "/builds/", 1)
	v.get("/nodes").want(t, "nodes", 200, "stage-node", "2 GiB of 8 GiB", "stage-router", "Cordon")
	v.post("/nodes/stage-node/availability", "availability", "draining").sends(v, "drain", "/nodes", "stage-node is now draining")
	v.post("/nodes/stage-node/availability", "availability", "flying").want(t, "bad availability", 400, "D101")
	v.get("/builds").want(t, "builds", 200, "site.zip", "built", build)
	v.get(build).want(t, "build", 200, "unpacked site.zip", "sha256:")
	ended := false
	v.events("/live"+build, func(event, _ string) bool { ended = event == "end"; return ended })
	v.get("/builds?before=yesterday").want(t, "bad page", 400, "D101")
}

func TestPages_CancelABuild(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s).login()
	s.Frozen.Store(true)
	a := v.upload("site.zip", zipped(t, "one"), "text/html", "name", "shop").want(t, "deploy", http.StatusSeeOther)
	build := strings.Replace(a.location, "/deploys/", "/builds/", 1)
	v.get(a.location).want(t, "deploy", 200, build+"/cancel")
	v.post(build+"/cancel").sends(v, "cancel", a.location, "being cancelled", "D136")
}

func TestPages_PeopleTokensAudit(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s).login()
	v.post("/people/users", "name", "bob", "password", "correct horse battery", "role", "member").sends(v, "create user", "/people", "User bob is created")
	v.post("/people/users", "name", "bob", "password", "correct horse battery").want(t, "create again", 409, "D108", `value="bob"`)
	v.post("/people/teams", "name", "web").sends(v, "create team", "/people", "Team web is created")
	v.post("/people/teams", "name", "web").want(t, "create team again", 409, "D108")
	v.post("/people/members", "user", "bob", "team", "web", "role", "deployer").sends(v, "role", "/people", "bob is now deployer of web")
	v.post("/people/members", "user", "bob", "team", "web", "role", "king").want(t, "bad role", 400, "D101")
	v.post("/people/members", "user", "bob", "team", "web", "role", "").sends(v, "no role", "/people", "bob is no longer in web")
	v.get("/audit").want(t, "audit", 200, "bob", "127.0.0.1")
	made := v.post("/tokens", "name", "ci", "days", "30").want(t, "token", 200, "Token ci was made", "dinp_")
	secret := regexp.MustCompile(`dinp_[A-Z2-7]+`).FindString(made.body)
	if strings.Contains(v.get("/tokens").body, secret) {
		t.Error("the secret is shown twice")
	}
	id := regexp.MustCompile(`/tokens/([^/"]+)/revoke`).FindStringSubmatch(made.body)
	if id == nil {
		t.Fatal("the new token cannot be revoked")
	}
	v.post("/tokens/"+id[1]+"/revoke").sends(v, "revoke", "/tokens", "The token is revoked")
	v.post("/tokens", "name", "", "days", "1").want(t, "no name", 400, "D101")
	v.post("/tokens", "name", "x", "days", "soon").want(t, "bad days", 400, "D101")
}

// What a role may not do is neither offered nor taken.
func TestPages_RolesHideAndRefuse(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	admin := visit(t, s).login()
	admin.deployed("shop", "one", "env", "SECRET=hunter2")
	admin.post("/people/users", "name", "eve", "password", "correct horse battery").want(t, "create user", http.StatusSeeOther)
	admin.post("/people/members", "user", "eve", "team", "default", "role", "viewer").want(t, "role", http.StatusSeeOther)
	admin.post("/people/users", "name", "mallory", "password", "correct horse battery").want(t, "create user", http.StatusSeeOther)

	eve := visit(t, s)
	eve.post("/login", "user", "eve", "password", "correct horse battery").sends(eve, "login", "/apps", "shop")
	page := eve.get("/apps/shop").want(t, "app", 200, "v1 serves")
	for _, no := range []string{`id="scale"`, "/restart", "/delete", "/maintenance", "/apps/shop/deploy"} {
		if strings.Contains(page.body, no) {
			t.Errorf("a viewer is offered %s", no)
		}
	}
	if strings.Contains(eve.get("/apps").body, `id="deploy-form"`) {
		t.Error("a viewer is offered to deploy")
	}
	eve.get("/apps/shop/env?values=1").want(t, "values", 403, "D103")
	eve.post("/apps/shop/scale", "instances", "0").want(t, "scale", 403, "D103", "v1 serves")
	eve.upload("site.zip", zipped(t, "two"), "text/html", "name", "shop").want(t, "deploy", 403, "D103")
	eve.get("/audit").want(t, "audit", 403, "D103")
	eve.get("/people").want(t, "people", 200, "default")

	mallory := visit(t, s)
	mallory.post("/login", "user", "mallory", "password", "correct horse battery").want(t, "login", http.StatusSeeOther)
	for _, path := range []string{"/apps/shop", "/apps/shop/env", "/live/apps/shop?tab=", "/live/apps/shop/logs"} {
		mallory.get(path).want(t, "another team's "+path, 404)
	}
}
