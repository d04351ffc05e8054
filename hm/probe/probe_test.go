package probe

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app serves and returns its address.
func app(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// raw answers each connection with text, then f.
func raw(t *testing.T, text string, f func(net.Conn)) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	go func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text) // the prober may be gone: that is what some tests are about
			f(c)
			_ = c.Close()
		}
	}()
	return lis.Addr().String()
}

// heard reads the question: a connection that is closed before is reset.
func heard(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) }

// DEFECTS 51: the status was ignored, and "ok" in the body was believed.
func TestHTTP_JudgesByStatusAlone(t *testing.T) {
	for _, c := range []struct {
		path   string
		status int
		want   bool
	}{
		{"/healthz", 200, true}, {"/healthz", 204, true}, {"/healthz", 302, true}, {"/healthz", 401, false},
		{"/healthz", 404, false}, {"/healthz", 500, false}, {"/healthz", 503, false},
		{"", 200, true}, {"", 302, true}, {"", 401, true}, {"", 404, true}, {"", 500, false}, {"", 503, false},
	} {
		addr := app(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(c.status)
			if c.status >= 500 {
				_, _ = io.WriteString(w, "ok")
			}
		})
		if got := HTTP(t.Context(), Target{Addr: addr, Path: c.path}); got.OK != c.want || !got.Answered {
			t.Errorf("path %q, status %d: %+v", c.path, c.status, got)
		}
	}
}

func TestHTTP_AsksForTheAppsHostAndPath(t *testing.T) {
	addr := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "shop.example" || r.URL.String() != "/up?deep=1" || r.Header.Get("User-Agent") != "dinp-hm" {
			w.WriteHeader(404)
		}
	})
	got := HTTP(t.Context(), Target{Addr: addr, Host: "shop.example", Path: "/up?deep=1"})
	if !got.OK || !strings.HasPrefix(got.Evidence, "GET /up?deep=1 → 200 in ") {
		t.Errorf("%+v", got)
	}
}

func TestHTTP_OpensAConnectionForEachProbe(t *testing.T) {
	seen := map[string]bool{}
	addr := app(t, func(_ http.ResponseWriter, r *http.Request) { seen[r.RemoteAddr] = true })
	for range 3 {
		HTTP(t.Context(), Target{Addr: addr})
	}
	if len(seen) != 3 {
		t.Errorf("%d connections for 3 probes", len(seen))
	}
}

func TestHTTP_Evidence_SaysWhatHappened(t *testing.T) {
	closed := raw(t, "", heard)
	const refused = "127.0.0.1:1" // a port that is given to nobody
	answers := "GET /: not HTTP"  // the one that does
	for want, target := range map[string]Target{
		"GET /: connect: refused":                     {Addr: refused},
		"GET /x: connection closed without an answer": {Addr: closed, Path: "/x"},
		"GET /: not HTTP":                             {Addr: raw(t, "220 smtp ready\r\n", heard)},
		"GET /: invalid port":                         {Addr: "127.0.0.1:99999"}, // the monitor's own trouble
		"GET /%zz cannot be asked of 127.0.0.1:1":     {Addr: "127.0.0.1:1", Path: "/%zz"},
	} {
		got := HTTP(t.Context(), target)
		if got.OK || got.Evidence != want || got.Answered != (want == answers) {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
}

func TestHTTP_AnswerWithoutEnd_IsCutAndCounts(t *testing.T) {
	addr := app(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	if got := HTTP(t.Context(), Target{Addr: addr}); !got.OK {
		t.Errorf("%+v", got)
	}
}

func TestHTTP_EndlessHeaders_AreRefused(t *testing.T) {
	addr := raw(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20), func(net.Conn) {})
	if got := HTTP(t.Context(), Target{Addr: addr}); got.OK || !got.Answered {
		t.Errorf("%+v", got)
	}
}

func TestHTTP_NoAnswer_EndsWithItsContext(t *testing.T) {
	addr := raw(t, "", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got := HTTP(ctx, Target{Addr: addr}); got.OK || got.Answered || got.Evidence != "GET /: no answer within 2s" {
		t.Errorf("%+v", got)
	}
}
