package base_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/images"
	"github.com/dinp/dinp/images/base"
	"github.com/dinp/dinp/test/testenv"
)

func TestRuntimes_EveryRecipeIsListed(t *testing.T) {
	got, err := base.Runtimes(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"binary", "static", "tomcat"} {
		if !slices.Contains(got, want) {
			t.Errorf("runtimes %v lack %s", got, want)
		}
	}
}

func TestBuild_SameInputSameImage(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, dir := range []string{first, second} {
		if err := base.Build(t.Context(), images.FS, "static", dir, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := digestOf(t, first, "static"), digestOf(t, second, "static"); a != b {
		t.Errorf("two builds gave %s and %s", a, b)
	}
}

func TestBuild_KeepsWhatIsThereAndRenewsWhatChanged(t *testing.T) {
	dir := t.TempDir()
	recipes := tiny("hello")
	var said bytes.Buffer
	build := func() string {
		said.Reset()
		if err := base.Build(t.Context(), recipes, "tiny", dir, &said); err != nil {
			t.Fatal(err)
		}
		return digestOf(t, dir, "tiny")
	}
	first := build()
	if again := build(); again != first || said.Len() > 0 {
		t.Errorf("unchanged recipe: image %s became %s, said %q", first, again, &said)
	}
	recipes["tiny/greeting"].Data = []byte("bye")
	if changed := build(); changed == first {
		t.Error("a changed file left the old image")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 { // the image and the lock
		t.Errorf("left beside the image: %v", entries)
	}
}

func TestBuild_LaysOutTheRecipe(t *testing.T) {
	dir := t.TempDir()
	if err := base.Build(t.Context(), tiny("hello"), "tiny", dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	img := imageOf(t, dir, "tiny")
	got := filesOf(t, img)
	for name, want := range map[string]entry{
		"usr/bin/greeting": {mode: 0o755, content: "hello"},
		"usr":              {mode: 0o755},
		"usr/bin":          {mode: 0o755},
		"app":              {mode: 0o755, uid: 1000},
		"link":             {mode: 0o777, content: "-> usr/bin/greeting"},
		"etc/group":        {mode: 0o644, content: "root:x:0:\napp:x:1000:\n"},
		"tmp":              {mode: 0o1777},
	} {
		if got[name] != want {
			t.Errorf("%s = %+v, want %+v", name, got[name], want)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if c.User != "1000:1000" || c.WorkingDir != "/app" || !slices.Equal(c.Cmd, []string{"/usr/bin/greeting"}) ||
		!slices.Contains(c.Env, "A=1") || c.Labels["dinp.base"] != "tiny" || config.OS != "linux" {
		t.Errorf("config %+v of %s", c, config.OS)
	}
}

func TestBuild_RefusesABadRecipeWithAllItsProblems(t *testing.T) {
	recipes := fstest.MapFS{"bad/base.yaml": {Data: []byte(
		"from: fedora\npackages: [\"a;b\"]\nfiles: [{from: a, to: relative, mode: rwx}]\ndirs: [{path: /x, owner: nobody}]\nworkdir: /app\n")}}
	err := base.Build(t.Context(), recipes, "bad", t.TempDir(), io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"fedora", "relative", "a;b", "mode", "nobody", "uid", "cmd"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error hides the problem with %q: %v", want, err)
		}
	}
	recipes["bad/base.yaml"].Data = []byte("form: scratch\n")
	if err := base.Build(t.Context(), recipes, "bad", t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "form") {
		t.Errorf("misspelled key: %v", err)
	}
	if err := base.Build(t.Context(), recipes, "absent", t.TempDir(), io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown runtime: %v", err)
	}
}

func TestPush_WritesOnceThenAsksOnly(t *testing.T) {
	dir, registry := t.TempDir(), testenv.Registry(t)
	if err := base.Build(t.Context(), tiny("hello"), "tiny", dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	counter := &countingTransport{}
	for _, want := range []struct{ writes, most int64 }{{writes: 1, most: 20}, {writes: 0, most: 3}} {
		counter.all.Store(0)
		counter.manifests.Store(0)
		got, err := base.Push(t.Context(), dir, registry, nil, remote.WithTransport(counter))
		if err != nil {
			t.Fatal(err)
		}
		if got["tiny"] != digestOf(t, dir, "tiny") {
			t.Errorf("pushed %v, want the digest of the layout", got)
		}
		if counter.manifests.Load() != want.writes || counter.all.Load() > want.most {
			t.Errorf("%d manifests written in %d requests, want %d in at most %d",
				counter.manifests.Load(), counter.all.Load(), want.writes, want.most)
		}
	}
}

func TestPush_WithoutImagesNamesTheRemedy(t *testing.T) {
	if _, err := base.Push(t.Context(), t.TempDir(), "127.0.0.1:1", nil); err == nil || !strings.Contains(err.Error(), "make base-images") {
		t.Errorf("error %v", err)
	}
}

// TestDebianBase_HoldsASystemAndNothingOfThisMachine looks into a cached image, made from the real mirror.
func TestDebianBase_HoldsASystemAndNothingOfThisMachine(t *testing.T) {
	got := filesOf(t, imageOf(t, testenv.BaseImages(t, "binary"), "binary"))
	for _, name := range []string{
		"usr/bin/sh", "etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Asia/Shanghai", "app", "tmp",
		"usr/share/doc/libc6/copyright",
	} {
		if _, ok := got[name]; !ok {
			t.Errorf("lacks %s", name)
		}
	}
	if !strings.Contains(got["etc/passwd"].content, "app:x:1000:1000::/app:") {
		t.Errorf("no user app in %q", got["etc/passwd"].content)
	}
	for name := range got {
		for _, unwanted := range []string{"etc/apt", "etc/hostname", "etc/resolv.conf", "etc/machine-id", "usr/share/man", "var/lib/apt"} {
			if name == unwanted || strings.HasPrefix(name, unwanted+"/") {
				t.Errorf("holds %s", name)
			}
		}
	}
}

const servlet = `<%@ page session="false" %><%
if (request.getParameter("slow") != null) { out.print("begun "); out.flush(); Thread.sleep(1000); }
%>scheme <%= request.getScheme() %> from <%= request.getRemoteAddr() %> sum <%= 40 + 2 %>`

// TestTomcatBase_ServesAWebApp runs the image on Docker as an instance runs: as its user, on the port it is told, behind
// a router; then ends it while a request is being answered.
func TestTomcatBase_ServesAWebApp(t *testing.T) {
	docker := newDocker(t)
	image := docker.pushed(testenv.BaseImages(t, "tomcat"), "tomcat")
	root := filepath.Join(t.TempDir(), "ROOT")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "index.jsp"), []byte(servlet), 0o644); err != nil {
		t.Fatal(err)
	}
	id := docker.run("create", "--memory=384m", "--env=PORT=9090", "--publish=127.0.0.1::9090", image)
	t.Cleanup(func() { docker.run("rm", "--force", "--volumes", id) })
	docker.run("cp", root, id+":/app/ROOT")
	docker.run("start", id)
	addr := docker.run("port", id, "9090/tcp")
	var body string
	testenv.Eventually(t, time.Minute, func() error {
		resp, err := get("http://" + addr + "/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		content, err := io.ReadAll(resp.Body)
		body = string(content)
		return err
	})
	if body != "scheme https from 192.0.2.7 sum 42" {
		t.Errorf("answered %q", body)
	}
	if user := docker.run("exec", id, "id", "-u"); user != "1000" {
		t.Errorf("runs as %s, want 1000", user)
	}

	resp, err := get("http://" + addr + "/?slow=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	begun := make([]byte, len("begun "))
	if _, err := io.ReadFull(resp.Body, begun); err != nil || string(begun) != "begun " {
		t.Fatalf("slow answer begins %q, %v", begun, err)
	}
	docker.run("stop", "--time=30", id)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "scheme https from 192.0.2.7 sum 42" {
		t.Errorf("the request being answered at SIGTERM got %q, %v", rest, err)
	}
	if code := docker.run("inspect", "--format={{.State.ExitCode}}", id); code != "143" {
		t.Errorf("exit code %s, want 143: ended by SIGTERM, not killed", code)
	}
}
