package conformance

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// FuzzPaths sends the same bytes to both paths. The fast path may refuse what
// net/http reads leniently; what it serves, the app must get as it would have
// got it by the full path, and what it does not serve must not get lost.
func FuzzPaths(f *testing.F) {
	for _, k := range slices.Concat(requestCases, bodyCases, targetCases, forwardCases, refusedCases) {
		f.Add([]byte(k.request()))
	}
	for _, k := range tricks() {
		f.Add([]byte(crlf(k.send)))
	}
	a := newApp(f, func(message) string { return plainReply })
	fast, full := open(f, options{}), open(f, options{full: true})
	fast.route(a.addr())
	full.route(a.addr())
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := speak(raw)
		if len(b) > 4<<10 || expects(b) {
			return
		}
		padded, ends := outline(b)
		if padded {
			return
		}
		if first := fast.sends(t, a, b, 5*time.Millisecond); !ends && (!first.ended || first.refused()) {
			return // it waits for the rest, or does not want it
		}
		// Who is cut off on a busy machine is asked again; a disagreement stays one.
		// An input must not take ten seconds: the fuzzer would take it for dead.
		difference := ""
		for _, wait := range []time.Duration{time.Second, time.Second, 2 * time.Second} {
			if difference = compare(fast.sends(t, a, b, wait), full.sends(t, a, b, wait)); difference == "" {
				return
			}
		}
		t.Fatalf("of %q\n%s", b, difference)
	})
}

// words are what requests consist of, and what smuggles. Bytes that no head
// should have stand for them in what is fuzzed: so a change of one byte makes
// another request, rather than nonsense.
var words = []string{
	"\r\n", "\r\n", "\r\n\r\n", "\n", "\r", "\t", " ", "  ", "\x00", "\x7f", "\x80", "\xff", "\xc5\xab", ":", ": ", " : ", ",", ";", "=", "\"", "/", "//", "?", "%", "%2f", "%zz", "#", "*",
	"GET / HTTP/1.1\r\nHost: shop.local\r\n\r\n", "POST / HTTP/1.1\r\nHost: shop.local\r\n", "PUT /a HTTP/1.1\r\nHost: shop.local\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n",
	"GET http://shop.local/x HTTP/1.1\r\nHost: other.local\r\n", "CONNECT shop.local:80 HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "get", "DELETE ", "M-SEARCH ", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/2.0\r\n", " HTTP/1.2\r\n", " http/1.1\r\n",
	"Host: shop.local\r\n", "Host: SHOP.local.\r\n", "Host: shop.local:80\r\n", "Host: [::1]\r\n", "Host: www.shop.example\r\n", "Host:\r\n", "Host: a b\r\n", "Host: closed.local\r\n", "Host: empty.local\r\n",
	"Content-Length: 0\r\n", "Content-Length: 2\r\n\r\nxx", "Content-Length: 5\r\n", "Content-Length: +1\r\n", "Content-Length: 1, 1\r\n", "Content-Length: 18446744073709551617\r\n", "content-length:2\r\n",
	"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer-encoding:CHUNKED \r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: identity\r\n", "TE: trailers\r\n", "TE: gzip\r\n", "TE: trailers, deflate;q=0.5\r\n",
	"2\r\nxx\r\n", "2;a=b\r\nxx\r\n", "2;a=\"\r\n\"\r\n", "02\r\nxx\r\n", "2 \r\nxx\r\n", "0\r\n\r\n", "0\r\nX-T: y\r\n\r\n", "0\r\nHost: evil\r\n\r\n", "00\r\n", "ffffffff\r\n", "Trailer: X-T\r\n", "Trailer: Host\r\n",
	"Connection: close\r\n", "Connection: keep-alive\r\n", "Connection: X-A\r\n", "Connection: Content-Length\r\n", "Connection: close, te\r\n", "Connection: upgrade\r\nUpgrade: websocket\r\n", "Upgrade: h2c\r\n", "Keep-Alive: timeout=5\r\n", "Proxy-Connection: close\r\n", "Proxy-Authorization: x\r\n", "Proxy-Authenticate: x\r\n",
	"X-A: b\r\n", "X-A:\r\n", "X-A : b\r\n", "X-A: b\r\n c\r\n", " X-A: b\r\n", ": b\r\n", "X-A\r\n", "X_A: b\r\n", "X-A: \xe9\r\n", "X-A: b \t \r\n", "x-a: c\r\n",
	"X-Forwarded-For: 1.1.1.1\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: evil\r\n", "X-Forwarded-Port: 1\r\n", "X-Forwarded-Prefix: /a\r\n", "Forwarded: for=1.1.1.1\r\n", "X-Real-Ip: 1.1.1.1\r\n", "X-Request-Id: mine\r\n", "X-Request-Id: a b\r\n",
	"Cookie: a=b\r\n", "Cookie: dinp-session-shop=x\r\n", "Accept-Encoding: gzip\r\n", "User-Agent: x\r\n", "Referer: /\r\n", "If-None-Match: x\r\n", "Range: bytes=0-1\r\n", "Authorization: Basic YTpi\r\n", "Pragma: no-cache\r\n",
	"/a;b=c", "/%2e%2e/", "/../a", "/a//b", "?a=1;b=2", "?a=%zz", "/.well-known/acme-challenge/x", "/a|b", "/a b",
}

