package dash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dinp/dinp/artifact"
	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

// A client that has cut a file itself asks which of its parts are missing here, and sends only these, one after the other,
// as an upload like any other. What it may leave out are parts of artifacts that its app was built from before: their
// content belongs to those who deploy the app. Whether somebody else's artifact has a part is not told, and no digest gets
// its bytes.

// knownArtifacts is how many of an app's last artifacts are looked through for parts.
const knownArtifacts = 3

// uploadPart is a part of the file that an upload completes.
type uploadPart struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Here   bool   `json:"here,omitempty"` // not sent: an artifact of From has it
}

// planUpload tells a client which parts of a file it has to send for an app, and begins the upload of these. Without
// anything to spare there is no upload: the whole file goes the usual way.
func (d *Dash) planUpload(ctx context.Context, actor model.Actor, name string, in api.NewUpload) (api.PlannedUpload, error) {
	u, err := d.checkPlan(in)
	if err != nil {
		return api.PlannedUpload{}, err
	}
	app, err := d.deployTarget(ctx, actor, name, DeployInput{})
	if err != nil || app.ID == "" {
		return api.PlannedUpload{}, err
	}
	known, from, err := d.knownParts(ctx, app)
	if err != nil {
		return api.PlannedUpload{}, err
	}
	out := api.PlannedUpload{Missing: []int{}}
	for i, p := range u.Parts {
		if u.Parts[i].Here = known[p.SHA256] == p.Size; !u.Parts[i].Here {
			out.Missing = append(out.Missing, i)
			u.Length += p.Size
		}
	}
	if u.Length == 0 || len(out.Missing) == len(u.Parts) {
		return api.PlannedUpload{}, nil
	}
	u.From = from
	if u, err = d.createUpload(ctx, actor, u); err != nil {
		return api.PlannedUpload{}, err
	}
	out.Upload = apiBase + "/artifacts/uploads/" + u.ID
	return out, nil
}

// checkPlan refuses what no cutter makes (common/parts): it bounds how many parts there are.
func (d *Dash) checkPlan(in api.NewUpload) (upload, error) {
	u := upload{Filename: in.Filename, SHA256: in.SHA256}
	if !sha256hex.MatchString(in.SHA256) {
		return u, model.E(model.CodeBadRequest, "the sha256 is not 64 hex digits")
	}
	whole := int64(0)
	for i, p := range in.Parts {
		last := i == len(in.Parts)-1
		if !sha256hex.MatchString(p.SHA256) || p.Size > parts.Max || p.Size < parts.Min && !last || p.Size < 1 {
			return u, model.E(model.CodeBadRequest, "part %d of %d has %d bytes and the sha256 %q; a part has %d to %d bytes, the last may have less", i+1, len(in.Parts), p.Size, clip(p.SHA256, 70), parts.Min, parts.Max).
				WithNext("send the file as a whole")
		}
		u.Parts = append(u.Parts, uploadPart{SHA256: p.SHA256, Size: p.Size})
		whole += p.Size
	}
	if whole > d.cfg.maxUpload() {
		return u, tooLarge(d.cfg.maxUpload())
	}
	return u, nil
}

// knownParts are the sizes, by digest, of the parts that the app's last artifacts consist of, and these artifacts, which
// stay for as long as an upload may take.
func (d *Dash) knownParts(ctx context.Context, app model.App) (known map[string]int64, from []string, err error) {
	builds, err := d.store.Builds(ctx, app.ID, time.Time{}, 10*knownArtifacts)
	if err != nil {
		return nil, nil, err
	}
	known = map[string]int64{}
	for _, b := range builds {
		if b.Artifact == "" || slices.Contains(from, b.Artifact) || len(from) == knownArtifacts {
			continue
		}
		cut, err := d.touchedParts(ctx, b.Artifact)
		if model.IsKind(err, model.NotFound) || model.IsCode(err, model.CodeUnavailable) {
			continue // gone, or going
		}
		if err != nil {
			return nil, nil, err
		}
		from = append(from, b.Artifact)
		for _, p := range cut {
			known[p.SHA256] = p.Size
		}
	}
	return known, from, nil
}

