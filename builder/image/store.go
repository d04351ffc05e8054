package image

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/artifact"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

// HasArtifact returns the size of an artifact that the registry has.
func (r *Registry) HasArtifact(ctx context.Context, sha256hex string) (size int64, ok bool, err error) {
	layers, err := r.artifactParts(ctx, sha256hex)
	if model.IsCode(err, model.CodeBadArtifact) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			return 0, false, r.explain(ctx, err)
		}
		size += n
	}
	return size, true, nil
}

// StoreArtifact keeps the file at path in the registry, in the form that dash gives to uploads: an image of its parts as
// raw layers. Parts that are there already are not sent again.
func (r *Registry) StoreArtifact(ctx context.Context, path, sha256hex string) error {
	cut, err := partsOf(path, sha256hex)
	if err != nil {
		return err
	}
	ref, err := r.ref(model.ArtifactRepository + ":" + model.ArtifactTag(sha256hex))
	if err != nil {
		return err
	}
	img, err := artifact.Image(artifact.FileLayers(path, cut))
	if err != nil {
		return err
	}
	return r.explain(ctx, remote.Write(ref, img, r.options(ctx)...))
}

// partsOf cuts a file whose SHA-256 is known.
func partsOf(path, sha256hex string) ([]parts.Part, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := parts.NewCutter()
	if _, err := io.Copy(c, f); err != nil {
		return nil, err
	}
	cut, sha := c.Finish()
	if sha != sha256hex {
		return nil, fmt.Errorf("%s has SHA-256 %s, not %s any more", path, sha, sha256hex)
	}
	return cut, nil
}
