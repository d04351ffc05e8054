package builder

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/testenv"
)

// gate puts a proxy before the rig's registry that stops requests which match, until it is opened or they are given up.
func (r *rig) gate(match func(*http.Request) bool) (stopped <-chan struct{}, open func()) {
	r.t.Helper()
	u, err := url.Parse("http://" + r.registry)
	must(r.t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(u); p.Out.Host = p.In.Host }}
	arrived, opened := make(chan struct{}, 100), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if match(q) {
			arrived <- struct{}{}
			select {
			case <-opened:
			case <-q.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, q)
	}))
	open = sync.OnceFunc(func() { close(opened) })
	r.t.Cleanup(func() { open(); s.Close() })
	r.cfg.Registry = strings.TrimPrefix(s.URL, "http://")
	return arrived, open
}

func artifactBlob(q *http.Request) bool {
	return strings.Contains(q.URL.Path, model.ArtifactRepository+"/blobs/") && q.Method == http.MethodGet
}

func TestWork_CancelStopsTheBuild(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stopped, _ := r.gate(artifactBlob)
	r.start()
	b := r.queue("a.zip", zipped(t, "index.html", "x"), "")
	<-stopped
	_, err := r.store.CancelBuild(t.Context(), b.ID, somebody)
	must(t, err)
	got := r.wait(b.ID)
	if got.Status != model.BuildCancelled || got.Error == nil || got.Error.Code != model.CodeBuildStopped || got.ReleaseID != "" {
		t.Errorf("build %+v, error %+v", got, got.Error)
	}
	r.wantNothingLeft()
}

func TestWork_CancelStopsAnEndlessDockerfile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pushRealBase("binary")
	host := testenv.Docker(t)
	r.cfg.DockerHost = host
	r.start()
	b := r.queue("a.tar.gz", tarGz(t, "Dockerfile", "FROM dinp/base/binary\nRUN echo endless; while :; do sleep 1; done\nCMD [\"x\"]\n"), "")
	testenv.Eventually(t, 5*time.Minute, func() error {
		if log := r.log(b.ID); !strings.Contains(log, "\nendless") {
			return errors.New(log)
		}
		return nil
	})
	_, err := r.store.CancelBuild(t.Context(), b.ID, somebody)
	must(t, err)
	if got := r.wait(b.ID); got.Status != model.BuildCancelled {
		t.Errorf("build %+v, error %+v", got, got.Error)
	}
	owner, err := os.ReadFile(filepath.Join(r.cfg.WorkDir, "id"))
	must(t, err)
	for _, list := range [][]string{{"ps", "-aq"}, {"images", "-aq"}} {
		out, err := exec.Command("docker", append([]string{"-H", host}, append(list, "--filter", "label=dinp.builder="+strings.TrimSpace(string(owner)))...)...).Output()
		if err != nil || len(out) != 0 {
			t.Errorf("docker %v: %q, %v", list, out, err)
		}
	}
}

func TestWork_DeadlineStopsTheBuild(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.gate(artifactBlob)
	r.cfg.BuildTimeout = time.Second
	r.start()
	got := r.wait(r.queue("a.zip", zipped(t, "index.html", "x"), "").ID)
	if got.Status != model.BuildFailed || got.Error.Code != model.CodeBuildStopped || !strings.Contains(got.Error.Message, "after 1s") {
		t.Errorf("build %+v, error %+v", got, got.Error)
	}
}

func TestWork_ABuildOfADeadBuilderIsTakenOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.queue("a.zip", zipped(t, "index.html", "x"), "")
	past := time.Now().Add(-time.Minute)
	claimed, err := r.store.ClaimBuild(t.Context(), "dead", past, past.Add(time.Second))
	if err != nil || claimed == nil || claimed.ID != b.ID {
		t.Fatalf("claimed %+v, %v", claimed, err)
	}
	r.start()
	if got := r.wait(b.ID); got.Status != model.BuildSucceeded || got.BuilderID != "b1" {
		t.Errorf("build %+v, error %+v", got, got.Error)
	}
	if err := r.store.FinishBuild(t.Context(), b.ID, "dead", store.BuildOutcome{Status: model.BuildFailed}); !errors.Is(err, store.ErrLost) {
		t.Errorf("the dead builder's outcome: %v, want ErrLost", err)
	}
}

func TestWork_AStoppedBuilderGivesItsBuildsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	direct := r.registry
	r.cfg.Lease = 10 * time.Minute // nobody waits for that
	stopped, _ := r.gate(artifactBlob)
	_, stop := r.start()
	b := r.queue("a.zip", zipped(t, "index.html", "x"), "")
	<-stopped
	stop()
	r.wantNothingLeft()
	r.cfg.ID, r.cfg.Registry, r.cfg.WorkDir = "b2", direct, t.TempDir()
	r.start()
	got := r.wait(b.ID)
	if got.Status != model.BuildSucceeded || got.BuilderID != "b2" {
		t.Errorf("build %+v, error %+v", got, got.Error)
	}
	r.wantLog(b.ID, "builder b1 stops; another one goes on", "done in")
}

// A builder whose lease was taken must not write an outcome over the one of the builder that has it now, wherever it is.
func TestWork_ALostBuildIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(*http.Request) bool{
		"while it fetches": artifactBlob,
		"while it pushes": func(q *http.Request) bool {
			return q.Method != http.MethodGet && strings.Contains(q.URL.Path, "/blobs/uploads/")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			stopped, open := r.gate(at)
			r.start()
			b := r.queue("a.zip", zipped(t, "index.html", "x"), "")
			<-stopped
			r.steal(b)
			open()
			r.wantLost(b)
		})
	}
}

