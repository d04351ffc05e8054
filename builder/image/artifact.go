package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/artifact"
	"github.com/dinp/dinp/common/model"
)

// FetchArtifact writes the artifact with that SHA-256 into a new file at path and returns its size, and how much of it
// came from the registry: what the larder has is not fetched. What is in the file afterwards is what was uploaded, or there
// is an error. Parts in the larder that are anything else are removed from it.
func (r *Registry) FetchArtifact(ctx context.Context, sha256hex, path string, l *Larder) (size, fetched int64, err error) {
	layers, err := r.artifactParts(ctx, sha256hex)
	if err != nil {
		return 0, 0, err
	}
	f := fetch{larder: l}
	got, err := f.into(ctx, path, layers, sha256hex)
	if err == nil && got != sha256hex {
		err = model.E(model.CodeBadArtifact, "the stored artifact has SHA-256 %.12s…, not %.12s…: the registry's copy is damaged", got, sha256hex).
			WithNext("upload it again")
	}
	return f.size, f.fetched, r.explain(ctx, err)
}

// RedeemArtifact does the same for an artifact that a user promises, and keeps it in the registry as the artifact that it
// is; before that it calls right with its size. Parts that make anything else are refused, and nothing is kept.
func (r *Registry) RedeemArtifact(ctx context.Context, sha256hex, userID, path string, l *Larder, right func(size int64) error) (size, fetched int64, err error) {
	layers, err := r.artifactParts(ctx, model.PromisedArtifact(sha256hex, userID))
	if err != nil {
		return 0, 0, err
	}
	f := fetch{larder: l}
	got, err := f.into(ctx, path, layers, sha256hex)
	if err == nil && got != sha256hex {
		err = model.E(model.CodeBadArtifact, "the %d parts of the upload together have the SHA-256 %.12s…, announced was %.12s…", len(layers), got, sha256hex).
			WithStill("nothing was changed").WithNext("deploy it again: the file is then sent as a whole")
	}
	if err == nil {
		err = right(f.size)
	}
	if err == nil {
		err = r.keepArtifact(ctx, sha256hex, layers)
	}
	return f.size, f.fetched, r.explain(ctx, err)
}

// keepArtifact gives an artifact whose parts are all there its own name.
func (r *Registry) keepArtifact(ctx context.Context, sha256hex string, layers []v1.Layer) error {
	ref, err := r.ref(model.ArtifactRepository + ":" + model.ArtifactTag(sha256hex))
	if err != nil {
		return err
	}
	img, err := artifact.Image(layers)
	if err != nil {
		return err
	}
	return remote.Put(ref, img, r.options(ctx)...)
}

// rewind empties a file to be written anew.
func rewind(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return errors.Join(err, f.Truncate(0))
}

// fetch is an artifact that is being put together.
type fetch struct {
	to      *os.File
	larder  *Larder // nil: without
	size    int64
	fetched int64    // of it, from the registry
	taken   []string // parts that came from the larder
}

// into puts an artifact together in a new file and returns the SHA-256, in hex, of what that gave. When it is not the one
// that is wanted, what came from the larder is looked at part by part, and what is damaged comes from the registry.
func (f *fetch) into(ctx context.Context, path string, layers []v1.Layer, want string) (got string, err error) {
	if f.to, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.to.Close()) }()
	if len(layers) == 1 {
		f.larder = nil // a part that no other artifact will have
	}
	got, err = f.all(ctx, layers)
	if err != nil || got == want || !f.larder.weed(f.taken) {
		return got, err
	}
	f.size, f.fetched, f.taken = 0, 0, nil
	if err := rewind(f.to); err != nil {
		return got, err
	}
	return f.all(ctx, layers)
}

// all puts an artifact together and returns the SHA-256, in hex, of what that gave. One part is summed up on its way
// from the registry, and not again.
func (f *fetch) all(ctx context.Context, layers []v1.Layer) (string, error) {
	last := ""
	for _, l := range layers {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		digest, err := l.Digest()
		if err != nil {
			return "", err
		}
		last = digest.Hex
		n, err := f.part(last, l)
		f.size += n
		if err != nil {
			return "", err
		}
	}
	if len(layers) == 1 {
		return last, nil
	}
	sum := sha256.New()
	_, err := io.CopyBuffer(onlyWriter{sum}, io.NewSectionReader(f.to, 0, f.size), make([]byte, copyBytes))
	return hex.EncodeToString(sum.Sum(nil)), err
}

// copyBytes is the size of a buffer that is fast for large files.
const copyBytes = 256 << 10

// onlyWriter hides from io.CopyBuffer what else a writer can do, so that it uses its buffer.
type onlyWriter struct{ io.Writer }

// part appends a part from the larder, which the kernel copies by itself, or from the registry to both.
func (f *fetch) part(sha256hex string, l v1.Layer) (int64, error) {
	if have := f.larder.take(sha256hex); have != nil {
		defer have.Close()
		f.taken = append(f.taken, sha256hex)
		return io.Copy(f.to, have)
	}
	src, err := l.Compressed() // checks the bytes against their digest
	if err != nil {
		return 0, err
	}
	defer src.Close()
	n, err := f.larder.keep(sha256hex, f.to, src)
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
	if artifact.Parts(m) == nil {
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
