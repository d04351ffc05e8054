package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantRefusal(t testing.TB, err error, code model.Code, part string) *model.Error {
	t.Helper()
	var e *model.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, part) || e.Next == "" {
		t.Fatalf("got %+v, want %s with %q and a next step", err, code, part)
	}
	return e
}

// newRegistry starts a real registry.
func newRegistry(t testing.TB) *Registry {
	t.Helper()
	r, err := NewRegistry(testenv.Registry(t), false, "")
	must(t, err)
	return r
}

// tree writes files into a folder, as an extraction would have, below top.
func tree(t testing.TB, top string, files map[string]string) Tree {
	t.Helper()
	dir := t.TempDir()
	out := Tree{Top: top}
	for _, p := range sortedKeys(files) {
		path := filepath.Join(dir, top, p)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(files[p]), 0o600))
		out.Files = append(out.Files, recipe.File{Path: p, Size: int64(len(files[p])), ModTime: 1_700_000_000, Exec: strings.HasPrefix(files[p], "#!"), SHA256: sha256.Sum256([]byte(files[p]))})
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	out.Root = root
	return out
}

// pushBase makes a tiny image in code and pushes it.
func pushBase(t testing.TB, r *Registry, relative string, media types.MediaType) v1.Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Name: "base.txt", Size: 4, Mode: 0o644}))
	_, err := w.Write([]byte("base"))
	must(t, errors.Join(err, w.Close()))
	layerMedia := types.DockerLayer
	if media == types.OCIManifestSchema1 {
		layerMedia = types.OCILayer
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(layerMedia))
	must(t, err)
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, media), l)
	must(t, err)
	cf, err := img.ConfigFile()
	must(t, err)
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = platform().OS, platform().Architecture
	cf.Config = v1.Config{Cmd: []string{"/server"}, Entrypoint: []string{"/entry"}, Env: []string{"PATH=/bin", "A=base"}, WorkingDir: "/"}
	img, err = mutate.ConfigFile(img, cf)
	must(t, err)
	push(t, r, relative, img)
	return img
}

func push(t testing.TB, r *Registry, relative string, img v1.Image) {
	t.Helper()
	ref, err := r.ref(relative)
	must(t, err)
	must(t, remote.Write(ref, img))
}

func pull(t testing.TB, r *Registry, relative string) v1.Image {
	t.Helper()
	ref, err := r.ref(relative)
	must(t, err)
	img, err := remote.Image(ref)
	must(t, err)
	return img
}

// pushArtifact stores content the way dash does.
func pushArtifact(t testing.TB, r *Registry, content []byte) string {
	t.Helper()
	sum := sha256.Sum256(content)
	hex := hex.EncodeToString(sum[:])
	pushArtifactAs(t, r, content, hex, model.ArtifactMediaType)
	return hex
}

func pushArtifactAs(t testing.TB, r *Registry, content []byte, sha string, media types.MediaType) {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(content, media))
	must(t, err)
	push(t, r, model.ArtifactRepository+":"+model.ArtifactTag(sha), img)
}

func TestFetchArtifact(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	content := bytes.Repeat([]byte("artifact "), 100_000)
	sha := pushArtifact(t, r, content)
	path := filepath.Join(t.TempDir(), "a")
	n, _, err := r.FetchArtifact(t.Context(), sha, path, nil)
	must(t, err)
	got, err := os.ReadFile(path)
	must(t, err)
	if n != int64(len(content)) || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, want %d, the same", n, len(content))
	}
}

func TestFetchArtifact_Refuses(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	none, wrong, odd := strings.Repeat("0", 64), strings.Repeat("1", 64), strings.Repeat("2", 64)
	pushArtifactAs(t, r, []byte("x"), wrong, model.ArtifactMediaType)
	pushArtifactAs(t, r, []byte("x"), odd, types.OCILayer)
	for sha, part := range map[string]string{none: "does not have the artifact", wrong: "copy is damaged", odd: "is no artifact"} {
		_, _, err := r.FetchArtifact(t.Context(), sha, filepath.Join(t.TempDir(), "a"), nil)
		wantRefusal(t, err, model.CodeBadArtifact, part)
	}
}

func TestRegistry_Away(t *testing.T) {
	t.Parallel()
	r, err := NewRegistry("127.0.0.1:1", false, "")
	must(t, err)
	_, _, err = r.FetchArtifact(t.Context(), strings.Repeat("0", 64), filepath.Join(t.TempDir(), "a"), nil)
	wantRefusal(t, err, model.CodeRegistryAway, "127.0.0.1:1 does not answer")
	_, err = r.BaseDigest(t.Context(), "dinp/base/static")
	wantRefusal(t, err, model.CodeRegistryAway, "does not answer")
	if err := r.Ping(t.Context()); err == nil {
		t.Error("a ping of nothing succeeded")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.BaseDigest(ctx, "dinp/base/static"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestNewRegistry_AuthFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth")
	must(t, os.WriteFile(path, []byte("user:pass:word\n"), 0o600))
	r, err := NewRegistry("registry.example.org:5000", false, path)
	must(t, err)
	own, err := name.NewRegistry("registry.example.org:5000")
	must(t, err)
	other, err := name.NewRegistry("elsewhere.example.org")
	must(t, err)
	for reg, want := range map[name.Registry]string{own: "pass:word", other: ""} {
		a, err := r.Resolve(reg)
		must(t, err)
		c, err := a.Authorization()
		must(t, err)
		if c.Password != want {
			t.Errorf("password for %s is %q, want %q", reg, c.Password, want)
		}
	}
	must(t, os.WriteFile(path, []byte("nothing"), 0o600))
	if _, err := NewRegistry("x", false, path); err == nil {
		t.Error("a file without user:password was taken")
	}
}
