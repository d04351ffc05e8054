package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dinp/dinp/router/balance"
)

// maxAttempts bounds the endpoints one request is tried on.
const maxAttempts = 3

// failure is how an attempt failed.
type failure string

const (
	failDial    failure = "dial"     // nothing was sent
	failDied    failure = "died"     // the connection ended before an answer
	failTimeout failure = "timeout"  // no response head in time
	failLarge   failure = "max_body" // the client sent more than the app allows
	failOther   failure = "protocol" // an answer that is not HTTP
	failClient  failure = WhyClientGone
)

// kind is the failure as package balance counts it.
func (f failure) kind() balance.Failure {
	switch f {
	case failDial:
		return balance.Dial
	case failDied:
		return balance.Died
	case failTimeout:
		return balance.Timeout
	}
	return balance.Protocol
}

// errNoReady ends a request for which there is no endpoint to try.
var errNoReady = errors.New("no endpoint")

// dialError marks errors before which certainly no byte was sent.
type dialError struct{ error }

// Unwrap returns the cause.
func (e dialError) Unwrap() error { return e.error }

func (p *Proxy) newTransport() *http.Transport {
	d := &net.Dialer{Timeout: p.cfg.Dial, KeepAlive: 15 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, dialError{err}
			}
			return c, nil
		},
		Protocols:              protocols,
		DisableCompression:     true, // what the app sends is what the client gets
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        p.cfg.BackendIdle,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10, // like the fast path
	}
}

// roundTripper hides RoundTrip from the Proxy's own methods.
type roundTripper struct{ p *Proxy }

// RoundTrip sends the request to an endpoint, and to others while that is safe.
func (t roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	x, body := exchangeOf(req), &replayBody{src: req.Body}
	var last error = errNoReady
	for x.Attempts < maxAttempts && t.p.claim(x) {
		at := x.at
		out, headCame := awaitHead(body.attempt(req, at.Endpoint.Addr), x.headerTimeout())
		resp, err := at.Endpoint.Conns(t.p.slot).(link).RoundTrip(out)
		headCame()
		if err == nil {
			at.Answered(resp.StatusCode, t.p.set.Now())
			return resp, nil
		}
		f := classify(out, body, err)
		last = &attemptError{err: err, failure: f, timeout: timedOut(out.Context())}
		if f == failClient || f == failLarge {
			break
		}
		at.Failed(f.kind(), t.p.set.Now())
		if !mayRetry(req, body, f) || !at.Lane().Spend() {
			break
		}
		x.tried = append(x.tried, at.Endpoint)
		x.release()
	}
	return nil, last
}

// attemptError carries the class of the last failure to the error handler.
type attemptError struct {
	err error
	failure
	timeout error // which of ours, or nil
}

// Error returns the cause's text, for the log only.
func (e *attemptError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *attemptError) Unwrap() error { return e.err }

// headerTimeout is how long the app may take to begin its answer.
func (x *exchange) headerTimeout() time.Duration {
	if x.rules != nil && x.rules.HeaderTimeout > 0 {
		return time.Duration(x.rules.HeaderTimeout)
	}
	return x.p.cfg.ResponseHeader
}

// claim takes an endpoint for the request, or reports that there is none.
func (p *Proxy) claim(x *exchange) bool {
	x.at = p.set.Claim(x.appHost, x.ask(), x.tried, p.set.Now())
	e := x.at.Endpoint
	if e == nil {
		return false
	}
	x.Attempts++
	x.Release, x.Instance = e.Release, e.Instance
	if x.upgrade != nil {
		p.upgrades.add(x.upgrade, e)
	}
	return true
}

func classify(req *http.Request, body *replayBody, err error) failure {
	var dial dialError
	var timeout net.Error
	switch {
	case body.large.Load():
		return failLarge
	case timedOut(req.Context()) != nil:
		return failTimeout
	case req.Context().Err() != nil || body.broken.Load():
		return failClient
	case errors.As(err, &dial):
		return failDial
	case errors.As(err, &timeout) && timeout.Timeout():
		return failTimeout
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return failDied
	}
	return failOther
}

// mayRetry: always when nothing was sent; when the connection died without an
// answer, only what is idempotent by RFC 9110 and has no body. A time-out is
// never retried: the app is working on it.
func mayRetry(req *http.Request, body *replayBody, f failure) bool {
	switch f {
	case failDial:
		return !body.read.Load()
	case failDied:
		return req.Body == nil && idempotent(req.Method)
	}
	return false
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// replayBody lends the client's body to one attempt after the other. The
// transport closes the body of an attempt that could not connect; that must
// not close the client's.
type replayBody struct {
	src    io.ReadCloser
	read   atomic.Bool // a byte was asked for: it cannot be sent again
	broken atomic.Bool // the client did not deliver what it announced
	large  atomic.Bool // it delivered more than the app allows
}

// attempt returns the request as it goes to addr.
func (b *replayBody) attempt(req *http.Request, addr string) *http.Request {
	out := req.WithContext(req.Context())
	u := *req.URL
	u.Host = addr
	out.URL = &u
	if req.Body != nil {
		out.Body = &lentBody{b: b}
	}
	return out
}

type lentBody struct {
	b      *replayBody
	closed atomic.Bool
}

// Read reads from the client, until this attempt has given up.
func (l *lentBody) Read(p []byte) (int, error) {
	if l.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	l.b.read.Store(true)
	n, err := l.b.src.Read(p)
	if err != nil && err != io.EOF {
		l.b.large.Store(errors.Is(err, errBodyTooLarge))
		l.b.broken.Store(true)
	}
	return n, err
}

// Close ends this attempt's use.
func (l *lentBody) Close() error {
	l.closed.Store(true)
	return nil
}

// buffers recycles ReverseProxy's copy buffers.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { return new([32 << 10]byte) }}}
}

// Get returns a buffer.
func (b *buffers) Get() []byte { return b.pool.Get().(*[32 << 10]byte)[:] }

// Put takes one back.
func (b *buffers) Put(buf []byte) { b.pool.Put((*[32 << 10]byte)(buf)) }
