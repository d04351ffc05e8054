package dash

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

// site is a .tar.gz of one page, padded with size bytes that do not compress.
func site(t *testing.T, text string, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	pad := make([]byte, size)
	for i := range pad {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		pad[i] = sum[0]
	}
	for name, content := range map[string][]byte{"index.html": []byte(text), "pad": pad} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if errors.Join(w.Close(), z.Close()) != nil {
		t.Fatal("pack the site")
	}
	return b.Bytes()
}

// stored reads an artifact back from the registry, the way a builder does.
func stored(t *testing.T, registry, sha string) []byte {
	t.Helper()
	ref, err := name.ParseReference(registry+"/"+model.ArtifactRepository+":"+model.ArtifactTag(sha), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, l := range layers {
		if mt, _ := l.MediaType(); mt != model.ArtifactMediaType {
			t.Errorf("media type %s", mt)
		}
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(rc)
		if rc.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func TestDeploy_OneLinerFromFileToServing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url, withRegistry(t))
		body := site(t, "hello", 1<<20)
		type answer struct {
			status int
			text   string
		}
		done := make(chan answer, 1)
		go func() {
			status, text, _ := r.call("PUT", "/apps/shop/deploy?filename=../../shop.tar.gz&wait=true&memory=128M&cpu=0.5&instances=2&env=A=b%3Dc&note=first&health=/ok", r.admin, bytes.NewReader(body))
			done <- answer{status, text}
		}()
		b := r.claim()
		if b.Artifact != shaOf(body) || b.Filename != "shop.tar.gz" || b.Size != int64(len(body)) || *b.Deploy.MemoryMiB != 128 || *b.Deploy.CPUMilli != 500 || b.Deploy.Env["A"] != "b=c" {
			t.Errorf("build: %+v %+v", b, b.Deploy)
		}
		if !bytes.Equal(stored(t, r.cfg.Registry, b.Artifact), body) {
			t.Error("the registry has other bytes")
		}
		rel := r.finish(b, nil)
		r.settle(rel, model.DeploymentRunning, nil)
		r.settle(rel, model.DeploymentSucceeded, nil)
		got := <-done
		var d api.Deploy
		if err := json.Unmarshal([]byte(got.text), &d); err != nil || got.status != 200 || !d.Done || !d.OK || d.Release != "v1" || d.URL != "http://shop.apps.localhost:8080/" {
			t.Fatalf("deploy: %d %s", got.status, got.text)
		}
		app := do[api.App](r, 200, "GET", "/apps/shop", r.admin, nil)
		if app.Instances != 2 || app.MemoryMiB != 128 || app.CPUMilli != 500 || app.Health != "/ok" || app.Serving != "v1" {
			t.Errorf("app: %+v", app)
		}
		for _, q := range []string{"filename=shop.tar.gz", "filename=other.gz&memory=128M&instances=2&env=A=b%3Dc"} {
			d := do[api.Deploy](r, 200, "PUT", "/apps/shop/deploy?"+q, r.admin, bytes.NewReader(body))
			if !d.Unchanged || !d.OK || d.Release != "v1" || d.Build != nil || !strings.Contains(d.State, "nothing to do") {
				t.Errorf("the same again with %s: %+v", q, d)
			}
		}
		for _, q := range []string{"filename=shop.tar.gz&memory=64M", "filename=shop.zip", "filename=shop.tar.gz&runtime=binary", "filename=shop.tar.gz&instances=3"} {
			d := do[api.Deploy](r, 202, "PUT", "/apps/shop/deploy?"+q, r.admin, bytes.NewReader(body))
			if d.Unchanged || d.Build == nil || d.Follow != "/api/v1/builds/"+d.Build.ID+"/deploy" {
				t.Errorf("with %s: %+v", q, d)
			}
			do[api.Build](r, 200, "POST", "/builds/"+d.Build.ID+"/cancel", r.admin, nil)
		}
		left, err := os.ReadDir(r.uploads.dir)
		if err != nil || len(left) != 0 {
			t.Errorf("left in the data directory: %v %v", left, err)
		}
	})
}

func TestDeploy_FailureTellsCauseEvidenceAndWhatStillServes(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.release("shop", 1, model.DeploymentSucceeded)
	fails := func(text string, end func(model.Build)) *model.Error {
		t.Helper()
		done := make(chan *model.Error, 1)
		go func() {
			done <- r.refusedNow("PUT", "/apps/shop/deploy?filename=s.tar.gz&wait=true", bytes.NewReader(site(t, text, 10)))
		}()
		end(r.claim())
		return <-done
	}
	e := fails("a", func(b model.Build) {
		r.finish(b, model.E(model.CodeBuildFailed, "step assemble failed").WithEvidence("line 1", "line 2"))
	})
	if e.Code != model.CodeBuildFailed || len(e.Evidence) != 2 || e.Still != "v1 keeps serving" {
		t.Errorf("failed build: %+v", e)
	}
	e = fails("b", func(b model.Build) {
		r.settle(r.finish(b, nil), model.DeploymentFailed, model.E(model.CodeNotReady, "v2 never became ready").WithEvidence("panic: no database"))
	})
	if e.Code != model.CodeNotReady || len(e.Evidence) != 1 || e.Still != "v1 keeps serving" {
		t.Errorf("failed rollout: %+v", e)
	}
	e = fails("c", func(b model.Build) {
		if _, err := r.CancelBuild(t.Context(), mustActor(t, r, "admin"), b.ID); err != nil {
			t.Error(err)
		}
		r.finish(b, model.E(model.CodeBuildStopped, "cancelled by admin"))
	})
	if e.Code != model.CodeBuildStopped {
		t.Errorf("cancelled: %+v", e)
	}
	e = fails("d", func(b model.Build) {
		r.finish(b, nil)
		r.release("shop", 9, model.DeploymentSucceeded) // somebody else's, right after
	})
	if e.Code != model.CodeSuperseded || !strings.Contains(e.Message, "superseded by v4") {
		t.Errorf("superseded: %+v", e)
	}
}

