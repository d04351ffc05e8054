package dash_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/dinp/dinp/test/stage"
)

func TestPages_DeployFromFileToURL(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s).login()
	v.get("/apps").want(t, "apps", 200, `id="deploy-form"`, "No apps yet")
	s.Frozen.Store(true)
	a := v.upload("site.zip", zipped(t, "one"), "text/html", "name", "shop", "instances", "2", "memory", "128M", "env", "A=1\n# note\n\nB=x=y\n", "note", "first", "strategy", "canary").
		want(t, "deploy", http.StatusSeeOther)
	if !strings.HasPrefix(a.location, "/deploys/") {
		t.Fatalf("deploy leads to %q", a.location)
	}
	v.get(a.location).want(t, "deploy page", 200, "waiting for a builder", "site.zip", `data-live="/live`+a.location, `http-equiv="refresh"`)
	s.Frozen.Store(false)
	done := v.eventually(a.location, `id="answer"`)
	done.want(t, "deploy page", 200, "v1 is live", "unpacked site.zip", `id="url" href="http://shop.apps.localhost:`)
	v.get("/apps/shop").want(t, "app", 200, "v1 serves with 2 of 2 instances", "stage-node", "128 MiB", "2 variables", "a share of the requests first")
	v.get("/apps/shop/deploy").want(t, "next deploy", 200, "as the version before")
	v.get("/api/v1/apps/shop/releases").want(t, "releases", 200, `"strategy":"canary"`)
	v.get("/apps").want(t, "apps", 200, `href="/apps/shop"`, "2 / 2", "static")
}

func TestPages_DeployAnswersScriptsInJSON(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	var said struct{ Location, HTML string }
	a := v.upload("site.zip", zipped(t, "one"), "application/json", "name", "shop").want(t, "deploy", 200)
	if err := json.Unmarshal([]byte(a.body), &said); err != nil || !strings.HasPrefix(said.Location, "/deploys/") {
		t.Fatalf("deploy says %s, %v", a.body, err)
	}
	v.eventually(said.Location, "is live")
	a = v.upload("site.zip", zipped(t, "one"), "application/json", "name", "shop").want(t, "the same again", 200, `"/apps/shop"`)
	v.get("/apps/shop").want(t, "app", 200, "Nothing changed")
	a = v.upload("site.zip", zipped(t, "two"), "application/json", "name", "My_Shop").want(t, "bad name", http.StatusBadRequest)
	if err := json.Unmarshal([]byte(a.body), &said); err != nil || !strings.Contains(said.HTML, "D120") || strings.Contains(said.HTML, "<html") {
		t.Fatalf("refusal is %s, %v", a.body, err)
	}
}

func TestPages_DeployRefusals(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	for _, c := range []struct {
		what, filename string
		file           []byte
		fields         []string
		status         int
		code           string
	}{
		{"no archive", "notes.txt", []byte("just text"), []string{"name", "shop"}, 400, "D13"},
		{"bad memory", "site.zip", zipped(t, "x"), []string{"name", "shop", "memory", "lots"}, 400, "D123"},
		{"bad instances", "site.zip", zipped(t, "x"), []string{"name", "shop", "instances", "many"}, 400, "D123"},
		{"bad strategy", "site.zip", zipped(t, "x"), []string{"name", "shop", "strategy", "sudden"}, 400, "D123"},
		{"bad env", "site.zip", zipped(t, "x"), []string{"name", "shop", "env", "no equals sign"}, 400, "D122"},
		{"too large", "site.zip", append(zipped(t, "x"), make([]byte, 9<<20)...), []string{"name", "shop"}, 413, "D131"},
		{"nothing", "", nil, []string{"name", "shop"}, 400, "D101"},
	} {
		v.upload(c.filename, c.file, "text/html", c.fields...).want(t, c.what, c.status, c.code, `id="deploy-form"`, `class="problem"`)
	}
	v.do("POST", "/deploys", "text/plain", strings.NewReader("x")).want(t, "no form", 400, "D101")
}

func TestPages_DeployOfAnImage(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	a := v.upload("", nil, "text/html", "name", "shop", "image", "registry.example/shop:1").want(t, "image", http.StatusSeeOther)
	v.eventually(a.location, "v1 is live").want(t, "deploy page", 200, "registry.example/shop:1")
}

func TestPages_FailedDeploysExplainThemselves(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one")
	broken := v.upload(stage.BrokenBuild, zipped(t, "two"), "text/html", "name", "shop").want(t, "deploy", http.StatusSeeOther)
	v.eventually(broken.location, "D135").want(t, "broken build", 200, "assemble: no space", "v1 keeps serving", "dinp build log", "step bad")
	silent := v.upload(stage.SilentApp, zipped(t, "three"), "text/html", "name", "shop").want(t, "deploy", http.StatusSeeOther)
	v.eventually(silent.location, "D142").want(t, "silent app", 200, "connection refused", "v1 keeps serving", "dinp logs shop")
	v.get("/apps/shop").want(t, "app", 200, "last deploy failed", "D142")
	v.get("/apps/shop/releases").want(t, "releases", 200, "kept serving", "failed")
}

func TestPages_NameIsCheckedWhileTyped(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one")
	for name, want := range map[string]string{
		"fresh": `"ok":true`, "shop": "its next version", "My Shop": `"ok":false`, "dash": "reserved", "": `"ok":false`,
	} {
		v.get("/names?name="+strings.ReplaceAll(name, " ", "+")).want(t, "name "+name, 200, want)
	}
}

func TestPages_LiveDeployEndsWithTheURL(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s).login()
	s.Frozen.Store(true)
	a := v.upload("site.zip", zipped(t, "one"), "text/html", "name", "shop").want(t, "deploy", http.StatusSeeOther)
	var log, state strings.Builder
	v.events("/live"+a.location, func(event, data string) bool {
		s.Frozen.Store(false) // the stream is open: go on
		switch id, html := "", ""; event {
		case "fragment":
			if id, html = fragmentOf(t, data); id == "deploy-state" {
				state.WriteString(html)
			}
		case "log":
			if id, html = fragmentOf(t, data); id == "build-log" {
				log.WriteString(html)
			}
		}
		return event == "end"
	})
	for _, want := range []string{"waiting for a builder", `id="answer"`, "v1 is live"} {
		if !strings.Contains(state.String(), want) {
			t.Errorf("the live page never said %q", want)
		}
	}
	if n := strings.Count(log.String(), "unpacked site.zip"); n != 1 {
		t.Errorf("the log's first line came %d times:\n%s", n, log.String())
	}
}
