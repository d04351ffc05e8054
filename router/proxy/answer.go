package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"time"
)

// Answer makes the proxy's own response to a request that failed on the fast
// path: what this path would have said, for the same reason. head is the
// request's head as it went to the endpoint; rec is what is known of it, and
// gets what the answer adds. last says that the connection ends with it.
func (p *Proxy) Answer(head []byte, rec *Record, why string, last bool) []byte {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil { // the fast path has read it, so this cannot be
		r = &http.Request{Method: http.MethodGet, Header: http.Header{}}
	}
	out := &written{header: http.Header{}}
	x := &exchange{p: p, r: r, Record: *rec}
	x.w = &response{ResponseWriter: out, closing: &p.closing}
	f := badGateway
	f.why = why
	if why == string(failTimeout) {
		f = gatewaySlow
	}
	x.refuse(f)
	rec.Status, rec.Code, rec.Why, rec.Bytes = x.w.status, x.Code, x.Why, x.w.bytes
	if last {
		out.header.Set("Connection", "close")
	}
	out.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	return out.bytes()
}

// written is a response in memory.
type written struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the fields.
func (w *written) Header() http.Header { return w.header }

// WriteHeader takes the status.
func (w *written) WriteHeader(status int) { w.status = status }

// Write takes the body.
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }

func (w *written) bytes() []byte {
	if w.header.Get("Content-Length") == "" {
		w.header.Set("Content-Length", "0")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	w.header.Write(&b) // to memory: cannot fail
	b.WriteString("\r\n")
	b.Write(w.body.Bytes())
	return b.Bytes()
}

// Idempotent reports whether a method's request may be carried out twice, by RFC 9110.
func Idempotent(method string) bool { return idempotent(method) }