// refusedNow is refused for another goroutine, with any code.
func (r *rig) refusedNow(method, path string, body io.Reader) *model.Error {
	status, text, _ := r.call(method, path, r.admin, body)
	var e api.ErrorBody
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Error == nil || status != statusOf(e.Error) {
		r.t.Errorf("%s %s: got %d %s", method, path, status, text)
		return model.E(model.CodeInternal, "no error")
	}
	return e.Error
}

func mustActor(t *testing.T, r *rig, user string) model.Actor {
	t.Helper()
	a, err := r.store.ActorOf(t.Context(), mustUser(t, r, user).ID)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDeploy_ClientGoneIsNotCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "PUT", r.url("/apps/shop/deploy?filename=s.tar.gz&wait=true"), bytes.NewReader(site(t, "x", 10)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.admin)
	gone := make(chan error, 1)
	go func() { _, err := http.DefaultClient.Do(req); gone <- err }()
	b := r.claim()
	cancel()
	<-gone
	rel := r.finish(b, nil)
	r.settle(rel, model.DeploymentSucceeded, nil)
	if d := do[api.Deploy](r, 200, "GET", "/builds/"+b.ID+"/deploy", r.admin, nil); !d.OK || d.Build.Status != "succeeded" {
		t.Errorf("the deploy whose client went away: %+v", d)
	}
}

func TestDeploy_WaitEndsWithTimeAndShutdownNotTheDeploy(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	e := r.refused(model.CodeUnavailable, "PUT", "/apps/shop/deploy?filename=s.tar.gz&wait=true&timeout=20ms", r.admin, bytes.NewReader(site(t, "x", 10)))
	if e.Still != "the deploy goes on" || !strings.Contains(e.Next, "/builds/") {
		t.Errorf("after the time: %+v", e)
	}
	done := make(chan *model.Error, 1)
	go func() {
		done <- r.refusedNow("PUT", "/apps/other/deploy?filename=s.tar.gz&wait=true", bytes.NewReader(site(t, "y", 10)))
	}()
	r.claim()
	second := r.claim() // both are queued now, so the second request is waiting
	if second.AppName != "other" {
		t.Fatalf("second build: %+v", second)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if e := <-done; e.Code != model.CodeUnavailable || e.Still != "the deploy goes on" {
		t.Errorf("at the shutdown: %+v", e)
	}
}

func TestDeploy_RegistryAwaySaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	e := r.refused(model.CodeRegistryAway, "PUT", "/apps/shop/deploy?filename=s.tar.gz", r.admin, bytes.NewReader(site(t, "x", 10)))
	if !strings.Contains(e.Still, "keeps running") {
		t.Errorf("still: %q", e.Still)
	}
}

func TestDeploy_StreamTellsStatesAndLogToItsEnd(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, `{"image":"nginx:1"}`)
		events := r.events(d.Follow)
		first := events.next("deploy")
		if !strings.Contains(first.data, "waiting for a builder") {
			t.Errorf("first: %+v", first)
		}
		b := r.claim()
		if err := r.store.AppendBuildLog(t.Context(), b.ID, time.Now(), []string{"pulling", "copying"}); err != nil {
			t.Fatal(err)
		}
		if l := events.next("log"); !strings.Contains(l.data, `"text":"pulling"`) || l.id != "1" {
			t.Errorf("log: %+v", l)
		}
		again := r.events(d.Follow, "Last-Event-ID", "1")
		if l := again.next("log"); l.id != "2" {
			t.Errorf("a reader that came back gets %+v", l)
		}
		again.close()
		rel := r.finish(b, nil)
		app, _ := r.store.App(t.Context(), "shop")
		r.leads.set(func() {
			r.leads.apps[app.ID] = &pb.AppReply{State: "rolling out v1", Instances: []*pb.InstanceState{{Id: "i1", Release: 1, Phase: "running"}, {Id: "i0", Release: 0}}}
		})
		testenv.Eventually(t, 20*time.Second, func() error {
			if e := events.next("deploy"); !strings.Contains(e.data, `"phase":"running"`) || strings.Contains(e.data, `"id":"i0"`) {
				return errors.New(e.data)
			}
			return nil
		})
		r.settle(rel, model.DeploymentSucceeded, nil)
		end := events.next("done")
		if !strings.Contains(end.data, `"ok":true`) {
			t.Errorf("end: %+v", end)
		}
		if e, err := events.read(); err != io.EOF {
			t.Errorf("after the end: %+v %v", e, err)
		}
	})
}
