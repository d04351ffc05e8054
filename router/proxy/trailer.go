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
	if r.ProtoMajor != 1 || r.ContentLength >= 0 || r.Body == nil {
		return
	}
	if r.Trailer == nil {
		r.Trailer = http.Header{}
	}
	r.Body = &trailedBody{r.Body, r.Trailer}
}

// trailedBody drops the trailers that must not travel, once they are there.
type trailedBody struct {
	io.ReadCloser
	trailer http.Header
}

// Read reads from the client.
func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.trailer {
			if !http1.TrailerTravels(name) {
				delete(b.trailer, name)
			}
		}
	}
	return n, err
}
