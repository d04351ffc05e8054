package base

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push brings base images of outDir to registry (host:port), as dinp/base/<runtime>:latest, and returns their manifest
// digests by runtime: those of the runtimes named, or else all there are, the smallest first. One that is there already
// costs a single HEAD request, and a layer that several share is sent once. Loopback registries are spoken to in plain
// HTTP; options carry transports and credentials for others.
func Push(ctx context.Context, outDir, registry string, runtimes []string, options ...remote.Option) (map[string]string, error) {
	if len(runtimes) == 0 {
		var err error
		if runtimes, err = made(outDir); err != nil {
			return nil, err
		}
	}
	options = append([]remote.Option{remote.WithContext(ctx)}, options...)
	digests := map[string]string{}
	for _, runtime := range runtimes {
		digest, err := push(filepath.Join(outDir, runtime), registry+"/dinp/base/"+runtime+":latest", options)
		if err != nil {
			return nil, fmt.Errorf("push base image %s: %w", runtime, err)
		}
		digests[runtime] = digest
	}
	return digests, nil
}

// made lists the runtimes whose base images are in outDir, the smallest first.
func made(outDir string) ([]string, error) {
	keys, err := filepath.Glob(filepath.Join(outDir, "*", keyFile))
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no base image in %s; `make base-images` makes them", outDir)
	}
	sizes := map[string]int64{}
	for _, key := range keys {
		if sizes[filepath.Base(filepath.Dir(key))], err = weight(filepath.Dir(key)); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[a], sizes[b]), cmp.Compare(a, b))
	}), nil
}

// weight is the size of a layout's image, all its layers together.
func weight(dir string) (int64, error) {
	img, _, err := open(dir)
	if err != nil {
		return 0, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, l := range manifest.Layers {
		sum += l.Size
	}
	return sum, nil
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
	if errors.Is(err, fs.ErrNotExist) {
		return nil, v1.Hash{}, fmt.Errorf("there is none in %s; `make base-images` makes it: %w", dir, err)
	}
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