func TestWork_ABuildThatIsLostInTheEngineIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pushRealBase("binary")
	r.cfg.DockerHost = testenv.Docker(t)
	r.start()
	b := r.queue("a.tar.gz", tarGz(t, "Dockerfile", "FROM dinp/base/binary\nRUN echo endless; while :; do sleep 1; done\nCMD [\"x\"]\n"), "")
	testenv.Eventually(t, 5*time.Minute, func() error { // the engine pulls a base image first
		if log := r.log(b.ID); !strings.Contains(log, "\nendless") {
			return errors.New(log)
		}
		return nil
	})
	r.steal(b)
	r.wantLost(b)
}

// steal lets another builder take the build, as if the lease were over.
func (r *rig) steal(b model.Build) {
	r.t.Helper()
	later := time.Now().Add(time.Hour)
	claimed, err := r.store.ClaimBuild(r.t.Context(), "thief", later, later.Add(time.Hour))
	if err != nil || claimed == nil || claimed.ID != b.ID {
		r.t.Fatalf("claimed %+v, %v", claimed, err)
	}
}

// wantLost waits until the rig's builder has left the build to the thief, and said so.
func (r *rig) wantLost(b model.Build) {
	r.t.Helper()
	testenv.Eventually(r.t, 5*time.Minute, func() error {
		entries, err := os.ReadDir(filepath.Join(r.cfg.WorkDir, "builds"))
		if err == nil && len(entries) > 0 {
			err = errors.New("still working")
		}
		if err == nil && !strings.Contains(r.log(b.ID), "another builder goes on with it") {
			err = errors.New("the build's log does not say what happened:\n" + r.log(b.ID))
		}
		return err
	})
	got, err := r.store.Build(context.Background(), b.ID)
	if err != nil || got.Status != model.BuildRunning || got.BuilderID != "thief" || got.Error != nil {
		r.t.Errorf("build %+v, %v", got, err)
	}
	if said := r.said.String(); strings.Contains(said, "fault of dinp") {
		r.t.Errorf("the builder said:\n%s", said)
	}
}

// A builder that loses a build by being slow may claim the same build again while its first attempt still goes on.
func TestWork_ABuildClaimedAgainByTheSameBuilderHasItsOwnFolder(t *testing.T) {
	t.Parallel()
	f, err := openWorkFolder(t.TempDir(), 0)
	must(t, err)
	defer f.close()
	first, err := f.make("b1")
	must(t, err)
	second, err := f.make("b1")
	must(t, err)
	must(t, os.RemoveAll(first))
	if _, err := os.Stat(filepath.Join(second, "tree")); err != nil {
		t.Errorf("the second attempt's folder: %v", err)
	}
}

func TestWork_RegistryRefusesThePush(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := "http://" + r.registry
	target, err := url.Parse(u)
	must(t, err)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }}).ServeHTTP(w, q)
	}))
	defer s.Close()
	r.cfg.Registry = strings.TrimPrefix(s.URL, "http://")
	_, stop := r.start()
	defer stop()
	got := r.wait(r.queue("a.zip", zipped(t, "index.html", "x"), "").ID)
	if got.Error == nil || got.Error.Code != model.CodeRegistryAway || !strings.Contains(got.Error.Next, "registry_auth_file") {
		t.Errorf("build %+v, error %+v", got, got.Error)
	}
}

// The registry that had the artifact is gone when the image is to be pushed: the error says so, nothing stays on the disk,
// and the same upload deploys when it is back.
func TestWork_RegistryAwayAtThePush(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	target, err := url.Parse("http://" + r.registry)
	must(t, err)
	var away atomic.Bool
	away.Store(true)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if away.Load() && q.Method != http.MethodGet && q.Method != http.MethodHead {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				c.Close()
			}
			return
		}
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target); p.Out.Host = p.In.Host }}).ServeHTTP(w, q)
	}))
	defer s.Close()
	r.cfg.Registry = strings.TrimPrefix(s.URL, "http://")
	_, stop := r.start()
	defer stop()
	content := zipped(t, "index.html", "x")
	got := r.wait(r.queue("a.zip", content, "").ID)
	if got.Error == nil || got.Error.Code != model.CodeRegistryAway || !strings.Contains(got.Error.Next, "the upload is kept") {
		t.Errorf("build %+v, error %+v", got, got.Error)
	}
	r.wantNothingLeft()
	away.Store(false)
	if again := r.wait(r.queue("a.zip", content, "").ID); again.Status != model.BuildSucceeded {
		t.Errorf("build %+v, error %+v", again, again.Error)
	}
}

func TestWork_APanicFailsOneBuild(t *testing.T) {
	t.Parallel()
	b := &Builder{}
	_, err := b.guarded(t.Context(), &job{b: b, log: nil}) // no store: it panics
	if err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("got %v", err)
	}
}

func TestTakeBuilds_ManyAtOnceAndEachOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Concurrency = 3
	var ids []string
	for _, body := range []string{"a", "b", "c", "d", "e", "f"} {
		ids = append(ids, r.queue("a.zip", zipped(t, "index.html", body), "").ID)
	}
	r.start()
	first := r.cfg
	r.cfg.ID, r.cfg.WorkDir = "b2", t.TempDir()
	r.start()
	for _, id := range ids {
		b := r.wait(id)
		if b.Status != model.BuildSucceeded || strings.Count(r.log(id), "done in") != 1 {
			t.Errorf("build %+v, error %+v\n%s", b, b.Error, r.log(id))
		}
	}
	rels, err := r.store.Releases(t.Context(), r.app.ID, 0, 100)
	if err != nil || len(rels) != len(ids) {
		t.Errorf("%d releases, %v; want %d", len(rels), err, len(ids))
	}
	r.wantNothingLeft()
	r.cfg = first
	r.wantNothingLeft()
}
