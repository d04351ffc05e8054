package browser

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/stage"
)

func onStage(t *testing.T) *journey {
	t.Helper()
	s := stage.Open(t)
	j := &journey{person: sitDown(t), dash: s.URL, user: s.User, password: s.Password}
	j.logIn()
	return j
}

func fileOf(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A refusal stands where the person is, with the file and the name still there.
func TestDropForm_ShowsARefusalInPlace(t *testing.T) {
	t.Parallel()
	j := onStage(t)
	j.choose("#file", fileOf(t, "My Shop-1.2.0.zip", []byte("this is no zip at all")))
	j.see(".drop", "My Shop-1.2.0.zip")
	j.see("#name-hint.ok", "my-shop.apps.localhost")
	j.click("#deploy")
	j.see("#deploy-problem .problem", "D130")
	j.finds("#deploy:not(:disabled)")
	j.choose("#file", fileOf(t, "big.zip", append([]byte("PK\x03\x04"), bytes.Repeat([]byte("x"), 12<<20)...)))
	j.see(".drop", "12.6 MB")
	j.click("#deploy")
	j.see("#deploy-problem .problem", "D131")
	j.untroubled()
}

// A person deploys a canary, watches its steps without loading the page again, and
// lets it take over when it is held; then takes another one back.
func TestSteps_APersonWatchesACanaryAndDecides(t *testing.T) {
	t.Parallel()
	s := stage.Open(t)
	j := &journey{person: sitDown(t), dash: s.URL, user: s.User, password: s.Password, first: fileOf(t, "one.zip", empty("one")), second: fileOf(t, "two.zip", empty("two"))}
	j.logIn()
	j.deploy()
	j.visit("")
	j.misses("#app-state", "of the requests")

	j.canary("v2")
	j.see("#app-steps", "1 of 3")
	j.see("#app-steps", "v2 gets 10 % of the requests")
	j.finds(`#app-steps progress[value="1"][max="3"]`)
	s.Step(t, app, func(d *model.Deployment) {
		d.Stage, d.StageAt, d.Judgement = 1, time.Now(), "120 requests, 1 failed"
	})
	j.see("#app-steps", "2 of 3")
	j.see("#app-steps", "v2 gets 50 % of the requests")
	j.see("#app-steps", "120 requests, 1 failed")
	s.Step(t, app, func(d *model.Deployment) { d.Held, d.Judgement = true, "3 of 50 requests came" })
	j.see("#app-steps", "3 of 50 requests came")
	j.click(`#app-steps details:has(form[action$="/promote"]) summary`)
	j.see("#app-steps .panel", "Let v2 take over without waiting and judging any more?")
	j.click(`#app-steps form[action$="/promote"] button`)
	j.see("#flash", "v2 takes over as soon as it is ready.")
	j.serves("v2", "Deploy")
	j.visit("")
	j.gone("#app-steps")

	j.canary("v3")
	j.see("#app-steps", "v3 gets 10 % of the requests")
	j.click(`#app-steps details:has(form[action$="/rollback"]) summary`)
	j.see(`#app-steps .panel:has(form[action$="/rollback"])`, "Return to v2?")
	j.click(`#app-steps form[action$="/rollback"] button`)
	j.see("#flash", "Rolling back to v2, as v4")
	j.untroubled()
}

// empty is a zip archive without files; its comment tells it from others.
func empty(comment string) []byte {
	end := append([]byte("PK\x05\x06"), make([]byte, 16)...)
	return append(append(end, byte(len(comment)), 0), comment...)
}

// canary deploys the artifact that does not serve, by steps, and goes to the app's page.
func (j *journey) canary(version string) {
	j.t.Helper()
	j.visit("deploy")
	j.first, j.second = j.second, j.first
	j.choose("#file", j.first)
	j.click("details:has(#f-strategy) summary")
	j.pick("#f-strategy", "canary")
	j.click("#deploy")
	j.seeWithin(longPatience, "#deploy-state", version)
	j.visit("")
}

// On a phone no page is wider than the screen, and none is in trouble.
func TestPages_FitAPhone(t *testing.T) {
	t.Parallel()
	j := onStage(t)
	j.do("hold a phone", chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	j.choose("#file", fileOf(t, stage.SilentApp, empty("")))
	j.fill("#name", "a-rather-long-name-for-an-app-to-have-on-a-phone")
	j.finds("#name-hint.ok")
	j.click("#deploy")
	j.see("#deploy-state", "D142")
	j.fits("deploy")
	const app = "/apps/a-rather-long-name-for-an-app-to-have-on-a-phone"
	for _, path := range []string{
		"/apps", app, app + "/deploy", app + "/releases", app + "/env", app + "/domains", app + "/logs", app + "/events", app + "/settings",
		"/builds", "/nodes", "/people", "/tokens", "/audit", "/no/such/page",
	} {
		j.open(j.dash + path)
		j.finds("main h1")
		j.fits(path)
	}
	j.untroubled()
}

func (j *journey) fits(what string) {
	j.t.Helper()
	over, err := chromedp.Run(j.tab, chromedp.Evaluate[int]("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
	if err != nil {
		j.stop(err.Error())
	}
	if over > 0 {
		j.t.Errorf("%s is %d pixels wider than a phone", what, over)
		j.shot("wide" + filepath.Base(what))
	}
}
