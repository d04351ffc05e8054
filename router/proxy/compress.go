package proxy

import (
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// compressFrom is the least body worth compressing, where its length is known.
const compressFrom = 1024

// gzips recycles writers: one holds some 800 KB.
var gzips = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, 5)
	if err != nil {
		panic("proxy: gzip level: " + err.Error()) // a constant: cannot happen
	}
	return w
}}

// compressible reports whether a response may be sent compressed: text, whole,
// not encoded already, and not a stream that must arrive event by event.
func compressible(status int, h http.Header) bool {
	if status < 200 || status == http.StatusNoContent || status == http.StatusNotModified || status == http.StatusPartialContent {
		return false
	}
	if h.Get("Content-Encoding") != "" || strings.Contains(strings.ToLower(h.Get("Cache-Control")), "no-transform") {
		return false
	}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && n < compressFrom {
		return false
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && isText(kind)
}

func isText(kind string) bool {
	switch kind {
	case "text/event-stream":
		return false
	case "application/json", "application/javascript", "application/xml", "application/wasm", "image/svg+xml", "application/manifest+json":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		if name, q := quality(part); name == "gzip" || name == "*" {
			return q > 0
		}
	}
	return false
}

// compress changes the head of a response to that of its compressed form, and
// returns the writer of its body; nil when there is no body to write.
func (w *response) compress(h http.Header) {
	h.Set("Content-Encoding", "gzip")
	h.Del("Content-Length")
	h.Del("Accept-Ranges")
	if tag := h.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h.Set("Etag", "W/"+tag) // other bytes, same meaning
	}
	if w.head {
		return
	}
	w.gzip = gzips.Get().(*gzip.Writer)
	w.gzip.Reset(plainWriter{w})
}

// plainWriter writes to the client and counts.
type plainWriter struct{ w *response }

// Write writes compressed bytes.
func (p plainWriter) Write(b []byte) (int, error) {
	n, err := p.w.ResponseWriter.Write(b)
	p.w.bytes += int64(n)
	return n, err
}

// finish ends a compressed body that came whole; a broken one must not look so.
func (w *response) finish(whole bool) {
	if w.gzip == nil {
		return
	}
	if whole {
		w.gzip.Close() // a client that left cannot be told
	}
	w.gzip.Reset(io.Discard)
	gzips.Put(w.gzip)
	w.gzip = nil
}

// FlushError sends what has been written so far.
func (w *response) FlushError() error {
	if w.gzip != nil {
		if err := w.gzip.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}
