package image

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dinp/dinp/builder/source"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

// noEngine is an engine that is away.
func noEngine(t testing.TB, r *Registry) *Engine {
	t.Helper()
	e, err := NewEngine("unix:///nonexistent/docker.sock", "", r, DefaultLimits(), "test")
	must(t, err)
	return e
}

func quiet(string) {}

func TestImport_FromThePlatformsRegistry(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	img := pushBase(t, r, "dinp/apps/other:v1", types.OCIManifestSchema1)
	pushBase(t, r, "mirror/tool:1", types.OCIManifestSchema1)
	digest, err := img.Digest()
	must(t, err)
	for _, ref := range []string{"dinp/apps/other:v1", "dinp/apps/other@" + digest.String(), r.address + "/dinp/apps/other:v1", "mirror/tool:1"} {
		got, err := r.Import(t.Context(), noEngine(t, r), ref, "shop", "build-1", quiet)
		if want := "dinp/apps/shop@" + digest.String(); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", ref, got, err, want)
		}
	}
	if ok, err := r.Has(t.Context(), "dinp/apps/shop@"+digest.String()); !ok || err != nil {
		t.Errorf("the copy is not there: %v", err)
	}
}

func TestImport_FromAnotherRegistry(t *testing.T) {
	t.Parallel()
	r, far := newRegistry(t), newRegistry(t)
	r.SetImports(Imports{Registries: []string{far.address}}, source.Guard{})
	img := pushBase(t, far, "team/tool:1", types.DockerManifestSchema2)
	ref, err := far.ref("team/both:1")
	must(t, err)
	index := mutate.AppendManifests(mutate.IndexMediaType(emptyIndex, types.OCIImageIndex), mutate.IndexAddendum{
		Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: platform().OS, Architecture: platform().Architecture}},
	})
	must(t, remoteWriteIndex(ref, index))
	digest, err := img.Digest()
	must(t, err)
	for _, name := range []string{"/team/tool:1", "/team/both:1"} {
		got, err := r.Import(t.Context(), noEngine(t, r), far.address+name, "shop", "build-1", quiet)
		if want := "dinp/apps/shop@" + digest.String(); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, want)
		}
	}
	must(t, exists(r, "dinp/apps/shop:build-1"))
}

func exists(r *Registry, name string) error {
	ref, err := r.ref(name)
	if err != nil {
		return err
	}
	_, err = remoteHead(ref)
	return err
}

func TestImport_NoneNamesWhatWasTried(t *testing.T) {
	t.Parallel()
	r, far := newRegistry(t), newRegistry(t)
	r.SetImports(Imports{Registries: []string{far.address}}, source.Guard{})
	_, err := r.Import(t.Context(), noEngine(t, r), far.address+"/none:1", "shop", "t", quiet)
	e := wantRefusal(t, err, model.CodeNoImage, "no image")
	if len(e.Evidence) != 2 || !strings.Contains(e.Evidence[0], far.address) || !strings.Contains(e.Evidence[1], "local Docker engine") {
		t.Errorf("evidence: %q", e.Evidence)
	}
	_, err = r.Import(t.Context(), noEngine(t, r), "dinp/apps/none:1", "shop", "t", quiet)
	if e := wantRefusal(t, err, model.CodeNoImage, "no image"); len(e.Evidence) != 1 {
		t.Errorf("evidence: %q", e.Evidence)
	}
	for _, bad := range []string{"NOT A REF", "", "a@sha256:12"} {
		_, err = r.Import(t.Context(), noEngine(t, r), bad, "shop", "t", quiet)
		wantRefusal(t, err, model.CodeNoImage, "no image reference")
	}
}

func TestImport_OtherPlatform(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	img := pushBase(t, r, "x:1", types.OCIManifestSchema1)
	cf, err := img.ConfigFile()
	must(t, err)
	cf = cf.DeepCopy()
	cf.Architecture = "riscv64"
	img, err = mutate.ConfigFile(img, cf)
	must(t, err)
	push(t, r, "x:2", img)
	_, err = r.Import(t.Context(), noEngine(t, r), "x:2", "shop", "t", quiet)
	wantRefusal(t, err, model.CodeNoImage, "linux/riscv64")
}

