package proxy

import (
	"io"
	"net/http"

	"github.com/dinp/dinp/router/http1"
)

// openTrailers makes room for the trailers of a chunked request, also for those
// that its head does not announce, which net/http would keep to itself. r must
// be the server's own request: it puts them there when it has read the body.
func openTrailers(r *http.Request) {
	dropTrailers(r.Trailer)
	if r.ProtoMajor != 1 || r.ContentLength >= 0 || r.Body == nil {
		return
	}
	if r.Trailer == nil {
		r.Trailer = http.Header{}
	}
	r.Body = &trailedBody{r.Body, &r.Trailer}
}

// dropAnswersTrailers drops those of an answer that must not travel.
func dropAnswersTrailers(resp *http.Response) {
	dropTrailers(resp.Trailer)
	if resp.ContentLength < 0 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &trailedBody{resp.Body, &resp.Trailer}
	}
}

// trailedBody drops trailers again when they are there.
type trailedBody struct {
	io.ReadCloser
	trailer *http.Header
}

// Read reads the body.
func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		dropTrailers(*b.trailer)
	}
	return n, err
}

// dropTrailers drops those that must not travel. An announced one that has no
// name would have the transport refuse the request.
func dropTrailers(trailer http.Header) {
	for name := range trailer {
		if !http1.TrailerTravels(name) {
			delete(trailer, name)
		}
	}
}
