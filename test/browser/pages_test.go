package browser

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

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

// On a phone no page is wider than the screen, and none is in trouble.
func TestPages_FitAPhone(t *testing.T) {
	t.Parallel()
	j := onStage(t)
	j.do("hold a phone", chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	j.choose("#file", fileOf(t, stage.SilentApp, []byte("PK\x05\x06"+string(make([]byte, 18)))))
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
