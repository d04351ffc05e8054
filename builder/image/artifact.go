package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"slices"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/common/model"
)

// FetchArtifact writes the artifact with that SHA-256 into a new file at path and returns its size, and how much of it
// came from the registry: what the larder has is not fetched. The bytes are checked while they stream: what is in the
// file afterwards is what was uploaded, or there is an error. A larder that has anything else is emptied.
func (r *Registry) FetchArtifact(ctx context.Context, sha256hex, path string, l *Larder) (size, fetched int64, err error) {
	layers, err := r.artifactParts(ctx, sha256hex)
	if err != nil {
		return 0, 0, err
	}
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, 0, err
	}
	if len(layers) == 1 {
		l = nil // a part that no other artifact will have
	}
	f, err := fetchParts(ctx, dst, layers, l)
	if err == nil && f.taken && f.sha256() != sha256hex {
		if err = errors.Join(l.Empty(), rewind(dst)); err == nil {
			f, err = fetchParts(ctx, dst, layers, l)
		}
	}
	if err := errors.Join(err, dst.Close()); err != nil {
		return f.size, f.fetched, r.explain(ctx, err)
	}
	if got := f.sha256(); got != sha256hex {
		return f.size, f.fetched, model.E(model.CodeBadArtifact, "the stored artifact has SHA-256 %.12s…, not %.12s…: the registry's copy is damaged", got, sha256hex).
			WithNext("upload it again")
	}
	return f.size, f.fetched, nil
}

// rewind empties a file to be written anew.
func rewind(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return errors.Join(err, f.Truncate(0))
}

// fetch is an artifact that is being put together.
type fetch struct {
	to      io.Writer
	sum     hash.Hash
	larder  *Larder // nil: without
	size    int64
	fetched int64 // of it, from the registry
	taken   bool  // something came from the larder
}

// fetchParts puts an artifact together.
func fetchParts(ctx context.Context, to io.Writer, layers []v1.Layer, l *Larder) (fetch, error) {
	f := fetch{to: to, sum: sha256.New(), larder: l}
	for _, layer := range layers {
		if err := ctx.Err(); err != nil {
			return f, err
		}
		n, err := f.part(layer)
		f.size += n
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *fetch) sha256() string { return hex.EncodeToString(f.sum.Sum(nil)) }

// part appends a part from the larder, or from the registry to both.
func (f *fetch) part(l v1.Layer) (int64, error) {
	digest, err := l.Digest()
	if err != nil {
		return 0, err
	}
	to := io.MultiWriter(f.to, f.sum)
	if have := f.larder.take(digest.Hex); have != nil {
		defer have.Close()
		f.taken = true
		return io.Copy(to, have)
	}
	src, err := l.Compressed() // checks the bytes against their digest
	if err != nil {
		return 0, err
	}
	defer src.Close()
	n, err := f.larder.keep(digest.Hex, to, src)
	f.fetched += n
	return n, err
}

// artifactParts are the layers that an artifact consists of, in their order.
func (r *Registry) artifactParts(ctx context.Context, sha256hex string) ([]v1.Layer, error) {
	ref, err := r.ref(model.ArtifactRepository + ":" + model.ArtifactTag(sha256hex))
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, r.options(ctx)...)
	if err != nil {
		return nil, r.noArtifact(ctx, sha256hex, err)
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, r.noArtifact(ctx, sha256hex, err)
	}
	foreign := func(d v1.Descriptor) bool { return d.MediaType != model.ArtifactMediaType }
	if len(m.Layers) == 0 || slices.ContainsFunc(m.Layers, foreign) {
		return nil, model.E(model.CodeBadArtifact, "what the registry has for artifact %.12s… is no artifact", sha256hex).WithNext("upload it again")
	}
	return img.Layers()
}

func (r *Registry) noArtifact(ctx context.Context, sha256hex string, err error) error {
	err = r.explain(ctx, err)
	if isNotFound(err) {
		return model.E(model.CodeBadArtifact, "the registry does not have the artifact %.12s… any more", sha256hex).
			WithNext("upload it again").WithCause(err)
	}
	return err
}

// isCut reports whether a stream ended before its time.
func isCut(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
