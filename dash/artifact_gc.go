package dash

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dinp/dinp/common/model"
)

func isAbsent(err error) bool {
	var refused *transport.Error
	return errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound
}

func (s *artifactStore) repository(path string) (name.Repository, error) {
	return name.NewRepository(s.repo.RegistryStr()+"/"+path, name.Insecure)
}

// tags lists the tags of a repository; none when there is no such repository.
func (s *artifactStore) tags(ctx context.Context, path string) ([]string, error) {
	repo, err := s.repository(path)
	if err != nil {
		return nil, err
	}
	tags, err := remote.List(repo, remote.WithContext(ctx))
	switch {
	case isAbsent(err):
		return nil, nil
	case err != nil:
		return nil, registryAway(err)
	}
	return tags, nil
}

// resolve returns the image that a tag names, as repository@digest; "" when it names nothing any more.
func (s *artifactStore) resolve(ctx context.Context, path, tag string) (string, error) {
	repo, err := s.repository(path)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(repo.Tag(tag), remote.WithContext(ctx))
	switch {
	case isAbsent(err):
		return "", nil
	case err != nil:
		return "", registryAway(err)
	}
	return path + "@" + d.Digest.String(), nil
}

// blobs returns the blobs of an image with their sizes, the manifest among them; nil when the registry does not have it.
func (s *artifactStore) blobs(ctx context.Context, image string) (map[string]int64, error) {
	ref, err := name.ParseReference(s.repo.RegistryStr()+"/"+image, name.Insecure)
	if err != nil {
		return nil, err
	}
	d, err := remote.Get(ref, remote.WithContext(ctx))
	switch {
	case isAbsent(err):
		return nil, nil
	case err != nil:
		return nil, registryAway(err)
	}
	out := map[string]int64{d.Digest.String(): d.Size}
	if d.MediaType.IsIndex() {
		return out, s.indexBlobs(ctx, image, d, out)
	}
	img, err := d.Image()
	if err != nil {
		return nil, registryAway(err)
	}
	return out, addBlobs(out, img)
}

func addBlobs(to map[string]int64, img v1.Image) error {
	m, err := img.Manifest()
	if err != nil {
		return registryAway(err)
	}
	for _, l := range append(m.Layers, m.Config) {
		to[l.Digest.String()] = l.Size
	}
	return nil
}

// indexBlobs adds the blobs of an index's images.
func (s *artifactStore) indexBlobs(ctx context.Context, image string, d *remote.Descriptor, out map[string]int64) error {
	index, err := d.ImageIndex()
	if err != nil {
		return registryAway(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return registryAway(err)
	}
	path, _, _ := strings.Cut(image, "@")
	for _, child := range m.Manifests {
		blobs, err := s.blobs(ctx, path+"@"+child.Digest.String())
		if err != nil {
			return err
		}
		for digest, n := range blobs {
			out[digest] = n
		}
	}
	return nil
}

// baseBlobs returns the blobs of the base images in the registry; they stay whatever else goes. A registry that does not
// list what it has makes the count of bytes an estimate, and nothing else.
func (s *artifactStore) baseBlobs(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	all, err := remote.Catalog(ctx, s.repo.Registry, remote.WithContext(ctx))
	if err != nil {
		return out, nil
	}
	for _, path := range all {
		if !strings.HasPrefix(path, "dinp/base/") {
			continue
		}
		tags, err := s.tags(ctx, path)
		if err != nil {
			return nil, err
		}
		for _, tag := range tags {
			image, err := s.resolve(ctx, path, tag)
			if err != nil || image == "" {
				return out, err
			}
			blobs, err := s.blobs(ctx, image)
			if err != nil {
				return nil, err
			}
			for digest := range blobs {
				out[digest] = true
			}
		}
	}
	return out, nil
}

// removeAll removes images, by digest, until a moment at the latest; n of them are gone when it ends.
func (s *artifactStore) removeAll(ctx context.Context, images []string, until time.Time) (n int, err error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for _, image := range images {
		ref, err := name.NewDigest(s.repo.RegistryStr()+"/"+image, name.Insecure)
		if err != nil {
			return n, err
		}
		var refused *transport.Error
		err = remote.Delete(ref, remote.WithContext(ctx))
		switch {
		case err == nil, isAbsent(err):
			n++
		case errors.As(err, &refused) && refused.StatusCode == http.StatusMethodNotAllowed:
			return n, model.E(model.CodeRegistryAway, "the registry does not let images be deleted").WithCause(err).
				WithStill("nothing was removed; all goes on as before").WithNext("allow it in the registry's own configuration (storage.delete.enabled)")
		default:
			return n, registryAway(err)
		}
	}
	return n, nil
}
