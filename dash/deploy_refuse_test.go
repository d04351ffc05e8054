package dash

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store/storetest"
)

// endless is a body that would go on for ever, and counts what was taken of it.
type endless struct{ taken atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.taken.Add(int64(len(p)))
	return len(p), nil
}

func TestDeploy_RefusesBadInputEarly(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t), func(c *Config) { c.MaxUploadMiB = 1 })
	for text, says := range map[string]string{
		"":                                      "is empty",
		"\x7fELF" + strings.Repeat("\x00", 600): "a bare program",
		"<!doctype html><p>hi":                  "HTML",
		"just some text":                        "is not an archive",
		strings.Repeat("z", 2000):               "is not an archive",
	} {
		e := r.refused(model.CodeBadArtifact, "PUT", "/apps/shop/deploy?filename=shop.war", r.admin, strings.NewReader(text))
		if !strings.Contains(e.Message, says) || e.Next == "" {
			t.Errorf("%.20q: %+v", text, e)
		}
	}
	body := &endless{}
	resp := r.request("PUT", "/apps/shop/deploy", r.admin, io.LimitReader(body, 1<<30))
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || resp.ContentLength <= 0 { // who goes on sending must not have to wait for the answer's end
		t.Errorf("status %d, an answer of %d bytes", resp.StatusCode, resp.ContentLength)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), string(model.CodeBadArtifact)) {
		t.Errorf("the refusal is %s, %v", text, err)
	}
	if body.taken.Load() > 2*drainBytes { // refused at its beginning; the rest is drained only to be heard
		t.Errorf("%d bytes were sent before the refusal", body.taken.Load())
	}
	big := site(t, "big", 2<<20)
	r.refused(model.CodeTooLarge, "PUT", "/apps/shop/deploy?filename=a.tar.gz", r.admin, bytes.NewReader(big))
	r.refused(model.CodeTooLarge, "PUT", "/apps/shop/deploy?filename=a.tar.gz", r.admin, io.MultiReader(bytes.NewReader(big))) // chunked: no length to look at
	small := site(t, "ok", 10)
	for q, code := range map[string]model.Code{
		"instance=3": model.CodeBadRequest, "instances=": model.CodeBadSize, "instances=x": model.CodeBadSize, "instances=-1": model.CodeBadSize,
		"memory=much": model.CodeBadSize, "memory=1": model.CodeBadSize, "cpu=many": model.CodeBadSize, "port=0": model.CodeBadSize, "health=x": model.CodeBadSize,
		"env=A": model.CodeBadEnv, "env=1A=b": model.CodeBadEnv, "env=PORT=1": model.CodeBadEnv, "wait=perhaps": model.CodeBadRequest, "timeout=soon&wait=1": model.CodeBadRequest,
		"strategy=bigbang": model.CodeBadSize, "strategy=canary&steps=50,10": model.CodeBadSize, "steps=10": model.CodeBadSize, "strategy=canary&steps=x": model.CodeBadSize, "strategy=canary&observe=x": model.CodeBadSize, "deadline=x": model.CodeBadSize, "team=none": model.CodeNotFound, "runtime=" + strings.Repeat("x", 80): model.CodeBadRuntime,
	} {
		r.refused(code, "PUT", "/apps/shop/deploy?"+q, r.admin, bytes.NewReader(small))
	}
	r.refused(model.CodeBadAppName, "PUT", "/apps/Shop_1/deploy", r.admin, bytes.NewReader(small))
	r.refused(model.CodeDenied, "PUT", "/apps/shop/deploy", r.user("vic", model.Viewer), bytes.NewReader(small))
	if p := do[api.Page[api.App]](r, 200, "GET", "/apps", r.admin, nil); len(p.Items) != 0 {
		t.Errorf("refused deploys made %+v", p.Items)
	}
	left, err := os.ReadDir(r.uploads.dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the data directory: %v %v", left, err)
	}
}