func TestImport_RefusesRegistriesThatAreNotListed(t *testing.T) {
	t.Parallel()
	r, far := newRegistry(t), newRegistry(t)
	pushBase(t, far, "team/tool:1", types.OCIManifestSchema1)
	for _, ref := range []string{far.address + "/team/tool:1", "169.254.169.254/latest/meta-data:1", "registry.internal/x"} {
		_, err := r.Import(t.Context(), noEngine(t, r), ref, "shop", "t", quiet)
		e := wantRefusal(t, err, model.CodeBadRegistry, "are not taken here")
		if !strings.Contains(e.Evidence[0], "docker.io") || !strings.Contains(e.Next, "import.registries") {
			t.Errorf("refusal: %q, %q", e.Evidence, e.Next)
		}
	}
}

// "*" means any public registry: what lies in the network of the house must be named.
func TestImport_RefusesInnerAddressesThatAreNotNamed(t *testing.T) {
	t.Parallel()
	r, far := newRegistry(t), newRegistry(t)
	pushBase(t, far, "team/tool:1", types.OCIManifestSchema1)
	r.SetImports(Imports{Registries: []string{"*", "169.254.169.254"}}, source.Guard{})
	for ref, says := range map[string]string{far.address + "/team/tool:1": "this machine", "169.254.169.254/latest/meta-data:1": "link-local"} {
		_, err := r.Import(t.Context(), noEngine(t, r), ref, "shop", "t", quiet)
		if e := wantRefusal(t, err, model.CodeNoImage, "no image"); !strings.Contains(e.Evidence[0], says) {
			t.Errorf("evidence: %q", e.Evidence)
		}
	}
}

// A registry that is listed cannot lead the builder to what is not.
func TestImport_ARegistryThatRedirectsInwardsIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	asked := make(chan string, 10)
	inner := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { asked <- q.URL.Path }))
	defer inner.Close()
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/v2/" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+inner.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, q, inner.URL+q.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer far.Close()
	host := strings.TrimPrefix(far.URL, "http://")
	r.SetImports(Imports{Registries: []string{host}}, source.Guard{})
	_, err := r.Import(t.Context(), noEngine(t, r), host+"/team/tool:1", "shop", "t", quiet)
	wantRefusal(t, err, model.CodeNoImage, "no image")
	select {
	case path := <-asked:
		t.Errorf("the inner server was asked for %s", path)
	default:
	}
}

func TestImport_FromTheLocalEngine(t *testing.T) {
	host := testenv.Docker(t)
	r := newRegistry(t)
	e, err := NewEngine(host, r.address, r, DefaultLimits(), "test")
	must(t, err)
	r.SetImports(Imports{Registries: []string{"localhost:1"}}, source.Guard{})
	img := pushBase(t, r, "seed:1", types.DockerManifestSchema2)
	local := fmt.Sprintf("localhost:1/dinp-test-import-%d:1", testID())
	loadIntoEngine(t, host, local, img)
	var said []string
	got, err := r.Import(t.Context(), e, local, "shop", "build-7", func(s string) { said = append(said, s) })
	must(t, err)
	if ok, err := r.Has(t.Context(), got); !ok || err != nil {
		t.Errorf("%s is not in the registry: %v", got, err)
	}
	if !strings.Contains(strings.Join(said, "\n"), "local Docker engine") {
		t.Errorf("said %q", said)
	}
	if out, err := exec.Command("docker", "-H", host, "images", "-q", r.address+"/dinp/apps/shop").Output(); err != nil || len(bytes.TrimSpace(out)) != 0 {
		t.Errorf("the engine keeps a tag of the push: %s, %v", out, err)
	}
}

func loadIntoEngine(t *testing.T, host, tag string, img v1.Image) {
	t.Helper()
	ref, err := name.NewTag(tag)
	must(t, err)
	var b bytes.Buffer
	must(t, tarball.Write(ref, img, &b))
	load := exec.Command("docker", "-H", host, "load")
	load.Stdin = &b
	out, err := load.CombinedOutput()
	if err != nil {
		t.Fatalf("docker load: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "-H", host, "rmi", tag).CombinedOutput(); err != nil {
			t.Errorf("docker rmi: %s", out)
		}
	})
}
