package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Grace is how long a blob stays that no manifest names: since it came, and since a client last asked for it. A push sends
// or asks for its blobs first and names them last; none takes nearly that long.
const Grace = time.Hour

// maxManifest bounds the manifests that are read; the registry takes none that are larger.
const maxManifest = 4 << 20

// asked remembers which blobs clients were told of lately.
type asked struct {
	mu   sync.Mutex
	when map[string]time.Time // by SHA-256, hex
}

func (a *asked) note(digest string, now time.Time) {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.when[hex] = now
}

// unlessAsked calls f unless a client was told of the blob since then; clients wait meanwhile.
func (a *asked) unlessAsked(hex string, since time.Time, f func() error) (done bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, ok := a.when[hex]; ok && at.After(since) {
		return false, nil
	}
	delete(a.when, hex)
	return true, f()
}

// Sweep removes the blobs that no manifest names, apart from those within Grace, and returns how many bytes that frees on
// the disk. With dryRun it only counts. A manifest that cannot be read ends it before anything is removed. It may be ended
// at any moment: what it leaves is swept the next time.
func (r *Registry) Sweep(ctx context.Context, dryRun bool) (freed int64, err error) {
	// A manifest that comes meanwhile waits: afterwards the registry says which of its blobs are gone.
	r.manifests.Lock()
	defer r.manifests.Unlock()
	root := filepath.Join(r.data, "docker", "registry", "v2")
	named, links, err := mark(ctx, root)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	since := time.Now().Add(-r.grace)
	blobs, err := filepath.Glob(filepath.Join(root, "blobs", "sha256", "*", "*"))
	if err != nil {
		return 0, err
	}
	for _, dir := range blobs {
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		hex := filepath.Base(dir)
		if named[hex] {
			continue
		}
		n, err := r.sweepBlob(dir, hex, links[hex], since, dryRun)
		if err != nil {
			return freed, fmt.Errorf("sweep: blob %.12s: %w", hex, err)
		}
		freed += n
	}
	return freed, nil
}

// sweepBlob removes a blob and the links by which repositories have it, unless it is young or was asked for.
func (r *Registry) sweepBlob(dir, hex string, links []string, since time.Time, dryRun bool) (int64, error) {
	info, err := os.Stat(filepath.Join(dir, "data"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil || info.ModTime().After(since) {
		return 0, err
	}
	done, err := r.asked.unlessAsked(hex, since, func() error {
		if dryRun {
			return nil
		}
		var errs []error
		for _, link := range links { // first: a link to nothing is repaired by the next push, a blob without links is swept
			errs = append(errs, os.RemoveAll(link))
		}
		return errors.Join(append(errs, os.RemoveAll(dir))...)
	})
	if err != nil || !done {
		return 0, err
	}
	return info.Size(), nil
}

// mark finds every blob that a manifest of any repository names, the manifests themselves, and the links that
// repositories have to blobs.
func mark(ctx context.Context, root string) (named map[string]bool, links map[string][]string, err error) {
	named, links = map[string]bool{}, map[string][]string{}
	err = filepath.WalkDir(filepath.Join(root, "repositories"), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an upload that has ended meanwhile, or no repository yet
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if e.Name() != "link" {
			return nil
		}
		digest := filepath.Dir(path)
		hex := filepath.Base(digest)
		switch filepath.Base(filepath.Dir(filepath.Dir(digest))) { // …/<kind>/sha256/<hex>/link
		case "revisions":
			return markManifest(root, hex, named)
		case "_layers":
			links[hex] = append(links[hex], digest)
		}
		return nil
	})
	return named, links, err
}

// manifest is what images and indexes of either family name.
type manifest struct {
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
	Blobs     []descriptor `json:"blobs"`
	Manifests []descriptor `json:"manifests"`
}

type descriptor struct {
	Digest string `json:"digest"`
}

// markManifest marks a manifest and all that it names, manifests in an index included.
func markManifest(root, hex string, named map[string]bool) error {
	if named[hex] {
		return nil
	}
	named[hex] = true
	text, err := readManifest(filepath.Join(root, "blobs", "sha256", hex[:min(2, len(hex))], hex, "data"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the registry would not serve it either
	}
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("manifest %.12s: %w", hex, err)
	}
	for _, d := range append(append(m.Layers, m.Blobs...), m.Config) {
		if hex, ok := strings.CutPrefix(d.Digest, "sha256:"); ok {
			named[hex] = true
		}
	}
	for _, d := range m.Manifests {
		if hex, ok := strings.CutPrefix(d.Digest, "sha256:"); ok {
			if err := markManifest(root, hex, named); err != nil {
				return err
			}
		}
	}
	return nil
}

func readManifest(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("manifest %s has %d bytes", path, info.Size())
	}
	return os.ReadFile(path)
}
