package base

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push brings every base image in outDir to registry (host:port), as dinp/base/<runtime>:latest, and returns their
// manifest digests by runtime. One that is there already costs a single HEAD request. Loopback registries are spoken
// to in plain HTTP; options carry transports and credentials for others.
func Push(ctx context.Context, outDir, registry string, options ...remote.Option) (map[string]string, error) {
	keys, err := filepath.Glob(filepath.Join(outDir, "*", keyFile))
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no base image in %s; `make base-images` makes them", outDir)
	}
	options = append([]remote.Option{remote.WithContext(ctx)}, options...)
	digests := map[string]string{}
	for _, key := range keys {
		dir := filepath.Dir(key)
		runtime := filepath.Base(dir)
		digest, err := push(dir, registry+"/dinp/base/"+runtime+":latest", options)
		if err != nil {
			return nil, fmt.Errorf("push base image %s: %w", runtime, err)
		}
		digests[runtime] = digest
	}
	return digests, nil
}

func push(dir, target string, options []remote.Option) (string, error) {
	tag, err := name.NewTag(target)
	if err != nil {
		return "", err
	}
	img, digest, err := open(dir)
	if err != nil {
		return "", err
	}
	if there, err := remote.Head(tag, options...); err == nil && there.Digest == digest {
		return digest.String(), nil
	}
	// Any other answer to HEAD: try to write, whose error says more.
	return digest.String(), remote.Write(tag, img, options...)
}

// open reads the one image of a layout.
func open(dir string) (v1.Image, v1.Hash, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, v1.Hash{}, fmt.Errorf("%s: %d images, want one", filepath.Join(dir, "index.json"), len(manifest.Manifests))
	}
	digest := manifest.Manifests[0].Digest
	img, err := index.Image(digest)
	if os.IsNotExist(err) {
		return nil, v1.Hash{}, fmt.Errorf("%w; remove %s and make it again", err, dir)
	}
	return img, digest, err
}
