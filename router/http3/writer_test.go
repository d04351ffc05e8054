package http3

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// hop is what no message of HTTP/3 may have (RFC 9114, 4.2): a client has to
// treat one that has it as malformed.
var hop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"}

func TestServe_LeavesOutWhatIsSaidOfAConnection_HoweverTheHeadIsSent(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(w http.ResponseWriter){
		"by a status":              func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"by a first byte":          func(w http.ResponseWriter) { io.WriteString(w, "a") },
		"by a flush":               func(w http.ResponseWriter) { http.NewResponseController(w).Flush() },
		"by nobody":                func(http.ResponseWriter) {},
		"behind an interim answer": func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints); say(w); io.WriteString(w, "a") },
	} {
		t.Run(name, func(t *testing.T) {
			got := &heads{}
			s := New(Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w); send(w) })}, nil)
			s.serve(got, httptest.NewRequest(http.MethodGet, "/", nil))
			got.Write(nil) // as the server does when a handler has said nothing
			for _, h := range got.sent {
				if names := slices.Sorted(maps.Keys(h)); !slices.Equal(names, []string{"Link", "Te"}) {
					t.Errorf("sent %v", names)
				}
			}
		})
	}
}

// say sets each field of a connection, and two that go on.
func say(w http.ResponseWriter) {
	for _, name := range append([]string{"Link", "Te"}, hop...) {
		w.Header().Set(name, "x")
	}
}

// heads notes the fields of each head at the time it was sent.
type heads struct {
	header http.Header
	sent   []http.Header
	begun  bool
}

// Header returns the fields.
func (h *heads) Header() http.Header {
	if h.header == nil {
		h.header = http.Header{}
	}
	return h.header
}

// WriteHeader sends a head.
func (h *heads) WriteHeader(status int) {
	h.sent = append(h.sent, h.Header().Clone())
	h.begun = status >= http.StatusOK
}

// Write sends a head, if that is to be done.
func (h *heads) Write(b []byte) (int, error) {
	if !h.begun {
		h.WriteHeader(http.StatusOK)
	}
	return len(b), nil
}

// FlushError sends a head, if that is to be done.
func (h *heads) FlushError() error { _, err := h.Write(nil); return err }
