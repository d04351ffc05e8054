package dash

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dinp/dinp/artifact"
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
func (s *artifactStore) size(ctx context.Context, sha string) (size int64, err error) {
	cut, err := s.parts(ctx, sha)
	for _, p := range cut {
		size += p.Size
	}
	return size, err
}

// parts tells what an artifact consists of; CodeNotFound when it is not there.
func (s *artifactStore) parts(ctx context.Context, sha string) ([]parts.Part, error) {
	_, cut, err := s.image(ctx, sha)
	return cut, err
}

// layers adds the parts of an artifact, as the registry has them, to those by digest; CodeNotFound when it is not there.
func (s *artifactStore) layers(ctx context.Context, sha string, to map[string]v1.Layer) error {
	img, cut, err := s.image(ctx, sha)
	if err != nil {
		return err
	}
	all, err := img.Layers()
	if err != nil {
		return registryAway(err)
	}
	for i, p := range cut {
		to[p.SHA256] = all[i]
	}
	return nil
}

// image finds an artifact; CodeNotFound when it is not there.
func (s *artifactStore) image(ctx context.Context, sha string) (v1.Image, []parts.Part, error) {
	if !sha256hex.MatchString(sha) {
		return nil, nil, model.E(model.CodeBadRequest, "%q is not a sha256 in 64 hex digits", clip(sha, 70))
	}
	img, err := remote.Image(s.repo.Tag(model.ArtifactTag(sha)), remote.WithContext(ctx))
	if isAbsent(err) {
		return nil, nil, noArtifact(sha)
	}
	if err != nil {
		return nil, nil, registryAway(err)
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, nil, registryAway(err)
	}
	cut := artifact.Parts(m)
	if len(cut) == 0 || len(cut) == 1 && cut[0].SHA256 != sha {
		return nil, nil, model.E(model.CodeNotFound, "what the registry has under the tag of artifact %s is something else", sha).WithNext("upload it again")
	}
	return img, cut, nil
}

func noArtifact(sha string) error {
	return model.E(model.CodeNotFound, "there is no artifact %s", clip(sha, 70)).WithNext("upload it")
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
	img, err := artifact.Image(artifact.FileLayers(f.path, f.parts))
	if err != nil {
		return err
	}
	if err := remote.Write(s.repo.Tag(model.ArtifactTag(f.sha256)), img, remote.WithContext(ctx)); err != nil {
		return registryAway(err)
	}
	return nil
}

// promise stores what consists of these layers under the name of a promise. Layers that the registry has are not sent.
func (s *artifactStore) promise(ctx context.Context, name string, layers []v1.Layer) error {
	img, err := artifact.Promise(layers, name)
	if err != nil {
		return err
	}
	err = remote.Write(s.repo.Tag(model.ArtifactTag(name)), img, remote.WithContext(ctx))
	switch {
	case isAbsent(err):
		return model.E(model.CodeBadRequest, "a part of the file is not here any more: the artifact that had it was removed").WithCause(err).WithNext("send the file as a whole")
	case err != nil:
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
