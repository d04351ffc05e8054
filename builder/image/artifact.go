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

	"github.com/dinp/dinp/common/model"
)

// FetchArtifact writes the artifact with that SHA-256 into a new file at path and returns its size. The bytes are checked
// while they stream: what is in the file afterwards is what was uploaded, or there is an error.
func (r *Registry) FetchArtifact(ctx context.Context, sha256hex, path string) (int64, error) {
	layer, err := r.artifactLayer(ctx, sha256hex)
	if err != nil {
		return 0, err
	}
	src, err := layer.Compressed()
	if err != nil {
		return 0, r.explain(ctx, err)
	}
	defer src.Close()
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(dst, sum), src)
	if err := errors.Join(err, dst.Close()); err != nil {
		return n, r.explain(ctx, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != sha256hex {
		return n, model.E(model.CodeBadArtifact, "the stored artifact has SHA-256 %.12s…, not %.12s…: the registry's copy is damaged", got, sha256hex).
			WithNext("upload it again")
	}
	return n, nil
}

func (r *Registry) artifactLayer(ctx context.Context, sha256hex string) (v1.Layer, error) {
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
	if len(m.Layers) != 1 || m.Layers[0].MediaType != model.ArtifactMediaType {
		return nil, model.E(model.CodeBadArtifact, "what the registry has for artifact %.12s… is no artifact", sha256hex).WithNext("upload it again")
	}
	return img.LayerByDigest(m.Layers[0].Digest)
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
