package builder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/dinp/dinp/artifact"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/provenance"
)

// site serves artifacts; each answer to /changing is another one.
func site(t *testing.T, asked *atomic.Int32, content []byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		switch r.URL.Path {
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		case "/changing.tar.gz":
			w.Write(tarGz(t, "index.html", fmt.Sprint("answer ", n)))
		default:
			w.Write(content)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestDownload_AnAddressBecomesAReleaseAndIsKept(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	content := tarGz(t, "index.html", "from afar")
	u := site(t, &asked, content)
	r := newRig(t)
	r.cfg.Sources.Allow = []string{"127.0.0.1"}
	r.start()
	b := r.wait(r.create(model.Build{Origin: model.BuildOrigin{URL: u + "/a/site.tar.gz?signature=hunter2"}}).ID)
	if b.Status != model.BuildSucceeded || b.Filename != "site.tar.gz" || b.Size != int64(len(content)) || b.Runtime != "static" || b.ReleaseID == "" {
		t.Fatalf("build %+v, error %+v", b, b.Error)
	}
	r.wantLog(b.ID, "downloading "+u+"/a/site.tar.gz", `downloaded "site.tar.gz"`, "detected static")
	if strings.Contains(r.log(b.ID), "hunter2") || strings.Contains(b.Origin.URL, "hunter2") {
		t.Errorf("the signed address's secret is kept: %s", b.Origin.URL)
	}
	s, _ := r.statement(b.ID)
	if p := s.Predicate.BuildDefinition; p.ExternalParameters.URL != u+"/a/site.tar.gz" || s.Dependency(provenance.Artifact) != b.Artifact {
		t.Errorf("statement %+v", p)
	}
	again := r.wait(r.create(model.Build{Origin: model.BuildOrigin{URL: u + "/a/site.tar.gz", SHA256: b.Artifact}}).ID)
	if again.Image != b.Image || again.Filename != "site.tar.gz" || asked.Load() != 1 {
		t.Errorf("the same again: %+v after %d requests", again, asked.Load())
	}
	r.wantLog(again.ID, "nothing is downloaded", "its image is used again")
	r.wantNothingLeft()
}

func TestDownload_RefusesInnerAddressesAndWrongBytes(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	u := site(t, &asked, tarGz(t, "index.html", "x"))
	r := newRig(t)
	_, stop := r.start()
	inner := r.wait(r.create(model.Build{Origin: model.BuildOrigin{URL: u + "/a.tar.gz"}}).ID)
	if inner.Error == nil || inner.Error.Code != model.CodeBadSource || asked.Load() != 0 {
		t.Errorf("this machine: %+v after %d requests", inner.Error, asked.Load())
	}
	stop()
	r.cfg.Sources.Allow, r.cfg.WorkDir = []string{"127.0.0.1"}, t.TempDir()
	r.start()
	for path, code := range map[string]model.Code{"/metadata": model.CodeBadSource, "/a.tar.gz": model.CodeSourceFailed} {
		b := r.wait(r.create(model.Build{Origin: model.BuildOrigin{URL: u + path, SHA256: strings.Repeat("0", 64)}}).ID)
		if b.Error == nil || b.Error.Code != code || b.ReleaseID != "" || b.Artifact != "" {
			t.Errorf("%s: %+v, error %+v", path, b, b.Error)
		}
	}
	r.wantNothingLeft()
}

// A builder that takes a build over builds what the first one downloaded, whatever the address gives by then.
func TestDownload_ATakenOverBuildBuildsTheSameBytes(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	u := site(t, &asked, nil)
	r := newRig(t)
	r.cfg.Sources.Allow, r.cfg.Lease = []string{"127.0.0.1"}, 10*time.Minute
	direct := r.registry
	stopped, _ := r.gate(func(q *http.Request) bool { // at the first thing after the download is written down
		return strings.Contains(q.URL.Path, "/dinp/base/static/")
	})
	_, stop := r.start()
	b := r.create(model.Build{Origin: model.BuildOrigin{URL: u + "/changing.tar.gz"}})
	<-stopped
	stop()
	r.cfg.ID, r.cfg.Registry, r.cfg.WorkDir = "b2", direct, t.TempDir()
	r.start()
	got := r.wait(b.ID)
	if got.Status != model.BuildSucceeded || got.BuilderID != "b2" || asked.Load() != 1 {
		t.Errorf("build %+v, error %+v, after %d downloads", got, got.Error, asked.Load())
	}
}

func TestRoom_AFullDiskIsAnErrorBeforeTheBuild(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.ReserveMiB = math.MaxInt64 >> 21
	r.start()
	b := r.wait(r.queue("a.zip", zipped(t, "index.html", "x"), "").ID)
	if b.Error == nil || b.Error.Code != model.CodeDiskFull || b.Error.Next == "" {
		t.Errorf("error %+v", b.Error)
	}
	if bytes.Contains([]byte(r.log(b.ID)), []byte("fetched")) {
		t.Error("it began all the same")
	}
}

func TestRoom_TheLarderGivesWayBeforeABuildIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := openWorkFolder(dir, 1<<30)
	must(t, err)
	defer f.close()
	part := filepath.Join(dir, "larder", strings.Repeat("a", 64))
	must(t, os.WriteFile(part, []byte("part"), 0o600))
	must(t, f.room(1))
	if _, err := os.Stat(part); err != nil {
		t.Errorf("with room enough: %v", err)
	}
	if err := f.room(1 << 62); !model.IsCode(err, model.CodeDiskFull) {
		t.Errorf("got %v, want that the disk is full", err)
	}
	if _, err := os.Stat(part); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without room the larder keeps its parts: %v", err)
	}
}

