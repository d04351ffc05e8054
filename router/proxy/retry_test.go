package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dinp/dinp/router/balance"
)

// readHead consumes a request's head.
func readHead(c net.Conn) {
	http.ReadRequest(bufio.NewReader(c))
}

func TestRetry_DeadEndpointIsNeverSeenByTheClient(t *testing.T) {
	t.Parallel()
	live := app(t, mirror)
	tries := 0
	for i := range 40 {
		method, body := "GET", ""
		if i%2 == 1 { // nothing was sent yet: even a POST can go elsewhere
			method, body = "POST", "order"
		}
		f := newFront(t, Config{}, deadAddr, live) // new, so that the dead one is not ejected yet
		if s := f.seen(f.request(method, "/", strings.NewReader(body))); s.Body != body {
			t.Errorf("the app saw %q, want %q", s.Body, body)
		}
		tries += f.record(0).Attempts
	}
	if tries == 40 {
		t.Error("the dead endpoint was never tried: the test proves nothing")
	}
}

func TestRetry_ConnectionThatDiesBeforeAnAnswer(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	dying := rawApp(t, func(c net.Conn) { hits.Add(1); readHead(c) })
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		f := newFront(t, Config{}, dying, app(t, says("ok")))
		for range 10 {
			if resp, _ := f.do(f.request(method, "/", nil)); resp.StatusCode != 200 {
				t.Errorf("%s: %d", method, resp.StatusCode)
			}
		}
	}
	if hits.Load() == 0 {
		t.Error("the dying endpoint was never tried: the test proves nothing")
	}
}

func TestRetry_PostIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	var got atomic.Int32
	dying := func() string { return rawApp(t, func(c net.Conn) { readHead(c); got.Add(1) }) }
	f := newFront(t, Config{}, dying(), dying(), dying())
	for i := range 20 {
		body := io.Reader(nil)
		if i%2 == 1 {
			body = strings.NewReader("pay 10")
		}
		if resp, _ := f.do(f.request("POST", "/", body)); resp.StatusCode != 502 {
			t.Errorf("status %d, want 502", resp.StatusCode)
		}
	}
	if n := got.Load(); n != 20 {
		t.Errorf("20 POSTs arrived %d times", n)
	}
}

func TestRetry_StaleKeepAliveIsRetried(t *testing.T) {
	t.Parallel()
	// Answers one request a connection without saying that it closes: the
	// second request on each finds it dead.
	addr := rawApp(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		r.Peek(1)
	})
	f := newFront(t, Config{}, addr)
	for range 10 {
		if resp, body := f.get("/"); resp.StatusCode != 200 || body != "ok" {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
}

func TestRetry_BudgetEndsARetryStorm(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	dying := func() string { return rawApp(t, func(c net.Conn) { hits.Add(1); readHead(c) }) }
	f := newFront(t, Config{}, dying(), dying(), dying(), dying())
	const n = 300
	for range n {
		f.get("/")
	}
	limit := n + balance.RetryBurst + n/5
	if got := int(hits.Load()); got > limit {
		t.Errorf("%d attempts for %d requests, the budget allows %d", got, n, limit)
	}
}

func TestRetry_UploadCutByTheClientBlamesNobodyElse(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, mirror))
	c, err := net.Dial("tcp", f.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: shop.local\r\nContent-Length: 1000\r\n\r\nonly this")
	c.(*net.TCPConn).CloseWrite()
	if r := f.record(0); r.Why != WhyClientGone || r.Attempts != 1 {
		t.Errorf("record %+v", r)
	}
	c.Close()
	if s := f.set.States(f.set.Table().Lookup(host, "/"))[0]; s.Ejected {
		t.Error("the endpoint was ejected for the client's fault")
	}
}