// speak replaces each byte that stands for a word.
func speak(raw []byte) (b []byte) {
	for _, c := range raw {
		if i := int(c) - 0x80; i >= 0 && i < len(words) {
			b = append(b, words[i]...)
		} else {
			b = append(b, c)
		}
	}
	return b
}

// expects reports whether a client may wait for leave to send its body: then
// who is faster decides what is sent.
func expects(b []byte) bool { return bytes.Contains(bytes.ToLower(b), []byte("expect")) }

// outline tells of a client's bytes whether blank lines stand between requests
// — RFC 9112 2.2 wants them ignored, as the fast path does; net/http refuses
// them, but for some behind a POST — and whether they end the connection, as
// net/http reads them.
func outline(b []byte) (padded, ends bool) {
	r := bufio.NewReader(bytes.NewReader(append(bytes.Clone(b), last...)))
	for {
		if next, _ := r.Peek(1); len(next) == 0 || next[0] == '\r' || next[0] == '\n' {
			return len(next) > 0, false
		}
		req, err := http.ReadRequest(r)
		if err == nil {
			_, err = io.Copy(io.Discard, req.Body)
		}
		if err != nil || req.Close {
			return false, !errors.Is(err, io.ErrUnexpectedEOF)
		}
	}
}

// last is the request that ends the connection.
const last = "GET /after HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n\r\n"

// outcome is what became of a client's bytes.
type outcome struct {
	app   []string // whole messages that the app was sent
	back  []byte   // what the client was sent
	ended bool     // by the router: nothing more will come
	bad   []error  // of the app, which was sent what is no message
}

// refused reports whether the fast path has refused the last request itself.
func (o outcome) refused() bool { return bytes.HasSuffix(o.back, []byte("\r\n\r\nbad request.\n")) }

// compare returns what is wrong with two outcomes of the same bytes, or "".
func compare(fast, full outcome) string {
	refused := fast.refused()
	if !fast.ended || !full.ended && !refused { // what is refused, net/http may read as a wish to keep the connection
		return fmt.Sprintf("the router has ended the connection: %v by the fast path, %v by the full path", fast.ended, full.ended)
	}
	n := min(len(fast.app), len(full.app))
	switch {
	case !slices.Equal(fast.app[:n], full.app[:n]) || len(fast.app) > n:
		return "the app was sent by the fast path\n" + strings.Join(fast.app, "\n") + "\nby the full path\n" + strings.Join(full.app, "\n")
	case len(full.app) > n && !refused:
		return "the fast path has lost\n" + strings.Join(full.app[n:], "\n") + "\nand said\n" + string(fast.back)
	}
	for _, err := range append(fast.bad, full.bad...) {
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
			return "the app was sent nonsense: " + err.Error()
		}
	}
	return ""
}

// sends sends bytes, and behind them a request that ends the connection, and
// returns what became of them within wait. A request without end has no outcome.
func (d *door) sends(t *testing.T, a *app, b []byte, wait time.Duration) (o outcome) {
	a.forget()
	d.forget()
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0) // thousands of connections a second must leave nothing behind
	if _, err := c.Write(append(bytes.Clone(b), last...)); err != nil {
		return o
	}
	c.SetReadDeadline(time.Now().Add(wait))
	o.back, err = io.ReadAll(c)
	o.ended = !errors.Is(err, os.ErrDeadlineExceeded)
	got, bad := a.messages()
	for _, m := range got {
		pragma := slices.Contains(m.fields, "pragma: no-cache")      // net/http says the same in Cache-Control
		m.fields = slices.DeleteFunc(m.fields, func(f string) bool { // the body and the trailers themselves tell
			return strings.HasPrefix(f, "content-length: ") || strings.HasPrefix(f, "trailer: ") || pragma && f == "cache-control: no-cache"
		})
		o.app = append(o.app, normal(m))
	}
	o.bad = bad
	return o
}

// forget drops what the app was sent.
func (a *app) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got, a.bad = nil, nil
}