// promise keeps content in the registry as dash does what a user has sent in parts, and queues a build of it.
func (r *rig) promise(content []byte, sha, user string) model.Build {
	r.t.Helper()
	name := model.PromisedArtifact(sha, user)
	img, err := artifact.Promise([]v1.Layer{static.NewLayer(content[:10], model.ArtifactMediaType), static.NewLayer(content[10:], model.ArtifactMediaType)}, name)
	must(r.t, err)
	r.push(model.ArtifactRepository+":"+model.ArtifactTag(name), img)
	return r.create(model.Build{Filename: "site.tar.gz", Size: int64(len(content)), Origin: model.BuildOrigin{SHA256: sha, Sender: user}})
}

func TestRedeem_WhatWasPromisedIsBuiltAndIsTheSenders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	content := tarGz(t, "index.html", "in parts")
	sum := sha256.Sum256(content)
	sha := hex.EncodeToString(sum[:])
	b := r.wait(r.promise(content, sha, "olga").ID)
	if b.Status != model.BuildSucceeded || b.Artifact != sha || b.ReleaseID == "" {
		t.Fatalf("build %+v, error %+v", b, b.Error)
	}
	if may, err := r.store.MayUseArtifact(t.Context(), sha, "olga", nil); err != nil || !may {
		t.Errorf("the sender may use it: %v, %v", may, err)
	}
	if s, _ := r.statement(b.ID); s.Dependency(provenance.Artifact) != sha {
		t.Errorf("statement %+v", s)
	}
	again := r.wait(r.create(model.Build{Artifact: sha, Filename: "site.tar.gz", Size: b.Size}).ID)
	if again.Image != b.Image {
		t.Errorf("its artifact, built again: %+v, error %+v", again, again.Error)
	}
	r.wantNothingLeft()
}

// Whoever could have bytes built under a digest that is not theirs would get the rights to the true file, too.
func TestRedeem_ABrokenPromiseEndsTheBuildAndGivesNoRight(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	victim := strings.Repeat("7", 64)
	b := r.wait(r.promise(tarGz(t, "index.html", "mine"), victim, "olga").ID)
	if b.Status != model.BuildFailed || b.Error.Code != model.CodeBadArtifact || b.Artifact != "" || !strings.Contains(b.Error.Message, "announced was 777777777777") {
		t.Fatalf("build %+v, error %+v", b, b.Error)
	}
	if may, err := r.store.MayUseArtifact(t.Context(), victim, "olga", []string{r.app.TeamID}); err != nil || may {
		t.Errorf("the sender may use the true file: %v, %v", may, err)
	}
	if _, err := remote.Head(r.ref(model.ArtifactRepository + ":" + model.ArtifactTag(victim))); err == nil {
		t.Error("something was kept under the digest")
	}
	r.wantNothingLeft()
}
