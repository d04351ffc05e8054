// Package browser lets a test use the dashboard as a person does: in a real
// Chromium, by what stands on the page. End-to-end tests call Journey; it needs
// `chromium` in PATH and never looks behind the page.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// How long a person waits: for a page to answer, and for a build and rollout.
const (
	patience     = 30 * time.Second
	longPatience = 3 * time.Minute
	lookAgain    = 100 * time.Millisecond
)

// person is somebody at a browser with one tab. Whatever a person cannot do, or
// does not see in time, ends the test with what the page said instead.
type person struct {
	t   testing.TB
	tab context.Context // of the browser's tab: the type is that lifetime

	mu       sync.Mutex // guards troubles
	troubles []string   // what the browser complained about
}

// sitDown starts a browser that ends with the test.
func sitDown(t testing.TB) *person {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("the browser test needs chromium in PATH: ", err)
	}
	tab, leave := chromedp.NewContext(t.Context(), chromedp.WithAllocatorOptions(
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("accept-lang", "en-US"), chromedp.Flag("no-proxy-server", true),
	))
	p := &person{t: t, tab: tab}
	t.Cleanup(func() {
		_ = chromedp.Cancel(tab) // waits until the browser has let go of its directory
		leave()
	})
	if err := chromedp.Listen(tab, p.hear); err != nil {
		t.Fatal("chromium did not start: ", err)
	}
	return p
}

// hear notes script errors, and whatever the content security policy refused.
func (p *person) hear(ev any) {
	trouble := ""
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		if trouble = e.ExceptionDetails.Text; e.ExceptionDetails.Exception != nil {
			trouble += " " + e.ExceptionDetails.Exception.Description
		}
	case *log.EventEntryAdded:
		if strings.Contains(e.Entry.Text, "Content Security Policy") {
			trouble = e.Entry.Text
		}
	}
	if trouble != "" {
		p.mu.Lock()
		p.troubles = append(p.troubles, trouble)
		p.mu.Unlock()
	}
}

// untroubled fails the test when the browser complained about a page.
func (p *person) untroubled() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.troubles {
		p.t.Error("the browser complained: ", s)
	}
}

func (p *person) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.stop(fmt.Sprintf("cannot %s: %v", what, err))
	}
}

// stop ends the test with the page as it is; with DINP_SHOTS set, a picture of it
// is left in that directory.
func (p *person) stop(why string) {
	p.t.Helper()
	p.shot("failed")
	at, _ := chromedp.Run(p.tab, chromedp.Location())
	p.t.Fatalf("%s\nat %s, the page says:\n%s", why, at, p.text("body"))
}

// shot takes a picture of the whole page, when DINP_SHOTS asks for pictures.
func (p *person) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("DINP_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.tab, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Log("no picture: ", err)
	}
}

func (p *person) open(url string) {
	p.t.Helper()
	p.do("open "+url, chromedp.Navigate(url))
}

func (p *person) click(selector string) {
	p.t.Helper()
	p.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// fill types over what a field holds. The keys go to whatever has the focus: chromedp's
// SendKeys reads what it knows of the field while it hears of changes to it.
func (p *person) fill(selector, words string) {
	p.t.Helper()
	p.do("type into "+selector, chromedp.WaitVisible(chromedp.CSS(selector)), script(element(selector)+".focus(), "+element(selector)+".select()"), chromedp.KeyEvent(words))
}

// pick takes one of a list's choices.
func (p *person) pick(selector, value string) {
	p.t.Helper()
	p.do("pick "+value, chromedp.WaitVisible(chromedp.CSS(selector)), script(fmt.Sprintf("%s.value = %q, %[1]s.dispatchEvent(new Event('change', {bubbles: true}))", element(selector), value)))
}

// script is a step that only acts on the page.
func script(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](js+", true")(ctx, t)
		return err
	})
}

// choose gives a file to a file field, as dropping it there does.
func (p *person) choose(selector, file string) {
	p.t.Helper()
	p.do("choose "+file, chromedp.SetUploadFiles(chromedp.CSS(selector), []string{file}))
}

func element(selector string) string {
	b, err := json.Marshal(selector)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return "document.querySelector(" + string(b) + ")"
}

// text is what a person reads in an element now: "" when it is not there, or while
// the page is changing.
func (p *person) text(selector string) string {
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](element(selector)+"?.innerText ?? ''"))
	if err != nil {
		return ""
	}
	return s
}

// see waits until an element shows the words.
func (p *person) see(selector, words string) {
	p.t.Helper()
	p.seeWithin(patience, selector, words)
}

func (p *person) seeWithin(limit time.Duration, selector, words string) {
	p.t.Helper()
	p.until(limit, fmt.Sprintf("%s with %q", selector, words), func() bool { return strings.Contains(p.text(selector), words) })
}

// until looks again and again; there is no event for "the page says so".
func (p *person) until(limit time.Duration, what string, seen func() bool) {
	p.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for !seen() {
		select {
		case <-deadline.C:
			p.stop(fmt.Sprintf("after %s there is no %s", limit, what))
		case <-again.C:
		}
	}
}

// finds waits until an element is there.
func (p *person) finds(selector string) {
	p.t.Helper()
	p.until(patience, selector, func() bool {
		ctx, cancel := context.WithTimeout(p.tab, patience)
		defer cancel()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](element(selector)+" !== null"))
		return ok && err == nil
	})
}

// gone waits until an element is there no more.
func (p *person) gone(selector string) {
	p.t.Helper()
	p.until(patience, "page without "+selector, func() bool {
		ctx, cancel := context.WithTimeout(p.tab, patience)
		defer cancel()
		gone, err := chromedp.Run(ctx, chromedp.Evaluate[bool](element(selector)+" === null"))
		return gone && err == nil
	})
}

// misses fails the test when the page shows the words.
func (p *person) misses(selector, words string) {
	p.t.Helper()
	if strings.Contains(p.text(selector), words) {
		p.stop(fmt.Sprintf("%s shows %q", selector, words))
	}
}

// link is where an element leads to.
func (p *person) link(selector string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	href, err := chromedp.Run(ctx, chromedp.Evaluate[string](element(selector)+".href"))
	if err != nil {
		p.stop(fmt.Sprintf("%s leads nowhere: %v", selector, err))
	}
	return href
}

// reads opens a URL outside the dashboard until it answers 200, and returns the first line of what
// stands there: a new route takes a moment to reach the router.
func (p *person) reads(url string) string {
	p.t.Helper()
	p.until(patience, "answer at "+url, func() bool {
		ctx, cancel := context.WithTimeout(p.tab, patience)
		defer cancel()
		res, err := chromedp.Run(ctx, chromedp.NavigateResponse(url))
		return err == nil && res != nil && res.Status == 200
	})
	first, _, _ := strings.Cut(strings.TrimSpace(p.text("body")), "\n")
	return first
}
