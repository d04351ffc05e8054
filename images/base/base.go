// Package base makes the base images of the runtimes without Docker and without a public image registry: from Debian
// packages that the machine's own mirror has, and from small Go programs.
//
// It is called by `dinp`'s commands and the Makefile, on the machine where a platform is set up. The results are cached,
// keyed by what they are made from, so only the first run pays; to take in newer Debian packages, remove the cache. Each
// is an OCI image layout that Push brings to the platform's registry. Nothing here may need a running daemon.
package base

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/sync/errgroup"
)

// keyFile stands in each layout and holds the key of what it was made from.
const keyFile = "dinp-key"

// DefaultDir is where base images are cached unless told otherwise: $DINP_BASE_IMAGES, or dinp/base-images in the
// user's cache folder.
func DefaultDir() (string, error) {
	if dir := os.Getenv("DINP_BASE_IMAGES"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "dinp", "base-images"), nil
}

// Runtimes returns the names of the runtimes that have a base image, in order.
func Runtimes(recipes fs.FS) ([]string, error) {
	found, err := fs.Glob(recipes, "*/base.yaml")
	if err != nil {
		return nil, err
	}
	for i, name := range found {
		found[i] = filepath.Dir(name)
	}
	return found, nil
}

// Build makes the base image of a runtime as an OCI layout in outDir/runtime, unless the one there was made from the
// same recipe and files. It writes what takes time to progress. Several may run at once, also from several processes.
func Build(ctx context.Context, recipes fs.FS, runtime, outDir string, progress io.Writer) error {
	if err := os.MkdirAll(outDir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(outDir, "."+runtime+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	r, err := load(recipes, runtime)
	if err != nil {
		return err
	}
	b, err := loadBelow(ctx, recipes, r, outDir, progress)
	if err != nil {
		return err
	}
	key, err := currentKey(r, b, recipes, runtime)
	if err != nil {
		return err
	}
	final := filepath.Join(outDir, runtime)
	if made, err := os.ReadFile(filepath.Join(final, keyFile)); err == nil && string(made) == key {
		return nil
	}
	began := time.Now()
	fmt.Fprintf(progress, "base image %s: making it\n", runtime)
	size, err := build(ctx, recipes, runtime, r, b, key, final)
	if err != nil {
		return fmt.Errorf("base image %s: %w", runtime, err)
	}
	fmt.Fprintf(progress, "base image %s: %.1f MB in %.1f s\n", runtime, float64(size)/1e6, time.Since(began).Seconds())
	return nil
}

// lock waits until no other process makes the same image. The lock ends with the process at the latest.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func currentKey(r *recipe, b *below, recipes fs.FS, runtime string) (string, error) {
	place := goruntime.GOARCH
	if b != nil {
		place += " " + b.digest
	}
	if r.debian() {
		codename, err := release()
		if err != nil {
			return "", err
		}
		place += " " + codename
	}
	return r.key(recipes, runtime, place)
}

// build makes the image in a scratch folder beside its place, and moves it there once it is complete. It returns the
// size of its layer.
func build(ctx context.Context, recipes fs.FS, runtime string, r *recipe, b *below, key, final string) (int64, error) {
	scratch, err := os.MkdirTemp(filepath.Dir(final), ".making-"+runtime+"-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	layer, err := assemble(ctx, recipes, runtime, r, b, scratch)
	if err != nil {
		return 0, err
	}
	img, err := image(r, runtime, key, b, layer)
	if err != nil {
		return 0, err
	}
	made := filepath.Join(scratch, "layout")
	if err := writeLayout(made, img, key); err != nil {
		return 0, err
	}
	size, err := layer.Size()
	if err != nil {
		return 0, err
	}
	return size, replace(made, final, filepath.Join(scratch, "old"))
}

func writeLayout(dir string, img v1.Image, key string) error {
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := p.AppendImage(img); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, keyFile), []byte(key), 0o644)
}

// replace moves a folder into its place. What stood there goes to old first: folders cannot be swapped in one step.
func replace(made, final, old string) error {
	if err := os.Rename(final, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(made, final)
}

// BuildAll makes the base images of all runtimes, at the same time: one waits for the disk while another computes.
func BuildAll(ctx context.Context, recipes fs.FS, outDir string, progress io.Writer) error {
	runtimes, err := Runtimes(recipes)
	if err != nil {
		return err
	}
	progress = &lockedWriter{w: progress}
	group, ctx := errgroup.WithContext(ctx)
	for _, runtime := range runtimes {
		group.Go(func() error { return Build(ctx, recipes, runtime, outDir, progress) })
	}
	return group.Wait()
}

// lockedWriter lets several write to one writer.
type lockedWriter struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