func TestReleases_DeployByImageAndByArtifact(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, `{"image":"nginx:1.27","memory_mib":64,"port":80}`)
	if d.Build.ImageRef != "nginx:1.27" || d.Build.Runtime != "image" || d.State != "waiting for a builder" {
		t.Errorf("by image: %+v", d)
	}
	rel := r.finish(r.claim(), nil)
	r.settle(rel, model.DeploymentSucceeded, nil)
	do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, `{"image":"nginx:1.27"}`) // a tag may have moved
	r.finish(r.claim(), model.E(model.CodeNoImage, "no such image"))
	pinned := fmt.Sprintf(`{"image":"nginx@sha256:%064x"}`, 7)
	do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, pinned)
	r.settle(r.finish(r.claim(), nil), model.DeploymentSucceeded, nil)
	if d := do[api.Deploy](r, 200, "POST", "/apps/shop/releases", r.admin, pinned); !d.Unchanged {
		t.Errorf("the same digest: %+v", d)
	}
	body := site(t, "hello", 10)
	r.refused(model.CodeNotFound, "POST", "/apps/shop/releases", r.admin, api.NewRelease{Artifact: shaOf(body)})
	a, err := r.Upload(t.Context(), mustActor(t, r, "admin"), bytes.NewReader(body), "s.tar.gz", -1)
	if err != nil || a.SHA256 != shaOf(body) || a.Size != int64(len(body)) {
		t.Fatalf("upload: %+v %v", a, err)
	}
	if got := do[api.Artifact](r, 200, "GET", "/artifacts/"+a.SHA256, r.admin, nil); got != a {
		t.Errorf("artifact: %+v", got)
	}
	if d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, api.NewRelease{Artifact: a.SHA256, Filename: "s.tar.gz"}); d.Build.Size != a.Size {
		t.Errorf("by artifact: %+v", d)
	}
	for body, code := range map[string]model.Code{
		`{}`: model.CodeBadRequest, `{"image":"a","artifact":"b"}`: model.CodeBadRequest, `{"artifact":"zz"}`: model.CodeBadRequest,
		`{"image":"a b"}`: model.CodeNoImage, `{"image":"a","runtime":"tomcat"}`: model.CodeBadRuntime, `{"image":"a","memory_mib":1}`: model.CodeBadSize,
		`{"image":"a","env":{"PORT":"1"}}`: model.CodeBadEnv, `{"image":"a","instances":5000}`: model.CodeBadSize,
	} {
		r.refused(code, "POST", "/apps/shop/releases", r.admin, body)
	}
}

func TestReleases_DeployByURL(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, `{"url":"https://ci.example.org/a/shop.war?sig=hunter2","job":"ci/7"}`)
	if d.Build.URL != "https://ci.example.org/a/shop.war" || d.Build.Artifact != "" || d.Build.Job != "ci/7" {
		t.Errorf("by URL: %+v", d.Build)
	}
	if b := r.claim(); !strings.Contains(b.Origin.URL, "sig=hunter2") || b.Artifact != "" {
		t.Errorf("the builder gets %+v", b.Origin)
	}
	body := site(t, "hello", 10)
	if _, err := r.Upload(t.Context(), mustActor(t, r, "admin"), bytes.NewReader(body), "s.tar.gz", -1); err != nil {
		t.Fatal(err)
	}
	known := fmt.Sprintf(`{"url":"https://ci.example.org/s.tar.gz","sha256":%q}`, strings.ToUpper(shaOf(body)))
	if d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, known); d.Build.Artifact != shaOf(body) || d.Build.Size != int64(len(body)) || d.Build.Filename != "s.tar.gz" {
		t.Errorf("an artifact that is here: %+v", d.Build)
	}
	for body, code := range map[string]model.Code{
		`{"url":"file:///etc/passwd"}`: model.CodeBadSource, `{"url":"shop.war"}`: model.CodeBadSource, `{"url":"http://a:b@host/x"}`: model.CodeBadSource,
		`{"url":"http://host/x","image":"a"}`: model.CodeBadRequest, `{"url":"http://host/x","sha256":"ab"}`: model.CodeBadRequest, `{"image":"a","sha256":"ab"}`: model.CodeBadRequest,
	} {
		r.refused(code, "POST", "/apps/shop/releases", r.admin, body)
	}
}

