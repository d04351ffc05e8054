package base_test

import (
	"archive/tar"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/dinp/dinp/images/base"
	"github.com/dinp/dinp/test/testenv"
)

// tiny is a recipe that needs neither mirror nor compiler.
func tiny(greeting string) fstest.MapFS {
	return fstest.MapFS{
		"tiny/greeting": {Data: []byte(greeting)},
		"tiny/base.yaml": {Data: []byte(`
from: scratch
files: [{from: greeting, to: /usr/bin/greeting, mode: "0755"}]
links: [{path: /link, target: usr/bin/greeting}]
dirs: [{path: /app, owner: app}]
user: {name: app, uid: 1000, home: /app}
workdir: /app
env: {A: "1"}
cmd: [/usr/bin/greeting]
`)},
	}
}

// imageOf reads the image of a runtime from a cache.
func imageOf(t *testing.T, dir, runtime string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(filepath.Join(dir, runtime))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("%s: %d images", runtime, len(manifest.Manifests))
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digestOf(t *testing.T, dir, runtime string) string {
	t.Helper()
	digest, err := imageOf(t, dir, runtime).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// entry is what the tests look at of a file in an image; links show as "-> target".
type entry struct {
	mode    int64
	uid     int
	content string
}

// filesOf lists an image. Contents are read of small files only.
func filesOf(t *testing.T, img v1.Image) map[string]entry {
	t.Helper()
	tree := mutate.Extract(img)
	defer tree.Close()
	all := map[string]entry{}
	for r := tar.NewReader(tree); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		e := entry{mode: h.Mode, uid: h.Uid}
		switch {
		case h.Typeflag == tar.TypeSymlink:
			e.content = "-> " + h.Linkname
		case h.Size < 10_000:
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			e.content = string(content)
		}
		if _, twice := all[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		all[h.Name] = e
	}
}

// countingTransport counts what a push asks of the registry.
type countingTransport struct{ all, manifests atomic.Int64 }

func (c *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c.all.Add(1)
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
		c.manifests.Add(1)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// docker is Docker's command line; the client library belongs to agent and builder.
type docker struct {
	t    *testing.T
	host string
}

func newDocker(t *testing.T) docker {
	t.Helper()
	return docker{t, testenv.Docker(t)}
}

func (d docker) run(args ...string) string {
	d.t.Helper()
	cmd := exec.Command("docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out))
}

// pushed brings a cached base image to Docker by way of a registry, as the platform does, and returns its reference.
func (d docker) pushed(dir, runtime string) string {
	d.t.Helper()
	registry := testenv.Registry(d.t)
	digests, err := base.Push(d.t.Context(), dir, registry, []string{runtime})
	if err != nil {
		d.t.Fatal(err)
	}
	ref := registry + "/dinp/base/" + runtime + "@" + digests[runtime]
	d.run("pull", "--quiet", ref)
	d.t.Cleanup(func() { d.run("rmi", ref) })
	return ref
}

// get asks as a router on loopback does for a visitor from afar who speaks TLS.
func get(url string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Forwarded-For", "192.0.2.7")
	req.Header.Set("X-Forwarded-Proto", "https")
	return http.DefaultClient.Do(req)
}
