package proxy

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/dinp/dinp/router/access"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/gate"
	"github.com/dinp/dinp/router/rules"
)

// Record is what is known of a request when it has ended, for the access log
// and the metrics.
type Record = access.Record

// StatusClientGone is logged, never sent.
const StatusClientGone = 499

type exchangeKey struct{}

// exchange is one request on its way. Only its handler's goroutine touches it.
type exchange struct {
	Record
	p       *Proxy
	r       *http.Request
	w       *response
	host    string
	appHost string     // of the backend it is for
	client  netip.Addr // who sent it, as far as proxies are trusted
	peer    netip.Addr // who is connected
	trusted bool       // peer is a trusted proxy
	start   time.Time
	at      balance.Claimed     // zero when nothing is claimed
	tried   []*balance.Endpoint // failed before

	rules   *rules.Rules    // of the app; nil: none
	gate    *gate.Gate      // of the app, once its limits were asked
	entered bool            // the gate counts it in
	timed   context.Context // ends at the app's time-outs; nil: there are none
	clock   clock
	upgrade *upgrade // nil: the request did not ask for one
}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// release gives the claimed endpoint back.
func (x *exchange) release() {
	if x.at.Endpoint != nil {
		x.at.Endpoint.Done()
		x.at = balance.Claimed{}
	}
}

// response notes what was answered. While the router is closing it asks the
// client not to reuse the connection, so that none is cut between requests.
type response struct {
	http.ResponseWriter
	status  int
	bytes   int64
	closing *atomic.Bool
	clock   *clock       // of the app's idle time-out, or nil
	gzips   bool         // the app wants text compressed, and the client accepts it
	gzip    *gzip.Writer // the body is compressed by it, or nil
	head    bool         // the answer to HEAD, which has no body
	final   bool         // the client knows no interim answers: it speaks HTTP/1.0 (RFC 9110, 15.2)
}

// WriteHeader notes the final status; 1xx may come before it.
func (w *response) WriteHeader(code int) {
	if w.final && code < 200 {
		return
	}
	if code >= 200 && w.status == 0 {
		w.status = code
		h := w.Header()
		if w.closing.Load() {
			h.Set("Connection", "close")
		}
		if w.gzips && compressible(code, h) {
			w.compress(h)
		}
		if _, ok := h["Content-Type"]; !ok {
			h["Content-Type"] = nil // net/http must not guess what the app left open
		}
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write counts the body.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.clock.tick()
	if w.gzip != nil {
		return w.gzip.Write(b)
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Hijack is how an upgrade leaves HTTP. ReverseProxy reads from the connection
// alone: what the server has read of it already must come from there.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return c, rw, err
	}
	w.status = http.StatusSwitchingProtocols
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	if len(early) > 0 {
		c = &eager{c, bytes.Clone(early)}
	}
	return c, rw, nil
}

// eager is a connection whose client has said something behind its request for
// an upgrade, without waiting for the answer.
type eager struct {
	net.Conn
	early []byte
}

// Read returns that first.
func (c *eager) Read(b []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.early)
	c.early = c.early[n:]
	return n, nil
}

// CloseWrite ends the stream to the client.
func (c *eager) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Unwrap lets http.ResponseController reach the deadlines.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
