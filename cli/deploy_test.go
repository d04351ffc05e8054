package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/api"
)

func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func want(t testing.TB, r result, code int, out string, errHas ...string) {
	t.Helper()
	if r.code != code || r.out != out {
		t.Fatalf("exit code %d and stdout %q, want %d and %q; stderr:\n%s", r.code, r.out, code, out, r.err)
	}
	for _, s := range errHas {
		if !strings.Contains(r.err, s) {
			t.Errorf("stderr lacks %q:\n%s", s, r.err)
		}
	}
}

func TestDeploy_NewApp(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	r := run(t, f, "deploy", "shop", file(t, "site.zip", []byte("content")), "--memory", "1G", "--cpu", "0.5", "--env", "A=x=y", "--instances", "2",
		"--health", "", "--drain", "5s", "--note", "first", "--runtime", "static")
	want(t, r, 0, "http://shop.apps.localhost:8080/\n", "created app shop", "uploaded site.zip", "  assemble static\n", "starting v1", "v1 serves on 1 of 1")
	var got map[string]any
	if err := json.Unmarshal([]byte(f.bodies["POST /apps/shop/releases"]), &got); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]any{"filename": "site.zip", "runtime": "static", "memory_mib": 1024.0, "cpu_milli": 500.0, "instances": 2.0, "health": "", "drain": "5s", "note": "first"} {
		if got[k] != v {
			t.Errorf("%s is %v, want %v", k, got[k], v)
		}
	}
	if _, given := got["port"]; given {
		t.Error("a flag that was not given was sent")
	}
}

func TestDeploy_SkipsUploadOfKnownArtifact(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	path := file(t, "site.zip", []byte("content"))
	want(t, run(t, f, "deploy", "shop", path), 0, "http://shop.apps.localhost:8080/\n")
	want(t, run(t, f, "deploy", "shop", path), 0, "http://shop.apps.localhost:8080/\n", "is on the server already", "v2 serves")
	if n := f.seen("POST /artifacts"); n != 1 {
		t.Errorf("%d uploads, want 1", n)
	}
}

func TestDeploy_ResumesCutUpload(t *testing.T) {
	t.Parallel()
	content := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(content)
	for name, cuts := range map[string][]int{
		"at the start": {0}, "after a byte": {1}, "in the middle": {1 << 20}, "before the last byte": {len(content) - 1}, "often": {0, 100, 0, 65536, 1, 1 << 20, 7},
		"after all of it": {len(content)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.cutUploads = cuts
			want(t, run(t, f, "deploy", "shop", file(t, "shop.war", content)), 0, "http://shop.apps.localhost:8080/\n")
			for _, got := range f.artifacts {
				if !bytes.Equal(got, content) {
					t.Error("another content arrived")
				}
			}
			if n := f.seen("POST /artifacts"); n != 1 {
				t.Errorf("the upload began %d times, want once", n)
			}
		})
	}
}

func TestDeploy_UploadForgottenByTheServerBeginsAnew(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.cutUploads = []int{10}
	f.mux.HandleFunc("HEAD /uploads/u1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	want(t, run(t, f, "deploy", "shop", file(t, "shop.war", []byte(strings.Repeat("war", 1000)))), 0, "http://shop.apps.localhost:8080/\n")
	if len(f.artifacts) != 1 || f.seen("POST /artifacts") != 2 {
		t.Errorf("%d artifacts after %d uploads", len(f.artifacts), f.seen("POST /artifacts"))
	}
}

func TestDeploy_GivesUpAnUploadThatNeverMoves(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.cutUploads = make([]int, 100)
	r := run(t, f, "deploy", "shop", file(t, "shop.war", []byte("war")))
	want(t, r, 1, "", "error D106: upload of shop.war stopped at 0 B of 3 B", "still: nothing was changed")
}

func TestDeploy_FollowsOverBrokenStreams(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.cutStreams = 3
	r := run(t, f, "deploy", "shop", file(t, "site.zip", []byte("x")))
	want(t, r, 0, "http://shop.apps.localhost:8080/\n")
	for _, line := range []string{"  unpack: 3 files\n", "  assemble static\n", "  push\n", "starting v1\n"} {
		if n := strings.Count(r.err, line); n != 1 {
			t.Errorf("%q is printed %d times, want once:\n%s", line, n, r.err)
		}
	}
}

func TestDeploy_FailureHasTheOneForm(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	r := run(t, f, "deploy", "shop", file(t, "site.zip", []byte("x")), "--note", "broken")
	want(t, r, 1, "")
	golden := `error D142: v1 of shop never became ready in 5m0s: 0 of 1 instances answered
  GET / → connection refused (12 times)
  listening on 127.0.0.1:3000
still: v0 keeps serving 1 of 1
next: dinp logs shop --release v1
`
	if !strings.HasSuffix(r.err, golden) {
		t.Errorf("stderr is\n%s\nwant at its end\n%s", r.err, golden)
	}
}

func TestDeploy_NoWaitPrintsTheBuild(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	want(t, run(t, f, "deploy", "shop", "--image", "nginx:1.27", "--no-wait"), 0, "b1\n", "dinp build follow b1")
	want(t, run(t, f, "build", "follow", "b1"), 0, "http://shop.apps.localhost:8080/\n", "v1 serves")
}

func TestDeploy_Unchanged(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.add("same")
	f.mux.HandleFunc("POST /apps/same/releases", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, api.Deploy{App: "same", URL: "http://same/", Unchanged: true, Done: true, OK: true})
	})
	want(t, run(t, f, "deploy", "same", "--image", "nginx"), 0, "http://same/\n", "unchanged: same serves the same content")
}

