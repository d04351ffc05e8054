package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newTestSite lays files (name → content) into a folder and serves it.
func newTestSite(t *testing.T, spa bool, files map[string]string) *site {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return newSite(root, spa)
}

func request(s http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://site.test/", nil)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

var files = map[string]string{
	"index.html": "<h1>home</h1>", "style.css": "b{}", "style.css.br": "BR", "style.css.gz": "GZ",
	"docs/index.html": "docs", "docs/page.html": "page", "empty/file.txt": "f", "LICENSE": "free for all",
	".env": "SECRET=1", ".git/config": "secret", ".well-known/security.txt": "contact", "font.woff2": "w",
	"big.bin": strings.Repeat("0123456789", 100),
}

func TestSite_Serves(t *testing.T) {
	s := newTestSite(t, false, files)
	for _, c := range []struct {
		method, target string
		status         int
		body, kind     string
	}{
		{"GET", "/", 200, "<h1>home</h1>", "text/html; charset=utf-8"},
		{"GET", "/index.html", 200, "<h1>home</h1>", "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "", "text/html; charset=utf-8"},
		{"GET", "/style.css?v=2", 200, "b{}", "text/css; charset=utf-8"},
		{"GET", "/style.css.gz", 200, "GZ", "application/gzip"},
		{"GET", "/font.woff2", 200, "w", "font/woff2"},
		{"GET", "/LICENSE", 200, "free for all", "text/plain; charset=utf-8"},
		{"GET", "/docs/", 200, "docs", "text/html; charset=utf-8"},
		{"GET", "/docs//page.html", 200, "page", "text/html; charset=utf-8"},
		{"GET", "/.well-known/security.txt", 200, "contact", "text/plain; charset=utf-8"},
		{"GET", "/empty/", 404, "", ""},
		{"GET", "/empty", 404, "", ""},
		{"GET", "/nothing", 404, "", ""},
		{"GET", "/style.css/", 404, "", ""},
		{"GET", "/.env", 404, "", ""},
		{"GET", "/.git/config", 404, "", ""},
		{"GET", "/docs/../.env", 404, "", ""},
		{"GET", "/../../../etc/passwd", 404, "", ""},
		{"GET", "/a\x00b", 404, "", ""},
		{"POST", "/", 405, "", ""},
		{"DELETE", "/nothing", 405, "", ""},
	} {
		w := request(s, c.method, c.target)
		if w.Code != c.status {
			t.Errorf("%s %q = %d, want %d", c.method, c.target, w.Code, c.status)
		}
		if c.status == 200 && (w.Body.String() != c.body || w.Header().Get("Content-Type") != c.kind) {
			t.Errorf("%s %q = %q as %q, want %q as %q", c.method, c.target, w.Body, w.Header().Get("Content-Type"), c.body, c.kind)
		}
	}
	if got := request(s, "PUT", "/").Header().Get("Allow"); got != "GET, HEAD" {
		t.Errorf("Allow = %q", got)
	}
}

func TestSite_RedirectsAFolderToItsSlash(t *testing.T) {
	s := newTestSite(t, false, files)
	for target, want := range map[string]string{"/docs": "/docs/", "/docs?a=1": "/docs/?a=1", "//docs": "/docs/"} {
		w := request(s, "GET", target)
		if w.Code != 301 || w.Header().Get("Location") != want {
			t.Errorf("%s = %d to %q, want 301 to %q", target, w.Code, w.Header().Get("Location"), want)
		}
	}
}

func TestSite_StaysInsideItsFolder(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, target := range map[string]string{"absolute.txt": outside, "etc": "/etc", "up.txt": "../../secret.txt"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, target := range []string{"/absolute.txt", "/etc/passwd", "/up.txt"} {
		if w := request(newSite(root, false), "GET", target); w.Code != 404 {
			t.Errorf("%s = %d %q, want 404", target, w.Code, w.Body)
		}
	}
}

func TestSite_SendsThePrecompressedForm(t *testing.T) {
	s := newTestSite(t, false, files)
	for _, c := range []struct{ accept, encoding, body string }{
		{"", "", "b{}"},
		{"*", "", "b{}"},
		{"gzip", "gzip", "GZ"},
		{"gzip, deflate, br", "br", "BR"},
		{"br;q=0, gzip;q=0.5", "gzip", "GZ"},
		{"br;q=0.0,gzip;q=0", "", "b{}"},
		{"GZIP", "gzip", "GZ"},
	} {
		w := request(s, "GET", "/style.css", "Accept-Encoding", c.accept)
		h := w.Header()
		if h.Get("Content-Encoding") != c.encoding || w.Body.String() != c.body {
			t.Errorf("%q: %q encoded %q, want %q encoded %q", c.accept, w.Body, h.Get("Content-Encoding"), c.body, c.encoding)
		}
		if h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Type") != "text/css; charset=utf-8" {
			t.Errorf("%q: Vary %q, Content-Type %q", c.accept, h.Get("Vary"), h.Get("Content-Type"))
		}
	}
}

func TestSite_AnswersConditionsAndRanges(t *testing.T) {
	s := newTestSite(t, false, files)
	tag := request(s, "GET", "/big.bin").Header().Get("Etag")
	if w := request(s, "GET", "/big.bin", "If-None-Match", tag); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("same tag: %d with %d bytes, want 304 with none", w.Code, w.Body.Len())
	}
	if w := request(s, "GET", "/big.bin", "Range", "bytes=5-9"); w.Code != 206 || w.Body.String() != "56789" {
		t.Errorf("range: %d %q, want 206 56789", w.Code, w.Body)
	}
	if w := request(s, "GET", "/big.bin", "Range", "bytes=5-9", "If-Range", `"other"`); w.Code != 200 {
		t.Errorf("range of another version: %d, want the whole file", w.Code)
	}
	if w := request(s, "GET", "/big.bin", "Range", "bytes=5000-"); w.Code != 416 {
		t.Errorf("range past the end: %d, want 416", w.Code)
	}
}

func TestSite_TagFollowsTheContent(t *testing.T) {
	before := request(newTestSite(t, false, map[string]string{"a.txt": "one"}), "GET", "/a.txt").Header().Get("Etag")
	same := request(newTestSite(t, false, map[string]string{"a.txt": "one"}), "GET", "/a.txt").Header().Get("Etag")
	after := request(newTestSite(t, false, map[string]string{"a.txt": "two"}), "GET", "/a.txt").Header().Get("Etag")
	if before == "" || before != same || before == after {
		t.Errorf("tags: one %s, one again %s, two %s", before, same, after)
	}
}

func TestSite_SinglePageAppFallsBackForPagesOnly(t *testing.T) {
	s := newTestSite(t, true, files)
	for target, want := range map[string]int{
		"/users/7": 200, "/users/a.b": 200, "/deep/er/": 200, "/missing.js": 404, "/.env": 404, "/style.css": 200,
	} {
		if w := request(s, "GET", target); w.Code != want {
			t.Errorf("%s = %d, want %d", target, w.Code, want)
		}
	}
}

func TestSite_ShowsItsOwn404(t *testing.T) {
	s := newTestSite(t, false, map[string]string{"404.html": "ours"})
	if w := request(s, "GET", "/x"); w.Code != 404 || w.Body.String() != "ours" {
		t.Errorf("GET = %d %q, want 404 ours", w.Code, w.Body)
	}
	if w := request(s, "HEAD", "/x"); w.Code != 404 || w.Body.Len() != 0 {
		t.Errorf("HEAD = %d %q, want 404 without a body", w.Code, w.Body)
	}
}

// TestServe_FinishesRequestsInFlight ends the server while a request is being answered.
func TestServe_FinishesRequestsInFlight(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stop()
		// The listener closes once the shutdown has begun; only then answer.
		for {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				break
			}
			conn.Close()
		}
		_, _ = io.WriteString(w, "finished")
	})
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, l, slow) }()
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "finished" {
		t.Errorf("answer %q, %v; want finished", body, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}