// With sha256= the body of what the platform has is not read: curl -T, which asks first, does not send it.
func TestPut_AnArtifactThatIsHereIsNotReadAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	body := site(t, "hello", 10)
	to := "/apps/shop/deploy?filename=s.tar.gz&sha256="
	r.refused(model.CodeBadRequest, "PUT", to+strings.Repeat("0", 64), r.admin, bytes.NewReader(body))
	do[api.Deploy](r, 202, "PUT", to+shaOf(body), r.admin, bytes.NewReader(body))
	r.settle(r.finish(r.claim(), nil), model.DeploymentSucceeded, nil)
	unread := strings.NewReader("another body, which nobody reads")
	if d := do[api.Deploy](r, 200, "PUT", to+shaOf(body), r.admin, unread); !d.Unchanged {
		t.Errorf("the same again: %+v", d)
	}
}

// TestDeploy_SettingsNeedTheirOwnRights: who may deploy cannot scale by deploying.
func TestDeploy_SettingsNeedTheirOwnRights(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	dan := r.user("dan", model.Deployer)
	do[api.Deploy](r, 202, "POST", "/apps/shop/releases", dan, `{"image":"nginx:1","instances":2,"memory_mib":64}`)
	r.settle(r.finish(r.claim(), nil), model.DeploymentSucceeded, nil)
	r.refused(model.CodeDenied, "POST", "/apps/shop/releases", dan, `{"image":"nginx:2","instances":9}`)
	r.refused(model.CodeDenied, "POST", "/apps/shop/releases", dan, `{"image":"nginx:2","memory_mib":512}`)
	do[api.Deploy](r, 202, "POST", "/apps/shop/releases", dan, `{"image":"nginx:2","instances":2,"memory_mib":64,"env":{"A":"b"}}`)
	do[api.Team](r, 201, "POST", "/teams", r.admin, api.NewTeam{Name: "web"})
	wim := r.user("wim", "")
	do[any](r, 204, "PUT", "/teams/web/members/wim", r.admin, api.Member{Role: "owner"})
	r.refused(model.CodeAppTaken, "POST", "/apps/shop/releases", wim, `{"image":"nginx:2"}`)
	d := do[api.Deploy](r, 202, "POST", "/apps/wiki/releases", wim, `{"image":"nginx:2"}`)
	if app := do[api.App](r, 200, "GET", "/apps/wiki", wim, nil); app.Team != "web" {
		t.Errorf("the new app's team: %+v", app)
	}
	r.refused(model.CodeNotFound, "GET", "/builds/"+d.Build.ID, dan, nil)
	r.refused(model.CodeNotFound, "GET", "/builds/"+d.Build.ID+"/deploy", dan, nil)
	if p := do[api.Page[api.Build]](r, 200, "GET", "/builds", dan, nil); len(p.Items) != 2 || p.Items[0].App != "shop" {
		t.Errorf("builds that dan sees: %+v", p.Items)
	}
}

// TestDeploy_ImagesOfOtherTeamsStayTheirs: the builder may read all of the
// registry, so who may not see an app must not deploy its image, by any name.
func TestDeploy_ImagesOfOtherTeamsStayTheirs(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	other, err := r.store.CreateTeam(t.Context(), "others", platform)
	if err != nil {
		t.Fatal(err)
	}
	r.member(other.ID, "eve", model.Member, model.Owner)
	eve, err := r.IssueToken(t.Context(), "eve", "test")
	if err != nil {
		t.Fatal(err)
	}
	digest := fmt.Sprintf("@sha256:%064x", 7)
	for _, ref := range []string{"dinp/apps/shop" + digest, "127.0.0.1:1/dinp/apps/shop" + digest, "localhost:5080/dinp/apps/shop:build-1", "dinp/artifacts" + digest} {
		r.refused(model.CodeNoImage, "POST", "/apps/mine/releases", eve, api.NewRelease{Image: ref})
	}
	do[api.Deploy](r, 202, "POST", "/apps/copy/releases", r.admin, api.NewRelease{Image: "dinp/apps/shop" + digest})
}
