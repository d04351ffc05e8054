package builder

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a queue, a registry with tiny base images, and an app to build for.
type rig struct {
	t        *testing.T
	store    *store.Store
	url      string // of the store
	registry string
	app      model.App
	cfg      Config
	said     *said // by the builders
}

// said is what builders write to their logs.
type said struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String is all of it.
func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var somebody = model.Actor{Name: "somebody", Role: model.Admin, From: "test"}

func newRig(t *testing.T) *rig {
	t.Helper()
	url := storetest.SQLite(t)
	st, err := store.Open(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { st.Close() })
	team, err := st.CreateTeam(t.Context(), "team", somebody)
	must(t, err)
	app, err := st.CreateApp(t.Context(), "shop", team.ID, somebody)
	must(t, err)
	r := &rig{t: t, store: st, url: url, registry: testenv.Registry(t), app: app, cfg: Default(), said: new(said)}
	r.cfg.Registry, r.cfg.WorkDir, r.cfg.Admin, r.cfg.ID = r.registry, t.TempDir(), "127.0.0.1:0", "b1"
	r.cfg.Poll, r.cfg.Lease = 10*time.Millisecond, time.Minute // a stalled machine loses no build
	for _, runtime := range []string{"static", "binary", "tomcat", "java", "node", "python", "php"} {
		r.push("dinp/base/"+runtime+":latest", tinyBase(t, runtime))
	}
	return r
}

// in is the rig for a subtest.
func (r *rig) in(t *testing.T) *rig {
	other := *r
	other.t = t
	return &other
}

func tinyBase(t *testing.T, runtime string) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	cf, err := img.ConfigFile()
	must(t, err)
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config.Cmd = "linux", "amd64", []string{"/serve-" + runtime}
	img, err = mutate.ConfigFile(img, cf)
	must(t, err)
	return img
}

func (r *rig) ref(relative string) name.Reference {
	ref, err := name.ParseReference(r.registry + "/" + relative)
	must(r.t, err)
	return ref
}

func (r *rig) push(relative string, img v1.Image) { must(r.t, remote.Write(r.ref(relative), img)) }

// pushRealBase puts a base image of this machine's cache into the registry, for the engine to build upon.
func (r *rig) pushRealBase(runtime string) {
	pulled := r.pushCachedBase(runtime)
	r.t.Cleanup(func() { // the engine keeps it for the next build, which this registry will not see
		out, err := exec.Command("docker", "-H", testenv.Docker(r.t), "rmi", pulled).CombinedOutput()
		notPulledYet := strings.Contains(string(out), "No such image") // a build may be stopped before it needs its base
		if err != nil && !notPulledYet {
			r.t.Errorf("docker rmi: %s", out)
		}
	})
}

// pushCachedBase puts a base image of this machine's cache into the registry and returns how an engine calls it.
func (r *rig) pushCachedBase(runtime string) string {
	index, err := layout.ImageIndexFromPath(filepath.Join(testenv.BaseImages(r.t, runtime), runtime))
	must(r.t, err)
	m, err := index.IndexManifest()
	must(r.t, err)
	img, err := index.Image(m.Manifests[0].Digest)
	must(r.t, err)
	r.push("dinp/base/"+runtime+":latest", img)
	digest, err := img.Digest()
	must(r.t, err)
	return r.registry + "/dinp/base/" + runtime + "@" + digest.String()
}

func (r *rig) config(relative string) v1.Config {
	r.t.Helper()
	img, err := remote.Image(r.ref(relative))
	must(r.t, err)
	cf, err := img.ConfigFile()
	must(r.t, err)
	return cf.Config
}

// queue stores an artifact as dash does and queues a build of it.
func (r *rig) queue(filename string, content []byte, runtime string) model.Build {
	r.t.Helper()
	return r.create(model.Build{Artifact: r.storeArtifact(content), Filename: filename, Size: int64(len(content)), Runtime: runtime})
}

func (r *rig) queueOf(filename string, content []byte, origin model.BuildOrigin) model.Build {
	r.t.Helper()
	return r.create(model.Build{Artifact: r.storeArtifact(content), Filename: filename, Size: int64(len(content)), Origin: origin})
}

func (r *rig) storeArtifact(content []byte) string {
	r.t.Helper()
	sum := sha256.Sum256(content)
	sha := hex.EncodeToString(sum[:])
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(content, model.ArtifactMediaType))
	must(r.t, err)
	r.push(model.ArtifactRepository+":"+model.ArtifactTag(sha), img)
	return sha
}

func (r *rig) create(b model.Build) model.Build {
	r.t.Helper()
	b.AppID = r.app.ID
	if b.Deploy == nil {
		b.Deploy = &model.DeployRequest{}
	}
	out, err := r.store.CreateBuild(r.t.Context(), b, somebody)
	must(r.t, err)
	return out
}

// start runs a builder until the test ends or stop is called.
func (r *rig) start() (b *Builder, stop func()) {
	r.t.Helper()
	b, err := New(r.cfg, r.store, os.DirFS("../images"), slog.New(slog.NewTextHandler(io.MultiWriter(r.t.Output(), r.said), nil)))
	must(r.t, err)
	must(r.t, b.Listen())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("run: %v", err)
		}
	}
	r.t.Cleanup(stop)
	return b, stop
}

// wait waits until the build has ended.
func (r *rig) wait(id string) model.Build {
	r.t.Helper()
	var b model.Build
	testenv.Eventually(r.t, 5*time.Minute, func() (err error) { // a converter's base image may have to be pulled first
		if b, err = r.store.Build(context.Background(), id); err == nil && !b.Ended() {
			err = fmt.Errorf("build is %s at %s; log:\n%s", b.Status, b.Step, r.log(id))
		}
		return err
	})
	return b
}

// log is all of a build's log.
func (r *rig) log(id string) string {
	var b strings.Builder
	for after := int64(0); ; {
		lines, err := r.store.BuildLog(context.Background(), id, after, 1000)
		if err != nil {
			return err.Error()
		}
		if len(lines) == 0 {
			return b.String()
		}
		for _, l := range lines {
			b.WriteString(l.Text + "\n")
			after = l.Seq
		}
	}
}

// wantLog checks that the pieces stand in the log in this order.
func (r *rig) wantLog(id string, parts ...string) {
	r.t.Helper()
	rest := r.log(id)
	for _, p := range parts {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			r.t.Errorf("%q is missing, or not in its place, in the log:\n%s", p, r.log(id))
			return
		}
		rest = after
	}
}

// wantNothingLeft checks that no work folder stays.
func (r *rig) wantNothingLeft() {
	r.t.Helper()
	entries, err := os.ReadDir(filepath.Join(r.cfg.WorkDir, "builds"))
	if err != nil || len(entries) != 0 {
		r.t.Errorf("left in the work folder: %v, %v", entries, err)
	}
}

func tarGz(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		must(t, w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644, ModTime: time.Unix(1_700_000_000, 0)}))
		_, err := w.Write([]byte(files[i+1]))
		must(t, err)
	}
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		must(t, err)
		_, err = f.Write([]byte(files[i+1]))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}
