package image

import (
	"context"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dinp/dinp/common/model"
)

// HasArtifact returns the size of an artifact that the registry has.
func (r *Registry) HasArtifact(ctx context.Context, sha256hex string) (size int64, ok bool, err error) {
	layer, err := r.artifactLayer(ctx, sha256hex)
	if model.IsCode(err, model.CodeBadArtifact) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	size, err = layer.Size()
	return size, err == nil, err
}

// StoreArtifact keeps the file at path, whose SHA-256 and size are given, in the registry, in the form that dash gives to
// uploads: an image of one raw layer. Bytes that are there already are not sent again.
func (r *Registry) StoreArtifact(ctx context.Context, path, sha256hex string, size int64) error {
	ref, err := r.ref(model.ArtifactRepository + ":" + model.ArtifactTag(sha256hex))
	if err != nil {
		return err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, rawFile{path, v1.Hash{Algorithm: "sha256", Hex: sha256hex}, size})
	if err != nil {
		return err
	}
	return r.explain(ctx, remote.Write(ref, img, r.options(ctx)...))
}

// rawFile is a file as a layer, as it is.
type rawFile struct {
	path   string
	digest v1.Hash
	size   int64
}

// Digest implements v1.Layer.
func (f rawFile) Digest() (v1.Hash, error) { return f.digest, nil }

// DiffID implements v1.Layer.
func (f rawFile) DiffID() (v1.Hash, error) { return f.digest, nil }

// Compressed implements v1.Layer.
func (f rawFile) Compressed() (io.ReadCloser, error) { return os.Open(f.path) }

// Uncompressed implements v1.Layer.
func (f rawFile) Uncompressed() (io.ReadCloser, error) { return os.Open(f.path) }

// Size implements v1.Layer.
func (f rawFile) Size() (int64, error) { return f.size, nil }

// MediaType implements v1.Layer.
func (f rawFile) MediaType() (types.MediaType, error) { return model.ArtifactMediaType, nil }
