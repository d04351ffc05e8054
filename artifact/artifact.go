// Package artifact is the form in which the registry keeps artifacts: an OCI image whose raw layers are the parts of the
// file, in their order (common/parts). Dash and builders write it, builders read it, and must agree: so it is here once.
// It decides nothing about who may have what.
package artifact

import (
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

// Image is the image of an artifact that consists of these layers.
func Image(layers []v1.Layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.AppendLayers(base, layers...)
}

// Promise is the image of what a user promises to be an artifact, under the name that model.PromisedArtifact gives it. It
// is another image than the artifact's, so that removing one, which goes by digest, leaves the other.
func Promise(layers []v1.Layer, name string) (v1.Image, error) {
	img, err := Image(layers)
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(img, map[string]string{"dinp.promise": name}).(v1.Image), nil
}

// FileLayers are parts of the file at path as layers. Offsets are those in the file.
func FileLayers(path string, cut []parts.Part) []v1.Layer {
	out := make([]v1.Layer, len(cut))
	for i, p := range cut {
		out[i] = fileLayer{p, path}
	}
	return out
}

// Parts lists the parts of an artifact from the manifest of its image; nil when that is the image of something else.
// Whether they make the artifact that was asked for is for their reader to check.
func Parts(m *v1.Manifest) []parts.Part {
	var out []parts.Part
	at := int64(0)
	for _, l := range m.Layers {
		if l.MediaType != model.ArtifactMediaType || l.Digest.Algorithm != "sha256" || l.Size < 0 {
			return nil
		}
		out = append(out, parts.Part{SHA256: l.Digest.Hex, Offset: at, Size: l.Size})
		at += l.Size
	}
	return out
}

// fileLayer is a part of a file as a layer, compressed by nobody.
type fileLayer struct {
	parts.Part
	path string
}

// Digest implements v1.Layer.
func (l fileLayer) Digest() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: l.SHA256}, nil
}

// DiffID implements v1.Layer.
func (l fileLayer) DiffID() (v1.Hash, error) { return l.Digest() }

// Compressed implements v1.Layer.
func (l fileLayer) Compressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, l.Offset, l.Part.Size), f}, nil
}

// Uncompressed implements v1.Layer.
func (l fileLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

// Size implements v1.Layer.
func (l fileLayer) Size() (int64, error) { return l.Part.Size, nil }

// MediaType implements v1.Layer.
func (l fileLayer) MediaType() (types.MediaType, error) { return model.ArtifactMediaType, nil }
