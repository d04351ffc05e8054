package cli

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

// missing is the upload of those parts of an artifact that the app's earlier ones do not have; nil when it is the same as
// the whole, or the server is of a time before it knew parts.
func (c *client) missing(ctx context.Context, app string, a artifact) (*transfer, error) {
	if len(a.parts) < 2 {
		return nil, nil
	}
	in := api.NewUpload{Filename: a.name, SHA256: a.sha256}
	for _, p := range a.parts {
		in.Parts = append(in.Parts, api.Part{SHA256: p.SHA256, Size: p.Size})
	}
	out, err := send[api.PlannedUpload](ctx, c, http.MethodPost, at("apps", app, "uploads"), in)
	if err != nil || out.Upload == "" {
		return nil, err
	}
	t := &transfer{client: c, artifact: a, planned: true, location: out.Upload}
	s := stretches{of: a.file}
	for _, i := range out.Missing {
		if i < 0 || i >= len(a.parts) {
			return nil, model.E(model.CodeUnavailable, "the server asks for part %d of a file of %d parts", i, len(a.parts))
		}
		s.parts = append(s.parts, a.parts[i])
		t.length += a.parts[i].Size
	}
	t.body = s
	return t, nil
}

// stretches reads parts of a file as if they stood one after the other.
type stretches struct {
	of    io.ReaderAt
	parts []parts.Part
}

// ReadAt implements io.ReaderAt.
func (s stretches) ReadAt(p []byte, at int64) (n int, err error) {
	for _, part := range s.parts {
		if at >= part.Size {
			at -= part.Size
			continue
		}
		m, err := s.of.ReadAt(p[n:n+int(min(int64(len(p)-n), part.Size-at))], part.Offset+at)
		n += m
		if err != nil && !(errors.Is(err, io.EOF) && int64(m) == part.Size-at) || n == len(p) {
			return n, err
		}
		at = 0
	}
	return n, io.EOF
}