// touchedParts are the parts of an artifact, which stays for a day.
func (d *Dash) touchedParts(ctx context.Context, sha string) ([]parts.Part, error) {
	if err := d.store.TouchArtifact(ctx, sha, 0); err != nil {
		return nil, err
	}
	return d.artifacts.parts(ctx, sha)
}

// complete stores the artifact of an upload whose missing parts are all there. Whatever its client said of the parts, and
// whatever has become of those that were here: what is stored under a digest has it.
func (d *Dash) complete(ctx context.Context, u upload) error {
	layers, err := d.layersOf(ctx, u)
	if err != nil {
		return err
	}
	whole := newAssay()
	for i, l := range layers {
		if err := whole.read(l, u.Parts[i]); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(whole.sum.Sum(nil)); got != u.SHA256 {
		return model.E(model.CodeBadRequest, "the %d parts together have the sha256 %s, announced was %s", len(layers), got, u.SHA256).WithNext("send the file as a whole")
	}
	if err := checkMagic(whole.head, u.Filename); err != nil {
		return err
	}
	if err := d.store.BringArtifact(ctx, u.SHA256, u.size(), u.Owner); err != nil {
		return err
	}
	return d.artifacts.write(ctx, u.SHA256, layers)
}

// layersOf are the parts of an upload's file, from the artifacts that it counts on and from what was sent.
func (d *Dash) layersOf(ctx context.Context, u upload) ([]v1.Layer, error) {
	here := map[string]v1.Layer{}
	for _, sha := range u.From {
		if err := d.artifacts.layers(ctx, sha, here); err != nil && !model.IsKind(err, model.NotFound) {
			return nil, err
		}
	}
	var out []v1.Layer
	at := int64(0)
	for _, p := range u.Parts {
		if !p.Here {
			sent := parts.Part{SHA256: p.SHA256, Offset: at, Size: p.Size}
			out = append(out, artifact.FileLayers(d.uploads.part(u.ID), []parts.Part{sent})...)
			at += p.Size
			continue
		}
		l := here[p.SHA256]
		if l == nil {
			return nil, partGone(p)
		}
		out = append(out, l)
	}
	return out, nil
}

func partGone(p uploadPart) error {
	return model.E(model.CodeBadRequest, "the part %.12s… of %d bytes is not here any more: the artifact that had it was removed", p.SHA256, p.Size).WithNext("send the file as a whole")
}

// assay sums up a file that is read part by part, and keeps its first bytes. A part is summed up as well, by who reads it:
// that and the sum of the whole take a processor each.
type assay struct {
	sum  hash.Hash
	head []byte
	free chan []byte // buffers between the two
}

func newAssay() *assay {
	a := &assay{sum: sha256.New(), free: make(chan []byte, 4)}
	for range cap(a.free) {
		a.free <- make([]byte, 256<<10)
	}
	return a
}

// read takes the next part, and refuses one that is not what the client said.
func (a *assay) read(l v1.Layer, p uploadPart) error {
	r, err := l.Compressed()
	if isAbsent(err) {
		return partGone(p)
	}
	if err != nil {
		return registryAway(err)
	}
	defer r.Close()
	if p.Here {
		if err := a.take(r); err != nil { // its digest is checked by who reads it
			return registryAway(err)
		}
		return nil
	}
	part := sha256.New()
	if err := a.take(io.TeeReader(r, part)); err != nil {
		return diskError(err)
	}
	if got := hex.EncodeToString(part.Sum(nil)); got != p.SHA256 {
		return model.E(model.CodeBadRequest, "a part that was sent has the sha256 %s, announced was %s", got, p.SHA256).WithNext("send the file as a whole")
	}
	return nil
}

// take adds all that r holds. Another goroutine reads it, and has ended when take returns.
func (a *assay) take(r io.Reader) error {
	full := make(chan []byte, cap(a.free))
	var failed error
	go func() {
		defer close(full)
		for failed == nil {
			b := <-a.free
			n, err := r.Read(b[:cap(b)])
			full <- b[:n]
			failed = err
		}
	}()
	for b := range full {
		a.head = append(a.head, b[:min(len(b), headBytes-len(a.head))]...)
		a.sum.Write(b)
		a.free <- b
	}
	if failed == io.EOF {
		return nil
	}
	return failed
}
