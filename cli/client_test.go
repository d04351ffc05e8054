package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func testClient(f *fakeDash) *client {
	c := newConsole()
	c.pause = time.Millisecond
	return c.clientOf(f.URL, "secret")
}

func TestClient_RetriesReadsAndWritesWithOneKey(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var tries atomic.Int64
	keys := map[string]bool{}
	f.mux.HandleFunc("POST /shaky", func(w http.ResponseWriter, r *http.Request) {
		keys[r.Header.Get("Idempotency-Key")] = true
		switch tries.Add(1) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2: // the first try is still at work
			refuse(w, 409, model.E(model.CodeConflict, "still at work"))
		case 3:
			refuse(w, 503, model.E(model.CodeUnavailable, "the database is away"))
		default:
			answer(w, 200, api.Domain{Host: "x"})
		}
	})
	d, err := send[api.Domain](t.Context(), testClient(f), http.MethodPost, "/shaky", nil)
	if err != nil || d.Host != "x" || tries.Load() != 4 || len(keys) != 1 {
		t.Errorf("got %v, %v after %d tries with %d keys", d, err, tries.Load(), len(keys))
	}
}

func TestClient_DoesNotRepeatARefusal(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("GET /no", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, model.E(model.CodeDenied, "no")) })
	_, err := get[api.App](t.Context(), testClient(f), "/no")
	if !model.IsCode(err, model.CodeDenied) || f.seen("GET /no") != 1 {
		t.Errorf("got %v after %d tries", err, f.seen("GET /no"))
	}
}

func TestClient_ForeignAnswers(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("GET /html", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>go away", http.StatusBadGateway) })
	f.mux.HandleFunc("GET /moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	})
	for path, code := range map[string]model.Code{"/html": model.CodeUnavailable, "/moved": model.CodeBadRequest, "/missing": model.CodeNotFound} {
		if _, err := get[api.App](t.Context(), testClient(f), path); !model.IsCode(err, code) {
			t.Errorf("%s: got %v, want code %s", path, err, code)
		}
	}
}

func TestClient_ServerAway(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Close()
	want(t, run(t, f, "apps"), 1, "", "error D106: cannot reach "+f.URL, "still: apps keep running")
}

func TestDial_LocalhostNamesMeanThisMachine(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"shop.apps.localhost", "LOCALHOST", "a.localhost.", "127.0.0.1"} {
		conn, err := dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		conn.Close()
	}
	for _, host := range []string{"localhost.example.com", "notlocalhost", "10.0.0.1"} {
		if isLoopback(host) {
			t.Errorf("%s is taken for this machine", host)
		}
	}
}

func TestContext_FileIsPrivateAndSurvives(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "dinp")
	if err := SaveContext(dir, "local", "http://localhost:8000", "s3cret", "admin"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, contextFile)
	if err := os.Chmod(path, 0o644); err != nil { // as a careless copy leaves it
		t.Fatal(err)
	}
	if err := SaveContext(dir, "other", "https://dinp.example", "t2", "ann"); err != nil {
		t.Fatal(err)
	}
	for p, mode := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, want %v (%v)", p, info.Mode().Perm(), mode, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (%v), want one file", entries, err)
	}
	c, err := loadContexts(dir)
	if err != nil || c.Current != "other" || c.Contexts["local"].Token != "s3cret" {
		t.Errorf("read %+v, %v", c, err)
	}
}

func TestContext_TokenGoesOnlyToItsOwnServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := SaveContext(dir, "prod", "https://dinp.example", "s3cret", "admin"); err != nil {
		t.Fatal(err)
	}
	for url, token := range map[string]string{"": "s3cret", "https://dinp.example/": "s3cret", "https://evil.example": ""} {
		c := newConsole()
		c.getenv = func(k string) string { return map[string]string{"DINP_HOME": dir, "DINP_URL": url}[k] }
		if v, err := c.server(); err != nil || v.Token != token {
			t.Errorf("DINP_URL=%q: token %q, %v; want %q", url, v.Token, err, token)
		}
	}
}

func TestContext_BadFileNamesItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, contextFile), []byte("curent: prod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runIn(t.Context(), nil, map[string]string{"DINP_HOME": dir}, "", "apps")
	want(t, r, 1, "", "error D112", contextFile, "curent")
}

func TestServerURL(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{
		"localhost:8000": "http://localhost:8000", "dinp.example.com": "https://dinp.example.com", "http://h:1/": "http://h:1",
		"https://h/api/v1/": "https://h", "ftp://h": "", "": "", "http://": "", "https://ann:pw@h": "", "127.0.0.1:8000": "http://127.0.0.1:8000",
	} {
		got, err := serverURL(in)
		if got != out || (err == nil) != (out != "") {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, out)
		}
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for code, args := range map[int][]string{ExitOK: {"apps"}, ExitFailure: {"app", "nowhere"}, ExitUsage: {"app"}} {
		if r := run(t, f, args...); r.code != code {
			t.Errorf("%v: exit code %d, want %d", args, r.code, code)
		}
	}
	for _, args := range [][]string{{"nonsense"}, {"users", "nonsense"}, {"scale", "shop", "many"}, {"maintenance", "shop", "perhaps"}, {"build"}, {"env", "shop", "put"}} {
		if r := run(t, f, args...); r.code != ExitUsage || !strings.Contains(r.err, "next: dinp") {
			t.Errorf("%v: exit code %d, want %d; %s", args, r.code, ExitUsage, r.err)
		}
	}
}

func TestPrintError_OfOthers(t *testing.T) {
	t.Parallel()
	for text, err := range map[string]error{
		"error D100: odd\n":                         errors.New("odd"),
		"error D120: x\n":                           fmt.Errorf("wrapped: %w", model.E(model.CodeBadAppName, "x")),
		"error D101: open x: file does not exist\n": &os.PathError{Op: "open", Path: "x", Err: os.ErrNotExist},
	} {
		var b strings.Builder
		if PrintError(&b, err); b.String() != text {
			t.Errorf("got %q, want %q", b.String(), text)
		}
	}
}

func TestClean_TakesTerminalControlOut(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{
		"plain ünïcode → \t ok": "plain ünïcode → \t ok", "\x1b[31mred\x1b[0m": "red", "\x1b]0;title\x07x": "x", "a\rb\x00c\u009bd": "abcd", "\x1b(Bx\x1bMy": "(Bxy",
	} {
		if got := clean(in); got != out {
			t.Errorf("%q: got %q, want %q", in, got, out)
		}
	}
}

func TestReadEvents(t *testing.T) {
	t.Parallel()
	var got []event
	err := readEvents(strings.NewReader(": hello\r\n\r\nevent: log\r\nid: 7\r\ndata: one\r\ndata:two\r\n\r\ndata: three\n\nevent: half\ndata: x\n"), func(e event) error {
		got = append(got, e)
		return nil
	})
	if err != nil || len(got) != 2 || got[0] != (event{"7", "log", "one\ntwo"}) || got[1] != (event{"7", "", "three"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := readEvents(strings.NewReader("data: x\n\n"), func(event) error { return io.ErrUnexpectedEOF }); err != io.ErrUnexpectedEOF {
		t.Errorf("the receiver's error became %v", err)
	}
}
