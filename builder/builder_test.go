package builder

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

func TestBuild_FromArtifactToRelease(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, filename string
		content        []byte
		runtime        string
		command        string
		log            []string
	}{
		{"static tar.gz", "site.tar.gz", tarGz(t, "site/index.html", "<p>hi", "site/.DS_Store", "x"), "static", "/serve-static",
			[]string{`fetched "site.tar.gz"`, "unpacked tar.gz: 1 files", "left out 1 files", "detected static: index.html in the top folder site (1 file, 5 B)",
				"starts with the base image's own command", "base image dinp/base/static@sha256:", "layer application: ", "packed", "pushed ", "image dinp/apps/shop@sha256:", "times: fetch", "done in"}},
		{"static zip", "site.zip", zipped(t, "index.html", "<p>hi", "a/b.css", "x"), "static", "/serve-static", []string{"unpacked zip: 2 files", "index.html at the root"}},
		{"binary", "app.tar.gz", tarGz(t, "app", "\x7fELF", "Procfile", "web: ./app --port $PORT\n"), "binary", "/bin/sh -c exec ./app --port $PORT",
			[]string{"detected binary: Procfile at the root", "starts with web line of the Procfile: ./app --port $PORT"}},
		{"war", "shop.war", zipped(t, "WEB-INF/web.xml", "<web-app/>", "index.jsp", "x"), "tomcat", "/serve-tomcat", []string{"detected tomcat: WEB-INF/web.xml at the root"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.start()
			b := r.wait(r.queue(c.filename, c.content, "").ID)
			if b.Status != model.BuildSucceeded || b.Runtime != c.runtime || b.ReleaseID == "" {
				t.Fatalf("build: %+v, error %+v", b, b.Error)
			}
			r.wantLog(b.ID, c.log...)
			r.wantNothingLeft()
			if got := strings.Join(r.config(b.Image).Cmd, " "); got != c.command {
				t.Errorf("command %q, want %q", got, c.command)
			}
			rel, err := r.store.ReleaseByID(t.Context(), b.ReleaseID)
			if err != nil || rel.Spec.Image != b.Image || rel.Spec.Runtime != c.runtime {
				t.Errorf("release %+v, %v", rel, err)
			}
		})
	}
}

func TestBuild_Refusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	for _, c := range []struct {
		name, filename string
		content        []byte
		asked          string
		code           model.Code
		log            string
	}{
		{"wrong extension", "shop.war", tarGz(t, "a", "b"), "", model.CodeBadArtifact, "its content is a tar.gz"},
		{"broken", "a.tar.gz", tarGz(t, "a", "b")[:40], "", model.CodeBadArtifact, "next: "},
		{"hostile", "a.tar.gz", tarGz(t, "../a", "b"), "", model.CodeHostile, "D134"},
		{"unknown", "a.tar.gz", tarGz(t, "readme", "b"), "", model.CodeUnknownKind, "static (tar.gz, tar, zip): an index.html"},
		{"unknown runtime", "a.tar.gz", tarGz(t, "index.html", "b"), "cobol", model.CodeBadRuntime, `no runtime "cobol"`},
		{"no start", "a.tar.gz", tarGz(t, "index.html", "b"), "binary", model.CodeBadRuntime, "Procfile"},
		{"bad Procfile", "a.tar.gz", tarGz(t, "Procfile", "hello"), "", model.CodeBadRuntime, "line 1 of the Procfile"},
	} {
		b := r.wait(r.queue(c.filename, c.content, c.asked).ID)
		if b.Status != model.BuildFailed || b.Error == nil || b.Error.Code != c.code || b.ReleaseID != "" {
			t.Errorf("%s: %+v, error %+v", c.name, b, b.Error)
		}
		r.wantLog(b.ID, c.log)
	}
	r.wantNothingLeft()
}

func TestBuild_MissingBaseImage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d, err := remote.Head(r.ref("dinp/base/static:latest"))
	must(t, err)
	must(t, remote.Delete(r.ref("dinp/base/static@"+d.Digest.String())))
	r.start()
	b := r.wait(r.queue("a.zip", zipped(t, "index.html", "x"), "").ID)
	if b.Error == nil || b.Error.Code != model.CodeNoBaseImage || !strings.Contains(b.Error.Next, "make base-images") {
		t.Errorf("error %+v", b.Error)
	}
}

func TestBuild_SameContentIsReused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	content := zipped(t, "index.html", "x")
	first := r.wait(r.queue("a.zip", content, "").ID)
	second := r.wait(r.queue("other-name.zip", content, "").ID)
	if first.Image == "" || second.Image != first.Image {
		t.Errorf("images %q and %q", first.Image, second.Image)
	}
	r.wantLog(second.ID, "its image is used again")
	if strings.Contains(r.log(second.ID), "layer application") {
		t.Error("it was assembled again")
	}
	third := r.wait(r.queue("a.zip", zipped(t, "index.html", "y"), "").ID)
	if third.Image == first.Image || third.Status != model.BuildSucceeded {
		t.Errorf("other content gave %+v", third)
	}
	digest := strings.SplitN(first.Image, "@", 2)[1]
	must(t, remote.Delete(r.ref("dinp/apps/shop@"+digest)))
	fourth := r.wait(r.queue("a.zip", content, "").ID)
	if fourth.Image != first.Image {
		t.Errorf("made again, the image is %q, want %q as before", fourth.Image, first.Image)
	}
	r.wantLog(fourth.ID, "layer application")
}

