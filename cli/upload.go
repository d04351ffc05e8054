package cli

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

const (
	uploadTries = 10               // in a row without a byte that arrived
	uploadStall = 60 * time.Second // the network takes nothing any more
	uploadStore = 10 * time.Minute // the server checks and stores what it has
)

// artifact is a file on its way to the server.
type artifact struct {
	file   *os.File
	name   string
	size   int64
	sha256 string
	parts  []parts.Part
}

// cut reads the file to learn its address and its parts, each on a processor of its own.
func (a *artifact) cut(ctx context.Context) error {
	whole, c := sha256.New(), parts.NewPartCutter()
	var g errgroup.Group
	g.Go(func() error { return a.read(ctx, whole) })
	g.Go(func() error { return a.read(ctx, c) })
	if err := g.Wait(); err != nil {
		return err
	}
	a.parts, _ = c.Finish()
	a.sha256 = hex.EncodeToString(whole.Sum(nil))
	return nil
}

// read writes all of the file to what sums it up.
func (a *artifact) read(ctx context.Context, to io.Writer) error {
	n, err := io.CopyBuffer(to, &counted{ctx: ctx, r: io.NewSectionReader(a.file, 0, a.size), seen: func(int64) {}}, make([]byte, 256<<10))
	if err == nil && n != a.size {
		err = model.E(model.CodeBadArtifact, "%s became shorter while it was read: %d of %d bytes", a.name, n, a.size)
	}
	return err
}

// counted tells how far a reader is, and ends with its context.
type counted struct {
	ctx  context.Context // of the one transfer this reader is made for
	r    io.Reader
	seen func(int64)
	at   int64
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.at += int64(n)
	c.seen(c.at)
	return n, err
}

// has asks whether the server has an artifact already.
func (c *client) has(ctx context.Context, sha string) (bool, error) {
	err := c.call(ctx, http.MethodHead, at("artifacts", sha), nil, nil)
	if model.IsKind(err, model.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// transfer is one upload: what is sent, where it goes, and how much has arrived there.
type transfer struct {
	*client
	artifact
	body     io.ReaderAt // the file, or what the server lacks of it
	length   int64       // of body
	location string      // path of the upload; "" before it began
	planned  bool        // the server began it, and must not have forgotten it
	offset   int64
	seen     func(int64)
}

// whole is the upload of all of an artifact.
func (c *client) whole(a artifact) *transfer {
	return &transfer{client: c, artifact: a, body: a.file, length: a.size}
}

// errForgotten says that the server does not know any more which parts it lacked.
var errForgotten = model.E(model.CodeNotFound, "the server has forgotten which parts of the file it lacks")

// carry brings what is sent to the server. A broken connection is taken up
// again where the server says that it stopped; only a long row of tries that
// bring nothing gives up.
func (t *transfer) carry(ctx context.Context) error {
	for idle := 0; ; idle++ {
		if idle > 0 {
			if err := sleep(ctx, min(t.pause<<(idle-1), 10*time.Second)); err != nil {
				return err
			}
		}
		before := t.offset
		done, err := t.step(ctx)
		if done || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		var retry transient
		if err != nil && !errors.As(err, &retry) {
			return err
		}
		if t.offset > before {
			idle = 0
		}
		if idle >= uploadTries {
			return t.gaveUp(err)
		}
	}
}

func (t *transfer) gaveUp(err error) error {
	e := model.E(model.CodeUnavailable, "upload of %s stopped at %s of %s after %d tries", t.name, size(t.offset), size(t.length), uploadTries+1).
		WithStill("nothing was changed").WithNext("run the same command again once the server answers")
	if err != nil {
		e = e.WithEvidence(plain(err).Error())
	}
	return e
}

// step begins the upload, or finds out where it stands, and sends the rest.
func (t *transfer) step(ctx context.Context) (done bool, err error) {
	if t.location == "" {
		if t.planned {
			return false, errForgotten
		}
		if err := t.begin(ctx); err != nil {
			return false, err
		}
	} else if done, err := t.ask(ctx); done || err != nil {
		return done, err
	}
	return t.send(ctx)
}

func (t *transfer) begin(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := t.request(limited, http.MethodPost, "/artifacts", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Idempotency-Key", t.key())
	req.Header.Set("Upload-Length", strconv.FormatInt(t.length, 10))
	req.Header.Set("Upload-Metadata", metadata("filename", t.name)+","+metadata("sha256", t.sha256))
	resp, err := t.do(ctx, req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	t.offset = 0
	return t.locate(req.URL, resp.Header.Get("Location"))
}

func metadata(key, value string) string {
	return key + " " + base64.StdEncoding.EncodeToString([]byte(value))
}

// locate keeps where the upload goes; never to another host, which would be
// handed the token and the file.
func (t *transfer) locate(base *url.URL, location string) error {
	to, err := base.Parse(location)
	if err != nil || location == "" || to.Host != base.Host {
		return model.E(model.CodeUnavailable, "the server began an upload at %q, which is not one of its own paths", location)
	}
	t.location = to.RequestURI()
	return nil
}

// ask learns how much the server has. An upload it does not know any more
// begins anew with the next step.
func (t *transfer) ask(ctx context.Context) (done bool, err error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := t.request(limited, http.MethodHead, t.location, nil)
	if err != nil {
		return false, err
	}
	resp, err := t.do(ctx, req)
	if err != nil {
		return false, t.lost(err)
	}
	resp.Body.Close()
	return t.arrived(resp)
}

// send sends what is missing, in one request.
func (t *transfer) send(ctx context.Context) (done bool, err error) {
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	dog := time.AfterFunc(uploadStall, cancel)
	defer dog.Stop()
	from := t.offset
	body := &counted{ctx: alive, r: io.NewSectionReader(t.body, from, t.length-from), seen: func(n int64) {
		dog.Reset(uploadStall)
		if from+n == t.length {
			dog.Reset(uploadStore)
		}
		t.seen(from + n)
	}}
	req, err := t.request(alive, http.MethodPatch, t.location, body)
	if err != nil {
		return false, err
	}
	req.ContentLength = t.length - from
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	req.Header.Set("Upload-Offset", strconv.FormatInt(from, 10))
	resp, err := t.do(ctx, req)
	if err != nil {
		return false, t.lost(err)
	}
	resp.Body.Close()
	return t.arrived(resp)
}

// lost sorts an error out: an upload that is gone begins anew, one at another
// offset than we thought is asked for its own.
func (t *transfer) lost(err error) error {
	switch {
	case model.IsKind(err, model.NotFound):
		t.location = ""
		return transient{err}
	case model.IsKind(err, model.Conflict), model.IsKind(err, model.Stale):
		return transient{err}
	}
	return err
}

// arrived reads how far the upload is; done when the server has all of it
// under the address we know.
func (t *transfer) arrived(resp *http.Response) (done bool, err error) {
	if got := resp.Header.Get("Dinp-Artifact"); got != "" {
		if got != t.sha256 {
			return true, model.E(model.CodeBadArtifact, "the server has sha256 %s of %s, which is %s here", got, t.name, t.sha256).
				WithStill("nothing was changed").WithNext("do not change the file while it is sent, and run the command again")
		}
		return true, nil
	}
	at, err := strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || at < 0 || at > t.length {
		return false, model.E(model.CodeUnavailable, "the server says that it has %q bytes of an upload of %d", resp.Header.Get("Upload-Offset"), t.length)
	}
	t.offset = at
	t.seen(at)
	return false, nil
}
