package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/dinp/dinp/test/testenv"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve opens the registry in dir and returns its address and a way to stop it.
func serve(t *testing.T, dir string) (address string, stop func()) {
	t.Helper()
	r, err := New(dir, slog.New(slog.DiscardHandler))
	must(t, err)
	s := httptest.NewServer(r)
	var stopped bool
	stop = func() {
		if !stopped {
			stopped = true
			s.Close()
			must(t, r.Close())
		}
	}
	t.Cleanup(stop)
	return strings.TrimPrefix(s.URL, "http://"), stop
}

func ref(t *testing.T, text string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(text)
	must(t, err)
	return r
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(1<<20, 2)
	must(t, err)
	return img
}

func TestRegistry_PushPullListDelete(t *testing.T) {
	t.Parallel()
	at, _ := serve(t, t.TempDir())
	img := randomImage(t)
	must(t, remote.Write(ref(t, at+"/dinp/apps/a:1"), img))
	must(t, remote.Write(ref(t, at+"/dinp/apps/b:1"), img))
	got, err := remote.Image(ref(t, at+"/dinp/apps/a:1"))
	must(t, err)
	layers, err := got.Layers()
	must(t, err)
	rc, err := layers[0].Compressed()
	must(t, err)
	_, err = io.Copy(io.Discard, rc) // checks the digest
	must(t, err)
	reg, err := name.NewRegistry(at)
	must(t, err)
	repos, err := remote.Catalog(t.Context(), reg)
	if err != nil || !slices.Equal(repos, []string{"dinp/apps/a", "dinp/apps/b"}) {
		t.Errorf("catalog: %v, %v", repos, err)
	}
	d, err := img.Digest()
	must(t, err)
	must(t, remote.Delete(ref(t, at+"/dinp/apps/a@"+d.String())))
	if _, err := remote.Head(ref(t, at+"/dinp/apps/a:1")); err == nil {
		t.Error("the deleted image is still there")
	}
}

func TestRegistry_KeepsAllOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at, stop := serve(t, dir)
	img := randomImage(t)
	must(t, remote.Write(ref(t, at+"/dinp/apps/a:1"), img))
	content := bytes.Repeat([]byte("x"), 1000)
	location := request(t, http.MethodPost, "http://"+at+"/v2/dinp/apps/a/blobs/uploads/", nil, http.StatusAccepted)
	location = request(t, http.MethodPatch, location, content[:500], http.StatusAccepted)
	stop()

	again, _ := serve(t, dir)
	got, err := remote.Image(ref(t, again+"/dinp/apps/a:1"))
	must(t, err)
	want, err := img.Digest()
	must(t, err)
	if d, err := got.Digest(); err != nil || d != want {
		t.Errorf("got %s, %v; want %s", d, err, want)
	}
	u, err := url.Parse(location)
	must(t, err)
	u.Host = again
	sum := sha256.Sum256(content)
	q := u.Query()
	q.Set("digest", "sha256:"+hex.EncodeToString(sum[:]))
	u.RawQuery = q.Encode()
	request(t, http.MethodPut, u.String(), content[500:], http.StatusCreated)
}

// request makes one step of an upload and returns where the next one goes.
func request(t *testing.T, method, target string, body []byte, want int) string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	must(t, err)
	q.Header.Set("Content-Type", "application/octet-stream")
	res, err := http.DefaultClient.Do(q)
	must(t, err)
	defer res.Body.Close()
	if res.StatusCode != want {
		text, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %s: %s", method, res.Status, text)
	}
	next, err := res.Location()
	must(t, err)
	return next.String()
}

func TestRegistry_DockerPushesAndPulls(t *testing.T) {
	host := testenv.Docker(t)
	at, _ := serve(t, t.TempDir())
	tag := at + "/dinp/apps/docked:1"
	var b bytes.Buffer
	must(t, tarball.Write(ref(t, tag), randomImage(t), &b))
	docker := func(in io.Reader, args ...string) {
		t.Helper()
		c := exec.Command("docker", append([]string{"-H", host}, args...)...)
		c.Stdin = in
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("docker %v: %v: %s", args, err, out)
		}
	}
	docker(&b, "load")
	docker(nil, "push", tag)
	docker(nil, "rmi", tag)
	docker(nil, "pull", tag)
	docker(nil, "rmi", tag)
}

func TestNew_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := New(file, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "file") {
		t.Errorf("got %v", err)
	}
}

func TestNew_SecretIsMadeOnceAndPrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := secretIn(dir)
	must(t, err)
	second, err := secretIn(dir)
	must(t, err)
	info, err := os.Stat(filepath.Join(dir, "secret"))
	must(t, err)
	if first != second || len(first) < 26 || info.Mode().Perm() != 0o600 {
		t.Errorf("secrets of %d and %d characters, equal %v, mode %v", len(first), len(second), first == second, info.Mode())
	}
}

func TestNew_RefusedRequestsAreNotWarnings(t *testing.T) {
	var b bytes.Buffer
	r, err := New(t.TempDir(), slog.New(slog.NewTextHandler(&b, nil)))
	must(t, err)
	defer r.Close()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/v2/dinp/apps/none/manifests/1", nil))
	if w.Code != http.StatusNotFound || b.Len() != 0 {
		t.Errorf("answer %d, log %q", w.Code, fmt.Sprint(&b))
	}
}