func TestBuild_ByReference(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	b := r.wait(r.create(model.Build{Runtime: model.RuntimeImage, ImageRef: "dinp/base/static:latest"}).ID)
	if b.Status != model.BuildSucceeded || !strings.HasPrefix(b.Image, "dinp/apps/shop@sha256:") || b.Runtime != model.RuntimeImage || b.ReleaseID == "" {
		t.Errorf("build %+v, error %+v", b, b.Error)
	}
	r.wantLog(b.ID, "looking for the image dinp/base/static:latest", "in the platform's registry", "image dinp/apps/shop@")
	none := r.wait(r.create(model.Build{Runtime: model.RuntimeImage, ImageRef: "dinp/apps/none:1"}).ID)
	if none.Error == nil || none.Error.Code != model.CodeNoImage {
		t.Errorf("error %+v", none.Error)
	}
}

func TestBuild_ByDockerfile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pushRealBase("binary")
	r.cfg.DockerHost = testenv.Docker(t)
	r.start()
	b := r.wait(r.queue("a.tar.gz", tarGz(t, "top/Dockerfile", "FROM dinp/base/binary\nUSER root\nCOPY . /app\nRUN echo made at build time > /app/made && cat /app/made\nCMD [\"/app/x\"]\n", "top/x", "#!/bin/sh\n"), "").ID)
	if b.Status != model.BuildSucceeded || b.Runtime != "dockerfile" || strings.Join(r.config(b.Image).Cmd, " ") != "/app/x" {
		t.Fatalf("build %+v, error %+v\n%s", b, b.Error, r.log(b.ID))
	}
	r.wantLog(b.ID, "detected dockerfile: Dockerfile in the top folder top", "Step 1/", "made at build time", "times: ")
	failed := r.wait(r.queue("a.tar.gz", tarGz(t, "Dockerfile", "FROM dinp/base/binary\nRUN echo going wrong; false\n"), "").ID)
	if failed.Error == nil || failed.Error.Code != model.CodeBuildFailed || !strings.Contains(strings.Join(failed.Error.Evidence, "\n"), "going wrong") || failed.Runtime != "dockerfile" {
		t.Errorf("error %+v", failed.Error)
	}
}

func TestBuild_OperatorsRuntime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.RuntimesDir = t.TempDir()
	must(t, os.Mkdir(filepath.Join(r.cfg.RuntimesDir, "static"), 0o755))
	must(t, os.WriteFile(filepath.Join(r.cfg.RuntimesDir, "static", "runtime.yaml"),
		[]byte(`{name: static, version: "own", description: d, needs: n, base: dinp/base/static, accepts: [zip], dest: /srv, detect: {files: ["*.txt"]}}`), 0o600))
	r.start()
	b := r.wait(r.queue("a.zip", zipped(t, "a.txt", "x"), "").ID)
	if b.Status != model.BuildSucceeded || r.config(b.Image).Labels["dinp.runtime.version"] != "own" {
		t.Errorf("build %+v, error %+v", b, b.Error)
	}
}

func TestNew_NamesTheBadRuntime(t *testing.T) {
	t.Parallel()
	cfg := Default()
	cfg.RuntimesDir = t.TempDir()
	must(t, os.Mkdir(filepath.Join(cfg.RuntimesDir, "odd"), 0o755))
	must(t, os.WriteFile(filepath.Join(cfg.RuntimesDir, "odd", "runtime.yaml"), []byte("nmae: odd"), 0o600))
	_, err := New(cfg, nil, os.DirFS("../images"), slog.New(slog.DiscardHandler))
	if !model.IsCode(err, model.CodeBadConfig) || !strings.Contains(err.Error(), "odd/runtime.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestRun_RemovesWhatAKilledRunLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	left := filepath.Join(r.cfg.WorkDir, "builds", "old", "tree")
	must(t, os.MkdirAll(left, 0o700))
	_, stop := r.start()
	testenv.Eventually(t, 2*time.Minute, func() error {
		_, err := os.Stat(left)
		if err == nil {
			return os.ErrExist
		}
		return nil
	})
	other, err := New(r.cfg, r.store, os.DirFS("../images"), slog.New(slog.DiscardHandler))
	must(t, err)
	if err := other.Listen(); !model.IsCode(err, model.CodeConflict) {
		t.Errorf("a second builder in the same folder: %v", err)
	}
	stop()
	must(t, other.Listen())
	must(t, other.admin.Close())
	other.folder.close()
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b, _ := r.start()
	r.wait(r.queue("a.zip", zipped(t, "index.html", "x"), "").ID)
	for path, part := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/metrics": `dinp_builder_builds_total{runtime="static",status="succeeded"} 1`} {
		testenv.Eventually(t, 2*time.Minute, func() error { return answers("http://"+b.AdminAddr()+path, part) })
	}
}

func answers(url, part string) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !strings.Contains(string(text), part)) {
		return &model.Error{Message: res.Status + " " + string(text)}
	}
	return err
}

func TestReady_SaysWhyNot(t *testing.T) {
	t.Parallel()
	cfg := Default()
	cfg.Registry = "127.0.0.1:1"
	b, err := New(cfg, nil, os.DirFS("../images"), slog.New(slog.DiscardHandler))
	must(t, err)
	if err := b.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "queue") {
		t.Errorf("got %v", err)
	}
	b.claimErr = nil
	if err := b.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "registry") {
		t.Errorf("got %v", err)
	}
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	must(t, Default().Validate())
	err := Config{Registry: "x", DockerRegistry: "y", Admin: "z"}.Validate()
	for _, part := range []string{"registry is", "docker_registry", "admin", "work_dir", "concurrency", "build_timeout", "poll", "lease", "limits.entries", "dockerfile.memory_mib"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in %v", part, err)
		}
	}
}
