package dash_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/dinp/dinp/test/stage"
)

func TestPages_AppControls(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one")
	v.post("/apps/shop/scale", "instances", "3").sends(v, "scale", "/apps/shop", "shop is scaled to 3", "3 of 3 ready")
	v.get("/apps/shop").want(t, "the notice is shown once", 200)
	if strings.Contains(v.get("/apps/shop").body, "is scaled to") {
		t.Error("the notice stays")
	}
	v.post("/apps/shop/scale", "instances", "5000").want(t, "scale too far", 400, "D123", "3 of 3 ready")
	v.post("/apps/shop/scale", "instances", "").want(t, "scale to nothing", 400, "D123")
	v.post("/apps/shop/maintenance", "on", "true").sends(v, "maintenance", "/apps/shop", "is in maintenance", "End maintenance")
	v.post("/apps/shop/maintenance", "on", "false").sends(v, "maintenance", "/apps/shop", "back from maintenance")
	v.post("/apps/shop/pause", "on", "true").sends(v, "pause", "/apps/shop", "is paused", "Resume")
	v.post("/apps/shop/pause", "on", "false").sends(v, "resume", "/apps/shop", "is resumed")
	v.post("/apps/shop/restart").sends(v, "restart", "/apps/shop", "restarts as v2")
	v.get("/apps/shop/events").want(t, "events", 200, "admin", "127.0.0.1")
	v.post("/apps/shop/delete", "confirm", "shopp").want(t, "wrong confirmation", 400, "nothing was deleted")
	v.post("/apps/shop/delete", "confirm", "shop").sends(v, "delete", "/apps", "shop is deleted", "No apps yet")
	v.get("/apps/shop").want(t, "deleted app", 404, "D104", "Not found")
}

var generation = regexp.MustCompile(`name="generation" value="(\d+)"`)

func generationOn(t *testing.T, a answer) string {
	t.Helper()
	m := generation.FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("no generation on the page:\n%s", a.body)
	}
	return m[1]
}

func TestPages_EnvIsHiddenEditedAndNeverLost(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one", "env", "SECRET=hunter2")
	page := v.get("/apps/shop/env").want(t, "env", 200, "SECRET")
	if strings.Contains(page.body, "hunter2") {
		t.Error("the value is on the page unasked")
	}
	v.get("/apps/shop/env?values=1").want(t, "values", 200, `value="hunter2"`)
	saw := generationOn(t, page)
	v.post("/apps/shop/env", "generation", saw, "name", "GREETING", "value", "hello", "name", "", "value", "").sends(v, "set", "/apps/shop/env", "saved as v2", "GREETING")
	v.post("/apps/shop/env", "generation", saw, "name", "GREETING", "value", "late").
		want(t, "an edit of an old page", http.StatusPreconditionFailed, "D105", `value="late"`)
	now := generationOn(t, v.get("/apps/shop/env"))
	v.post("/apps/shop/env", "generation", now, "name", "GREETING", "value", "hello").sends(v, "the same", "/apps/shop/env", "Nothing was changed")
	v.post("/apps/shop/env", "generation", now).sends(v, "nothing", "/apps/shop/env", "Nothing was changed")
	v.post("/apps/shop/env", "generation", now, "name", "1BAD", "value", "x").want(t, "bad name", 400, "D122", `value="1BAD"`)
	gone := v.post("/apps/shop/env", "generation", now, "remove", "SECRET", "name", "SECRET", "value", "hunter2").sends(v, "remove", "/apps/shop/env", "saved as v3")
	if strings.Contains(gone.body, "<code>SECRET</code>") {
		t.Error("a removed variable is still there")
	}
}

func TestPages_SettingsMakeARelease(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one")
	page := v.get("/apps/shop/settings").want(t, "settings", 200, `value="256M"`, `value="8080"`)
	saw := generationOn(t, page)
	set := func(memory, cpu, port string) answer {
		return v.post("/apps/shop/settings", "generation", saw, "memory", memory, "cpu", cpu, "port", port, "health", "/healthz", "note", "bigger")
	}
	set("lots", "1", "8080").want(t, "bad memory", 400, "D123", `value="lots"`)
	set("512M", "fast", "8080").want(t, "bad cpu", 400, "D123", `value="fast"`)
	set("512M", "", "none").want(t, "bad port", 400, "D123", `value="none"`)
	set("512M", "0.5", "9000").sends(v, "settings", "/apps/shop/settings", "saved as v2", `value="512M"`, `value="0.5"`, `value="9000"`, `value="/healthz"`)
	set("1G", "0.5", "9000").want(t, "an edit of an old page", http.StatusPreconditionFailed, "D105", `value="1G"`)
}

func TestPages_HistoryAndRollback(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one")
	v.deployed("shop", "two")
	v.eventually("/apps/shop/releases", `Roll back to v1`)
	v.post("/apps/shop/rollback", "version", "v1").sends(v, "rollback", "/apps/shop/releases", "Rolling back to v1, as v3", "Rollback")
	v.eventually("/apps/shop", "v3 serves")
	v.post("/apps/shop/rollback", "version", "v99").want(t, "rollback to nothing", 404, "D104")
	v.post("/apps/shop/rollback", "version", "first").want(t, "rollback to no version", 400, "D101")
}

func TestPages_Domains(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one")
	v.deployed("other", "one")
	v.post("/apps/shop/domains", "host", "WWW.Example.com").sends(v, "bind", "/apps/shop/domains", "www.example.com is bound")
	v.post("/apps/other/domains", "host", "www.example.com").want(t, "bind again", 409, "D125")
	v.post("/apps/shop/domains", "host", "http://x/<b>").want(t, "no domain", 400, "D124", "http://x/&lt;b&gt;")
	v.post("/apps/shop/domains/unbind", "host", "www.example.com").sends(v, "unbind", "/apps/shop/domains", "is unbound")
}

func TestPages_LogsAreShownFollowedAndEscaped(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	v := visit(t, s).login()
	v.deployed("shop", "one")
	page := v.get("/apps/shop/logs").want(t, "logs", 200, "listening on 8080", "&lt;b&gt;warned")
	live := regexp.MustCompile(`data-live="([^"]+)"`).FindStringSubmatch(page.body)
	if live == nil {
		t.Fatal("the page is not live")
	}
	v.events(strings.ReplaceAll(live[1], "&amp;", "&"), func(event, data string) bool {
		id, html := fragmentOf(t, data)
		return event == "log" && id == "app-log" && strings.Contains(html, "GET / 200")
	})
	s.Away.Store(true)
	v.get("/apps/shop/logs").want(t, "logs without a leader", 200, `class="err"`)
}

func TestPages_LiveAppFollowsAScale(t *testing.T) {
	t.Parallel()
	v := visit(t, stage.Open(t)).login()
	v.deployed("shop", "one")
	scaled := false
	v.events("/live/apps/shop?tab=", func(event, data string) bool {
		if !scaled {
			scaled = true
			v.post("/apps/shop/scale", "instances", "4").want(t, "scale", http.StatusSeeOther)
		}
		id, html := fragmentOf(t, data)
		return event == "fragment" && id == "app-instances" && strings.Contains(html, "4 of 4 ready")
	})
}