func TestDeploy_InterruptSaysThatItGoesOn(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.mux.HandleFunc("GET /builds/b1/deploy", func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	r := runIn(ctx, f, map[string]string{"DINP_HOME": t.TempDir()}, "", "deploy", "shop", "--image", "nginx")
	want(t, r, ExitInterrupted, "", "the deploy of shop goes on", "watch it:  dinp build follow b1", "cancel it: dinp cancel b1", "interrupted\n")
}

func TestDeploy_AnAddressIsFetchedByThePlatform(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	run(t, f, "deploy", "shop", "https://example.com/shop.war", "--sha256", "ab", "--job", "ci/7", "--no-wait")
	f.mu.Lock()
	defer f.mu.Unlock()
	body := f.bodies["POST /apps/shop/releases"]
	for _, part := range []string{`"url":"https://example.com/shop.war"`, `"sha256":"ab"`, `"job":"ci/7"`} {
		if !strings.Contains(body, part) {
			t.Errorf("%s is not in %s", part, body)
		}
	}
}

func TestDeploy_Refusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		code int
		err  string
	}{
		"sum of a file":  {[]string{"shop", "x.zip", "--sha256", "ab"}, 2, "--sha256 is for an address"},
		"bad name":       {[]string{"Shop_1", "x.zip"}, 1, `next: use a name such as "shop-1"`},
		"path as name":   {[]string{"../x", "x.zip"}, 1, "error D120"},
		"no file":        {[]string{"shop", "/nowhere/x.zip"}, 1, "no such file"},
		"folder":         {[]string{"shop", "testdata"}, 1, "next: pack it: tar -czf shop.tar.gz -C testdata ."},
		"both":           {[]string{"shop", "x.zip", "--image", "nginx"}, 2, "give either a file, an address or --image"},
		"neither":        {[]string{"shop"}, 2, "next: dinp deploy --help"},
		"bad memory":     {[]string{"shop", "x.zip", "--memory", "lots"}, 1, "error D123"},
		"bad drain":      {[]string{"shop", "x.zip", "--drain", "soon"}, 1, "next: write it as 30s or 5m"},
		"secret in env":  {[]string{"shop", "x.zip", "--env", "hunter2"}, 1, "error D122: environment variable 1 has no ="},
		"unknown flag":   {[]string{"shop", "x.zip", "--colour"}, 2, "error D101: unknown flag: --colour\nnext: dinp deploy --help\n"},
		"stdin, no name": {[]string{"shop", "-"}, 2, "needs --filename"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			r := run(t, f, append([]string{"deploy"}, c.args...)...)
			want(t, r, c.code, "", c.err)
			if strings.Contains(r.err, "hunter2") {
				t.Error("a secret is repeated")
			}
			if len(f.requests) > 0 {
				t.Errorf("the server was asked: %v", f.requests)
			}
		})
	}
}

func TestDeploy_FromStandardInput(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	r := runIn(t.Context(), f, map[string]string{}, "piped content", "deploy", "shop", "-", "--filename", "shop.war")
	want(t, r, 0, "http://shop.apps.localhost:8080/\n")
	if f.uploads["u1"].name != "shop.war" || string(f.uploads["u1"].data) != "piped content" {
		t.Errorf("uploaded %+v", f.uploads["u1"])
	}
}
