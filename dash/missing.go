package dash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
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
// its bytes. What comes of such an upload is a promise, until a builder has summed it up.

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
	if len(builds) > 0 && brokenPromise(builds[0]) {
		return nil, nil, nil // something is wrong with these parts
	}
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

// brokenPromise reports whether a build failed before it had the artifact that its parts should make.
func brokenPromise(b model.Build) bool {
	return b.Origin.Sender != "" && b.Artifact == "" && b.Status == model.BuildFailed
}

// touchedParts are the parts of an artifact, which stays for a day.
func (d *Dash) touchedParts(ctx context.Context, sha string) ([]parts.Part, error) {
	if err := d.store.TouchArtifact(ctx, sha, 0); err != nil {
		return nil, err
	}
	return d.artifacts.parts(ctx, sha)
}

// complete stores what the parts of an upload make, now that the missing ones are all there, as what its sender promises to
// be the artifact. What was sent is summed up here; what was not is not read: a builder sums up the whole before it builds
// from it, and only then it is an artifact. Until then nobody but the sender can use it, and the sender gains nothing by it:
// who says a digest that the parts do not have gets neither the file of that digest nor somebody else to build from the parts.
func (d *Dash) complete(ctx context.Context, u upload) error {
	if err := d.checkSent(u); err != nil {
		return err
	}
	layers, err := d.layersOf(ctx, u)
	if err != nil {
		return err
	}
	name := model.PromisedArtifact(u.SHA256, u.Owner)
	if err := d.store.TouchArtifact(ctx, name, u.size()); err != nil {
		return err
	}
	return d.artifacts.promise(ctx, name, layers)
}

// promised tells how large the artifact is that the actor promises; CodeNotFound when there is no such promise. Whoever
// asks may count on it for a day.
func (d *Dash) promised(ctx context.Context, actor model.Actor, sha string) (int64, error) {
	name := model.PromisedArtifact(sha, actor.UserID)
	if err := d.store.TouchArtifact(ctx, name, 0); err != nil {
		return 0, err
	}
	return d.artifacts.size(ctx, name)
}

// checkSent refuses what was sent if it is not what the client said, or the beginning of something that no builder unpacks.
func (d *Dash) checkSent(u upload) error {
	f, err := os.Open(d.uploads.part(u.ID))
	if err != nil {
		return diskError(err)
	}
	defer f.Close()
	for i, p := range u.Parts {
		if p.Here {
			continue
		}
		head, got, err := sumPart(io.LimitReader(f, p.Size))
		if err != nil {
			return diskError(err)
		}
		if got != p.SHA256 {
			return model.E(model.CodeBadRequest, "a part that was sent has the sha256 %s, announced was %s", got, p.SHA256).WithNext("send the file as a whole")
		}
		if i > 0 {
			continue
		}
		if err := checkMagic(head, u.Filename); err != nil {
			return err
		}
	}
	return nil
}

// sumPart returns the first bytes and the SHA-256, in hex, of all that r holds.
func sumPart(r io.Reader) (head []byte, sha256hex string, err error) {
	head = make([]byte, headBytes)
	n, err := io.ReadFull(r, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	sum := sha256.New()
	sum.Write(head[:n])
	if err == nil {
		_, err = io.CopyBuffer(sum, r, make([]byte, 256<<10))
	}
	return head[:n], hex.EncodeToString(sum.Sum(nil)), err
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
