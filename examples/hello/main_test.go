package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

func TestRoutes(t *testing.T) {
	t.Setenv("APP_NAME", "shop")
	t.Setenv("GREETING", "Hi <there>")
	exited := 0
	h := logged(routes(func(code int) { exited = code }))
	for _, c := range []struct {
		target string
		status int
		body   string
	}{
		{"/", 200, "<dd>shop</dd>"},
		{"/", 200, "Hi &lt;there&gt;"},
		{"/healthz", 200, "ok"},
		{"/env?name=GREETING", 200, "Hi <there>"},
		{"/env?name=NOT_SET_ANYWHERE", 404, "not set"},
		{"/slow?ms=1", 200, "took 1 ms"},
		{"/slow?ms=-1", 400, "want a number"},
		{"/slow", 400, "want a number"},
		{"/nothing", 404, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", c.target, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s = %d %q, want %d %q", c.target, w.Code, w.Body, c.status, c.body)
		}
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/crash", nil))
	if exited != 3 {
		t.Errorf("crash exits with %d, want 3", exited)
	}
}

// TestRun_FinishesRequestsInFlight tells the program to end while it answers.
func TestRun_FinishesRequestsInFlight(t *testing.T) {
	addr := testenv.FreeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, addr) }()
	testenv.Eventually(t, 20*time.Second, func() error {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /slow?ms=300 HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// A second answer on another connection: by then the first request is being served.
	resp, err := http.Get("http://" + addr + "/slow?ms=50")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	stop()
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(answer), "took 300 ms\n") {
		t.Errorf("the open request got %q, %v", answer, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}
