package view

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

func TestZZShots(t *testing.T) {
	v, err := New()
	if err != nil {
		t.Fatal(err)
	}
	all := samples()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/static/") {
			ServeAsset(w, r)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		s := all[strings.TrimPrefix(r.URL.Path, "/")]
		lang := r.URL.Query().Get("lang")
		p := &Page{Lang: lang, Title: "T", Path: "/", Section: "/apps", Version: "1.0", User: &User{Name: "admin", Admin: true}, Data: s.data}
		if s.page == "login" {
			p.User, p.Class = nil, "login"
		}
		if strings.Contains(r.URL.RawQuery, "flash") {
			p.Flash = &Flash{Text: "shop is scaled to 2"}
		}
		v.Render(w, s.page, p)
	}))
	defer srv.Close()
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true)))
	defer cancel()
	shot := func(name, lang, scheme string, width int64, open string) {
		h := int64(800)
		err := chromedp.Do(ctx, chromedp.EmulateViewport(width, h), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			return err
		}), chromedp.Navigate(srv.URL+"/"+name+"?lang="+lang+"&flash"))
		if err != nil {
			t.Fatal(err)
		}
		if open != "" {
			if err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(open))); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := chromedp.Run(ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth-innerWidth")); err != nil || n > 0 {
			t.Logf("%s at %d scrolls sideways by %d %v", name, width, n, err)
		}
		b, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		os.MkdirAll("/tmp/shots", 0o755)
		os.WriteFile("/tmp/shots/"+name+"-"+lang+"-"+scheme+"-"+map[bool]string{true: "phone", false: "desk"}[width < 600]+".png", b, 0o644)
	}
	want := os.Getenv("SHOTS")
	for name := range all {
		if want != "" && !strings.Contains(want, name) {
			continue
		}
		open := ""
		if name == "app-releases" {
			open = "details.ask summary"
		}
		if name == "apps-empty" {
			continue
		}
		shot(name, "en", "light", 1200, open)
		shot(name, "zh", "dark", 1200, open)
		shot(name, "en", "dark", 390, open)
		shot(name, "zh", "light", 390, open)
	}
}
