package image

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

// kitchen is a real engine and a real registry with the base image "binary" in it.
type kitchen struct {
	*Engine
	registry *Registry
	build    string

	mu   sync.Mutex
	said []string
}

func newKitchen(t *testing.T) *kitchen {
	t.Helper()
	r := newRegistry(t)
	index, err := layout.ImageIndexFromPath(filepath.Join(testenv.BaseImages(t, "binary"), "binary"))
	must(t, err)
	m, err := index.IndexManifest()
	must(t, err)
	img, err := index.Image(m.Manifests[0].Digest)
	must(t, err)
	push(t, r, "dinp/base/binary:latest", img)
	k := &kitchen{registry: r, build: fmt.Sprintf("test-%x", testID())}
	l := DefaultLimits()
	l.MemoryMiB = 128
	k.Engine, err = NewEngine(testenv.Docker(t), r.address, r, l, k.build+"-owner")
	must(t, err)
	t.Cleanup(func() { k.forgetBase(t); k.Close() })
	return k
}

// forgetBase removes the base image that the engine has pulled from this test's registry.
func (k *kitchen) forgetBase(t *testing.T) {
	images, err := k.client.ImageList(context.Background(), dockerimage.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", k.registry.address+"/*/*/*"))})
	if err != nil {
		t.Error(err)
	}
	for _, i := range images {
		for _, name := range append(i.RepoDigests, i.RepoTags...) {
			if !strings.HasPrefix(name, k.registry.address+"/") || strings.HasSuffix(name, ":<none>") {
				continue
			}
			if _, err := k.client.ImageRemove(context.Background(), name, dockerimage.RemoveOptions{}); err != nil {
				t.Error(err)
			}
		}
	}
}

func (k *kitchen) say(s string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.said = append(k.said, s)
}

func (k *kitchen) heard(part string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !strings.Contains(strings.Join(k.said, "\n"), part) {
		return fmt.Errorf("%q was not said in %q", part, k.said)
	}
	return nil
}

// cook builds a Dockerfile with the files beside it.
func (k *kitchen) cook(ctx context.Context, t *testing.T, dockerfile string) (string, error) {
	t.Helper()
	bases, err := k.Bases(ctx, k.registry, dockerfile)
	if err != nil {
		return "", err
	}
	tr := tree(t, "top/", map[string]string{"Dockerfile": dockerfile, "hello.txt": "hello", ".dockerignore": "x"})
	d := Docked{Build: k.build, App: "shop", Tag: "build-1", Dockerfile: dockerfile, Labels: map[string]string{"dinp.runtime": "dockerfile"}}
	return k.Build(ctx, tr, d, bases, k.say)
}

// wantClean checks that the build left nothing in the engine.
func (k *kitchen) wantClean(t *testing.T) {
	t.Helper()
	only := filters.NewArgs(filters.Arg("label", labelBuild+"="+k.build))
	containers, err := k.client.ContainerList(context.Background(), container.ListOptions{All: true, Filters: only})
	must(t, err)
	images, err := k.client.ImageList(context.Background(), dockerimage.ListOptions{All: true, Filters: only})
	must(t, err)
	tagged, err := k.client.ImageList(context.Background(), dockerimage.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", k.registry.address+"/dinp/apps/*"))})
	must(t, err)
	if len(containers)+len(images)+len(tagged) != 0 {
		t.Errorf("the build left %d containers, %d images and %d tags", len(containers), len(images), len(tagged))
	}
}

func TestBuild_Dockerfile(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	got, err := k.cook(t.Context(), t, `# syntax=docker/dockerfile:1
FROM dinp/base/binary AS work
LABEL dinp.build=forged
USER root
COPY . /src
RUN printf '\033[91mred %s\033[0m\n' "$(cat /src/hello.txt)" && ls -A /src && cat /src/hello.txt > /out.txt
FROM dinp/base/binary
COPY --from=work /out.txt /app/out.txt
CMD ["/bin/cat", "/app/out.txt"]
`)
	must(t, err)
	cf, err := pull(t, k.registry, got).ConfigFile()
	must(t, err)
	if strings.Join(cf.Config.Cmd, " ") != "/bin/cat /app/out.txt" || cf.Config.Labels[labelBuild] != "" || cf.Config.Labels["dinp.runtime"] != "dockerfile" {
		t.Errorf("config: %+v", cf.Config)
	}
	must(t, k.heard("red hello"))
	if k.heard(dockerfileName) == nil {
		t.Errorf("our own Dockerfile is in the image: %q", k.said)
	}
	k.wantClean(t)
}

func TestBuild_FailsWithTheLastLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, run, part, next string }{
		{"exit code", "echo about to fail; exit 3", "non-zero code: 3", "correct the Dockerfile"},
		{"no network", "cat /proc/net/dev; echo could not resolve example.org; exit 1", "non-zero code: 1", "no network"},
		{"memory", "head -c 400M /dev/zero | tail", "failed", "memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKitchen(t)
			_, err := k.cook(t.Context(), t, "FROM dinp/base/binary\nUSER root\nRUN "+c.run+"\nCMD [\"x\"]\n")
			e := wantRefusal(t, err, model.CodeBuildFailed, c.part)
			if len(e.Evidence) == 0 || !strings.Contains(e.Next, c.next) && c.name != "memory" {
				t.Errorf("evidence %q, next %q", e.Evidence, e.Next)
			}
			if c.name == "no network" && strings.Contains(strings.Join(e.Evidence, "\n"), "eth0") {
				t.Errorf("the step has a network: %q", e.Evidence)
			}
			k.wantClean(t)
		})
	}
}

func TestBuild_RefusesBeforeTheEngineSeesIt(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	_, err := k.cook(t.Context(), t, "FROM dinp/base/binary\nADD http://169.254.169.254/ /x\n")
	wantRefusal(t, err, model.CodeBadRuntime, "line 2")
	_, err = k.cook(t.Context(), t, "FROM dinp/base/none\n")
	wantRefusal(t, err, model.CodeNoBaseImage, "dinp/base/none")
	_, err = k.cook(t.Context(), t, "FROM scratch\nCOPY hello.txt /\n")
	wantRefusal(t, err, model.CodeBuildFailed, "has no command")
	k.wantClean(t)
}

func TestBuild_CancelStopsTheStep(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		_, err := k.cook(ctx, t, "FROM dinp/base/binary\nRUN echo endless; while :; do sleep 1; done\nCMD [\"x\"]\n")
		done <- err
	}()
	testenv.Eventually(t, 5*time.Minute, func() error { return k.heard("endless") })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	k.wantClean(t)
}

// A bomb of processes is stopped by their number long before it is by its memory, and the build by the failing line.
func TestBuild_AForkBombStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.limits.Processes = 64
	_, err := k.cook(t.Context(), t, `FROM dinp/base/binary
RUN n=0; while [ $n -lt 600 ] && [ "$(cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null)" = max ]; do sleep 0.1; n=$((n + 1)); done; \
    i=0; while [ $i -lt 500 ]; do sleep 600 & i=$((i + 1)); done; echo $i processes
CMD ["x"]
`)
	wantRefusal(t, err, model.CodeBuildFailed, "non-zero code")
	must(t, k.heard("fork"))
	if k.heard("500 processes") == nil {
		t.Errorf("nothing stopped it: %q", k.said)
	}
	k.wantClean(t)
}

// The registry is asked for every base image before the engine gets anything.
func TestBuild_RefusesARegistryThatIsNotListed(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	for _, from := range []string{"evil.test/image:1", "10.0.0.1:5000/a", "169.254.169.254/latest"} {
		_, err := k.cook(t.Context(), t, "FROM "+from+"\nCMD [\"x\"]\n")
		wantRefusal(t, err, model.CodeBadRuntime, from[:strings.Index(from, "/")])
	}
	k.wantClean(t)
}

func TestCleanAll_AfterACrash(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	// A builder that is killed leaves its step running: the client goes away, and nobody cleans.
	ctx, cancel := context.WithCancel(t.Context())
	tr := tree(t, "", map[string]string{"a": "b"})
	d := Docked{Build: k.build, App: "shop", Tag: "t"}
	text := "FROM " + k.Engine.registry + "/dinp/base/binary\nLABEL " + k.label(k.build) + "\nRUN true\nRUN echo endless; sleep 1000\n"
	done := make(chan error)
	go func() {
		_, err := k.Engine.build(ctx, tr, d, text, k.say)
		done <- err
	}()
	testenv.Eventually(t, 5*time.Minute, func() error { return k.heard("endless") })
	cancel()
	<-done
	must(t, k.CleanAll(context.Background()))
	k.wantClean(t)
}

func TestCleanAll_WithoutAnEngine(t *testing.T) {
	t.Parallel()
	r, err := NewRegistry("127.0.0.1:1", false, "")
	must(t, err)
	must(t, noEngine(t, r).CleanAll(t.Context()))
}

func TestBuild_EngineAway(t *testing.T) {
	t.Parallel()
	r, err := NewRegistry("127.0.0.1:1", false, "")
	must(t, err)
	_, err = noEngine(t, r).build(t.Context(), tree(t, "", map[string]string{"a": "b"}), Docked{Build: "b"}, "FROM scratch\n", quiet)
	wantRefusal(t, err, model.CodeDockerAway, "does not answer")
}

func TestLimits_Problems(t *testing.T) {
	t.Parallel()
	if p := DefaultLimits().Problems(); len(p) != 0 {
		t.Errorf("defaults: %v", p)
	}
	if p := (Limits{}).Problems(); len(p) != 3 {
		t.Errorf("zero limits: %v", p)
	}
}
