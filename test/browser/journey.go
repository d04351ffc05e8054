package browser

import (
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
)

const (
	app    = "journey"
	domain = "journey-shop.localhost" // browsers take every name under localhost to this machine
)

// journey is one person's way through the dashboard of one platform.
type journey struct {
	*person
	dash           string
	user, password string
	first, second  string // artifacts
	url            string // of the app
	page1          string // what the first artifact says
}

// Journey does in a browser what a person does with a new platform: from the
// login over the first deploy, scaling, configuration and a second version to the
// rollback, a custom domain and the logout. Every step is judged by what the page
// shows. The artifacts must serve different text at /. The app is left running.
func Journey(t *testing.T, dashURL, user, password, artifactPath, artifactPath2 string) {
	t.Helper()
	j := &journey{person: sitDown(t), dash: dashURL, user: user, password: password, first: artifactPath, second: artifactPath2}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"log in", j.logIn}, {"deploy", j.deploy}, {"open", j.openApp}, {"instances", j.instances}, {"scale", j.scale}, {"env", j.env},
		{"second version", j.secondVersion}, {"roll back", j.rollBack}, {"domain", j.bindDomain}, {"logs", j.logs}, {"language", j.language}, {"log out", j.logOut},
	} {
		t.Log("browser: ", step.name)
		step.do()
		j.shot(step.name)
	}
	j.untroubled()
}

func (j *journey) logIn() {
	j.open(j.dash)
	j.see("h1", "Log in")
	j.fill("#user", j.user)
	j.fill("#password", "not the password")
	j.click("main button[type=submit]")
	j.see(".problem", "D102")
	j.fill("#password", j.password)
	j.click("main button[type=submit]")
	j.see("#who", j.user)
}

// deploy is three clicks: the file, the name, Deploy.
func (j *journey) deploy() {
	j.open(j.dash + "/apps")
	j.choose("#file", j.first)
	j.see(".drop", filepath.Base(j.first))
	j.fill("#name", "Not A Name")
	j.see("#name-hint.bad", "Not A Name")
	j.fill("#name", app)
	j.see("#name-hint.ok", app+".")
	j.click("#deploy")
	j.see("h1", "Deploy of "+app)
	j.see("#deploy-state", filepath.Base(j.first))
	j.seeWithin(longPatience, "#answer", "v1 is live")
	j.see("#deploy-rollout", "ready")
	j.misses("#build-log", "Nothing yet")
	j.url = j.link("#url")
	j.open(j.dash + "/apps") // and it is still there after another look
	j.see("#apps-list", app)
}

func (j *journey) openApp() {
	if j.page1 = j.reads(j.url); j.page1 == "" {
		j.stop("the app's page is empty")
	}
}

func (j *journey) visit(name string) {
	j.t.Helper()
	j.open(j.dash + "/apps")
	j.click(`#apps-list a[href="/apps/` + app + `"]`)
	j.see("h1", app)
	if name != "" {
		j.click(`.tabs a[href="/apps/` + app + "/" + name + `"]`)
		j.finds(`.tabs a[href$="/` + name + `"][aria-current]`)
	}
}

func (j *journey) instances() {
	j.visit("")
	j.see("#ready-count", "1 of 1 ready")
	j.see("#app-instances tbody", "ready")
	j.see("#app-instances tbody", "v1")
	j.see("#live-state.on", "Live")
}

func (j *journey) scale() {
	j.fill("#instances", "2")
	j.click("#scale")
	j.see("#flash", app+" is scaled to 2")
	j.seeWithin(longPatience, "#ready-count", "2 of 2 ready")
	j.see("#app-instances tbody tr:nth-child(2)", "ready")
}

func (j *journey) env() {
	j.visit("env")
	j.fill("#env-new input[name=name]", "GREETING")
	j.fill("#env-new input[name=value]", "good-morning")
	j.click("#env-save")
	j.see("#flash", "saved as v2")
	j.see("main table", "GREETING")
	j.misses("main", "good-morning")
	j.click("#show-values")
	j.finds(`input[value="good-morning"]`)
	j.serves("v2", "Environment")
}

// serves waits on the history until a release is the one that serves.
func (j *journey) serves(version, cause string) {
	j.t.Helper()
	j.visit("releases")
	row := `#app-releases tr[data-key="` + version + `"]`
	j.see(row, cause)
	j.seeWithin(longPatience, row, "serving")
}

func (j *journey) secondVersion() {
	j.visit("deploy")
	j.choose("#file", j.second)
	j.see(".drop", filepath.Base(j.second))
	j.click("#deploy")
	j.see("h1", "Deploy of "+app)
	j.seeWithin(longPatience, "#answer", "v3 is live")
	if got := j.reads(j.url); got == j.page1 {
		j.stop("the second version says the same as the first")
	}
}

func (j *journey) rollBack() {
	j.visit("releases")
	row := `#app-releases tr[data-key="v2"] `
	j.click(row + "summary")
	j.see(row+".panel", "v2")
	j.click(row + ".panel button")
	j.see("#flash", "Rolling back to v2, as v4")
	j.serves("v4", "Rollback")
	if got := j.reads(j.url); got != j.page1 {
		j.stop(fmt.Sprintf("after the rollback the app says %q, and the first version said %q", got, j.page1))
	}
}

func (j *journey) bindDomain() {
	j.visit("domains")
	j.fill("#host", domain)
	j.click("#bind")
	j.see("#flash", domain+" is bound")
	j.see("main table", domain)
	u, err := url.Parse(j.url)
	if err != nil {
		j.t.Fatal(err)
	}
	if got := j.reads("http://" + domain + ":" + u.Port() + "/"); got != j.page1 {
		j.stop("the custom domain does not lead to the app")
	}
}

func (j *journey) logs() {
	j.visit("logs")
	j.see("#live-state.on", "Live")
}

func (j *journey) language() {
	j.click("header button[name=lang]")
	j.see("header", "应用")
	j.click("header button[name=lang]")
	j.see("header", "Apps")
}

func (j *journey) logOut() {
	j.click("#logout")
	j.see("h1", "Log in")
	j.open(j.dash + "/apps/" + app)
	j.see("h1", "Log in")
}
