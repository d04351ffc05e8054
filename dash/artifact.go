package dash

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

var sha256hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// artifactStore keeps artifacts in the registry: each is an OCI image whose raw
// layers are its parts, so that builders need no other shared storage, and what
// an artifact has in common with another is sent and stored once.
type artifactStore struct{ repo name.Repository }

// newArtifactStore names the repository. A registry without TLS is spoken to in
// plain HTTP: it belongs on a private network.
func newArtifactStore(registry string) (*artifactStore, error) {
	repo, err := name.NewRepository(registry+"/"+model.ArtifactRepository, name.Insecure)
	if err != nil {
		return nil, model.E(model.CodeBadConfig, "dash: registry %q cannot be used", registry).WithCause(err)
	}
	return &artifactStore{repo: repo}, nil
}

// size tells how large an artifact is; CodeNotFound when it is not there.
func (s *artifactStore) size(ctx context.Context, sha string) (int64, error) {
	if !sha256hex.MatchString(sha) {
		return 0, model.E(model.CodeBadRequest, "%q is not a sha256 in 64 hex digits", clip(sha, 70))
	}
	img, err := remote.Image(s.repo.Tag(model.ArtifactTag(sha)), remote.WithContext(ctx))
	if err != nil {
		var refused *transport.Error
		if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
			return 0, model.E(model.CodeNotFound, "there is no artifact %s", sha).WithNext("upload it")
		}
		return 0, registryAway(err)
	}
	m, err := img.Manifest()
	if err != nil {
		return 0, registryAway(err)
	}
	size := int64(0)
	for _, l := range m.Layers {
		size += l.Size
	}
	if len(m.Layers) == 0 || len(m.Layers) == 1 && m.Layers[0].Digest.Hex != sha {
		return 0, model.E(model.CodeNotFound, "what the registry has under the tag of artifact %s is something else", sha).WithNext("upload it again")
	}
	return size, nil
}

// labels reads the labels of an image of the platform, named repository@digest; CodeNotFound when it is not there.
func (s *artifactStore) labels(ctx context.Context, image string) (map[string]string, error) {
	ref, err := name.NewDigest(s.repo.RegistryStr()+"/"+image, name.Insecure)
	if err != nil {
		return nil, model.E(model.CodeNotFound, "%q names no image", clip(image, 120)).WithCause(err)
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		var refused *transport.Error
		if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
			return nil, model.E(model.CodeNotFound, "the registry does not have %s", clip(image, 120))
		}
		return nil, registryAway(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, registryAway(err)
	}
	return config.Config.Labels, nil
}

// push stores a file, unless it is there already. Whoever calls it has told the store that the artifact is wanted.
func (s *artifactStore) push(ctx context.Context, f received) error {
	if _, err := s.size(ctx, f.sha256); !model.IsKind(err, model.NotFound) {
		return err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var layers []v1.Layer
	for _, p := range f.parts {
		layers = append(layers, partLayer{path: f.path, Part: p})
	}
	img, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return err
	}
	if err := remote.Write(s.repo.Tag(model.ArtifactTag(f.sha256)), img, remote.WithContext(ctx)); err != nil {
		return registryAway(err)
	}
	return nil
}

func registryAway(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return model.E(model.CodeRegistryAway, "the image registry does not answer").WithCause(err).
		WithStill("what runs keeps running; only new uploads and builds wait").WithNext("start the registry, then send the upload again")
}

// received is a file that came in whole.
type received struct {
	path   string
	sha256 string
	size   int64
	parts  []parts.Part
}

// partLayer is a part of a received file as an image's layer, compressed by nobody.
type partLayer struct {
	path string
	parts.Part
}

// Digest implements v1.Layer.
func (l partLayer) Digest() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: l.SHA256}, nil
}

// DiffID implements v1.Layer.
func (l partLayer) DiffID() (v1.Hash, error) { return l.Digest() }

// Compressed implements v1.Layer.
func (l partLayer) Compressed() (io.ReadCloser, error) {
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
func (l partLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

// Size implements v1.Layer.
func (l partLayer) Size() (int64, error) { return l.Part.Size, nil }

// MediaType implements v1.Layer.
func (l partLayer) MediaType() (types.MediaType, error) { return model.ArtifactMediaType, nil }

// intake checks and cuts an upload while it is written: what nobody could
// build is refused at its first bytes, not after two gigabytes.
type intake struct {
	to       io.Writer
	filename string
	limit    int64
	size     int64
	head     []byte // the first bytes, until they are judged
	judged   bool
	cutter   *parts.Cutter
}

func newIntake(to io.Writer, filename string, limit int64) *intake {
	return &intake{to: to, filename: filename, limit: limit, cutter: parts.NewCutter()}
}

// Write implements io.Writer.
func (in *intake) Write(p []byte) (int, error) {
	if in.size+int64(len(p)) > in.limit {
		return 0, tooLarge(in.limit)
	}
	if !in.judged {
		in.head = append(in.head, p[:min(len(p), headBytes-len(in.head))]...)
		if len(in.head) == headBytes {
			if err := in.judge(); err != nil {
				return 0, err
			}
		}
	}
	in.cutter.Write(p)
	n, err := in.to.Write(p)
	in.size += int64(n)
	return n, err
}

func (in *intake) judge() error {
	in.judged = true
	return checkMagic(in.head, in.filename)
}

// finish judges an upload shorter than a head.
func (in *intake) finish() error {
	if in.judged {
		return nil
	}
	return in.judge()
}

func tooLarge(limit int64) error {
	return model.E(model.CodeTooLarge, "the upload is larger than the limit of %d MiB", limit>>20).
		WithNext("leave out what the app does not need, or raise max_upload_mib of dash")
}
