package registry

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// sweeping serves a registry whose grace is given.
func sweeping(t *testing.T, grace time.Duration) (*Registry, string) {
	t.Helper()
	r, err := New(t.TempDir(), slog.New(slog.DiscardHandler))
	must(t, err)
	r.grace = grace
	s := httptest.NewServer(r)
	t.Cleanup(func() { s.Close(); must(t, r.Close()) })
	return r, strings.TrimPrefix(s.URL, "http://")
}

// used is how many bytes the registry has on the disk in blobs.
func used(t *testing.T, r *Registry) (n int64) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(r.data, "docker/registry/v2/blobs"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "data" {
			info, err := e.Info()
			if err != nil {
				return err
			}
			n += info.Size()
		}
		return err
	}))
	return n
}

func remove(t *testing.T, at string, img v1.Image) {
	t.Helper()
	digest, err := img.Digest()
	must(t, err)
	must(t, remote.Delete(ref(t, at+"@"+digest.String())))
}

func whole(t *testing.T, at string) {
	t.Helper()
	img, err := remote.Image(ref(t, at))
	must(t, err)
	if err := validate.Image(img); err != nil {
		t.Errorf("%s: %v", at, err)
	}
}

func TestSweep_FreesWhatNoManifestNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	r, at := sweeping(t, 0)
	base := randomImage(t)
	layer, err := random.Layer(1<<20, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	must(t, err)
	app, err := mutate.AppendLayers(base, layer)
	must(t, err)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: randomImage(t)})
	must(t, remote.Write(ref(t, at+"/dinp/base/x:1"), base))
	must(t, remote.Write(ref(t, at+"/dinp/apps/a:1"), app))
	must(t, remote.WriteIndex(ref(t, at+"/dinp/apps/c:1"), index))
	if freed, err := r.Sweep(t.Context(), false); err != nil || freed != 0 {
		t.Fatalf("freed %d of what is named, %v", freed, err)
	}
	before := used(t, r)
	remove(t, at+"/dinp/apps/a", app)
	counted, err := r.Sweep(t.Context(), true)
	if err != nil || counted < 1<<20 || counted > 1<<20+64<<10 || used(t, r) != before {
		t.Errorf("a dry run counts %d, %v, and leaves %d of %d", counted, err, used(t, r), before)
	}
	freed, err := r.Sweep(t.Context(), false)
	if err != nil || freed != counted || used(t, r) != before-freed {
		t.Errorf("freed %d (counted %d), %v; used %d before, %d now", freed, counted, err, before, used(t, r))
	}
	whole(t, at+"/dinp/base/x:1")
	idx, err := remote.Index(ref(t, at+"/dinp/apps/c:1"))
	must(t, err)
	if err := validate.Index(idx); err != nil {
		t.Error(err)
	}
	// What was swept can come again, whole.
	must(t, remote.Write(ref(t, at+"/dinp/apps/a:2"), app))
	whole(t, at+"/dinp/apps/a:2")
}

func TestSweep_SparesWhatIsYoungOrWasAskedFor(t *testing.T) {
	t.Parallel()
	r, at := sweeping(t, time.Hour)
	img := randomImage(t)
	must(t, remote.Write(ref(t, at+"/dinp/apps/a:1"), img))
	remove(t, at+"/dinp/apps/a", img)
	if freed, err := r.Sweep(t.Context(), false); err != nil || freed != 0 {
		t.Errorf("freed %d of what is young, %v", freed, err)
	}
	old := time.Now().Add(-2 * time.Hour)
	must(t, filepath.WalkDir(r.data, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "data" {
			err = os.Chtimes(path, old, old)
		}
		return err
	}))
	r.asked.mu.Lock()
	clear(r.asked.when)
	r.asked.mu.Unlock()
	layers, err := img.Layers()
	must(t, err)
	digest, err := layers[0].Digest()
	must(t, err)
	repo, err := name.NewRepository(at + "/dinp/apps/a")
	must(t, err)
	told, err := remote.Layer(repo.Digest(digest.String())) // as a push asks: is it there?
	must(t, err)
	_, err = told.Size()
	must(t, err)
	if freed, err := r.Sweep(t.Context(), false); err != nil || freed == 0 {
		t.Errorf("freed %d, %v", freed, err)
	}
	if _, err := os.Stat(filepath.Join(r.data, "docker/registry/v2/blobs/sha256", digest.Hex[:2], digest.Hex, "data")); err != nil {
		t.Errorf("the layer that a client was told of: %v", err)
	}
}

func TestSweep_AManifestThatCannotBeReadEndsItBeforeAnythingIsRemoved(t *testing.T) {
	t.Parallel()
	r, at := sweeping(t, 0)
	gone, broken := randomImage(t), randomImage(t)
	must(t, remote.Write(ref(t, at+"/dinp/apps/a:1"), gone))
	must(t, remote.Write(ref(t, at+"/dinp/apps/b:1"), broken))
	remove(t, at+"/dinp/apps/a", gone)
	digest, err := broken.Digest()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(r.data, "docker/registry/v2/blobs/sha256", digest.Hex[:2], digest.Hex, "data"), []byte("{"), 0o600))
	before := used(t, r)
	if _, err := r.Sweep(t.Context(), false); err == nil || used(t, r) != before {
		t.Errorf("error %v, %d of %d bytes left", err, used(t, r), before)
	}
}

// Pushes of images that share layers with images that go, while sweeps run one after the other: whatever was pushed in
// the end is whole.
func TestSweep_BesidePushesNothingIsLost(t *testing.T) {
	t.Parallel()
	r, at := sweeping(t, time.Minute)
	shared := randomImage(t)
	ctx, stop := context.WithCancel(t.Context())
	var sweeps sync.WaitGroup
	sweeps.Go(func() {
		for ctx.Err() == nil {
			if _, err := r.Sweep(ctx, false); err != nil && ctx.Err() == nil {
				t.Errorf("sweep: %v", err)
				return
			}
		}
	})
	defer sweeps.Wait()
	defer stop()
	for i := range 8 {
		layer, err := random.Layer(1<<10, "application/vnd.docker.image.rootfs.diff.tar.gzip")
		must(t, err)
		img, err := mutate.AppendLayers(shared, layer)
		must(t, err)
		must(t, remote.Write(ref(t, fmt.Sprintf("%s/dinp/apps/a:%d", at, i)), img))
		remove(t, at+"/dinp/apps/a", img)
	}
	must(t, remote.Write(ref(t, at+"/dinp/apps/a:last"), shared))
	whole(t, at+"/dinp/apps/a:last")
}
