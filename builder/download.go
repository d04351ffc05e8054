package builder

import (
	"cmp"
	"context"
	"os"

	"github.com/dinp/dinp/common/model"
)

const stepDownload = "download"

// download brings in the artifact of a build by URL, keeps it in the registry, and writes down what it was: from here on
// the build is one of an artifact, and a builder that takes it over builds the same bytes.
func (j *job) download(ctx context.Context) error {
	b := &j.build
	known := false
	err := j.step(ctx, stepDownload, "", func() (err error) {
		if known, err = j.known(ctx); err != nil || known {
			return err
		}
		j.log.say("downloading %s", b.Origin.PublicURL())
		got, err := j.b.fetcher.Fetch(ctx, b.Origin.URL, b.Origin.SHA256, j.path("download"))
		if err != nil {
			return err
		}
		b.Artifact, b.Size, b.Filename = got.SHA256, got.Size, cmp.Or(b.Filename, got.Filename)
		j.log.say("downloaded %q, %s (sha256 %s)", b.Filename, size(b.Size), b.Artifact)
		if err := j.room(roomToBegin); err != nil {
			return err
		}
		if err := j.b.store.TouchArtifact(ctx, b.Artifact, b.Size); err != nil {
			return err
		}
		return j.b.registry.StoreArtifact(ctx, j.path("download"), b.Artifact)
	})
	if err != nil {
		return err
	}
	if !known {
		if err := os.Remove(j.path("download")); err != nil {
			return err
		}
	}
	return j.b.store.SetBuildArtifact(ctx, *b, j.b.cfg.ID)
}

// known tells whether the file that is asked for, by its checksum, is one that the app was built from; then nothing is
// downloaded. That somebody else brought it does not count: a checksum must not hand out a file.
func (j *job) known(ctx context.Context) (bool, error) {
	b := &j.build
	if b.Origin.SHA256 == "" {
		return false, nil
	}
	if same, err := j.b.store.BuiltFrom(ctx, b.AppID, b.Origin.SHA256); err != nil || same.ID == "" {
		return false, err
	}
	if err := j.b.store.TouchArtifact(ctx, b.Origin.SHA256, 0); err != nil {
		return false, err
	}
	n, ok, err := j.b.registry.HasArtifact(ctx, b.Origin.SHA256)
	if err != nil || !ok {
		return false, err
	}
	b.Artifact, b.Size, b.Filename = b.Origin.SHA256, n, cmp.Or(b.Filename, model.BuildOrigin{URL: b.Origin.URL}.FileName())
	j.log.say("the file with SHA-256 %s is here already; nothing is downloaded", b.Artifact)
	return true, nil
}
