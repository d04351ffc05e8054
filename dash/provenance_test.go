package dash

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/bom"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/provenance"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

// signedBuild is a build that a builder with a key has made, with its image in the registry.
type signedBuild struct {
	*rig
	key       ed25519.PrivateKey
	build     model.Build
	statement provenance.Statement
	artifact  string
}

func newSignedBuild(t *testing.T) *signedBuild {
	t.Helper()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	body := site(t, "x", 10)
	artifact, err := r.Upload(t.Context(), model.Actor{UserID: "u", Name: "mia", Role: model.Admin}, strings.NewReader(string(body)), "shop.tar.gz", int64(len(body)))
	must(t, err)
	do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, api.NewRelease{Artifact: artifact.SHA256, Filename: "shop.tar.gz", Job: "ci/7"})
	s := &signedBuild{rig: r, key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32))), build: r.claim(), artifact: artifact.SHA256}
	digest := s.pushImage("dinp/apps/shop:x", "sha256:"+artifact.SHA256)
	public := s.key.Public().(ed25519.PublicKey)
	must(t, r.store.AddSigner(t.Context(), model.Signer{KeyID: provenance.KeyID(public), PublicKey: base64.StdEncoding.EncodeToString(public), Builder: "b1"}))
	s.statement = provenance.Statement{
		Type: provenance.StatementType, PredicateType: provenance.PredicateType, Subject: []provenance.Resource{{Name: "dinp/apps/shop", Digest: map[string]string{"sha256": digest.Hex}}},
		Predicate: provenance.Predicate{
			BuildDefinition: provenance.Definition{
				ExternalParameters: provenance.External{App: "shop", Actor: s.build.CreatedBy}, InternalParameters: provenance.Internal{Runtime: "static"},
				ResolvedDependencies: []provenance.Resource{{Name: provenance.Artifact, Digest: map[string]string{"sha256": artifact.SHA256}}},
			},
			RunDetails: provenance.Run{Metadata: provenance.Metadata{InvocationID: s.build.ID}},
		},
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pushImage puts an image with that label into the registry.
func (s *signedBuild) pushImage(name, label string) v1.Hash {
	s.t.Helper()
	img, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{"dinp.artifact": label}})
	must(s.t, err)
	must(s.t, remote.Write(s.artifacts.repo.Registry.Repo("dinp", "apps", "shop").Tag("x"), img))
	digest, err := img.Digest()
	must(s.t, err)
	return digest
}

// end ends the build with the statement, signed by key.
func (s *signedBuild) end(image string, key ed25519.PrivateKey) {
	s.t.Helper()
	e, err := provenance.Sign(s.statement, key)
	must(s.t, err)
	text, err := json.Marshal(e)
	must(s.t, err)
	must(s.t, s.store.FinishBuild(s.t.Context(), s.build.ID, "b1", store.BuildOutcome{
		Status: model.BuildSucceeded, Image: image, Runtime: "static", Now: time.Now(), Provenance: string(text), Report: model.BuildReport{Base: "dinp/base/static", Warnings: []string{"one"}},
	}))
}

func (s *signedBuild) image() string {
	return "dinp/apps/shop@sha256:" + s.statement.Subject[0].Digest["sha256"]
}

func (s *signedBuild) verify() (api.Verification, []string) {
	s.t.Helper()
	v := do[api.Verification](s.rig, 200, "GET", "/builds/"+s.build.ID+"/verify", s.admin, nil)
	var wrong []string
	for _, c := range v.Checks {
		if !c.OK {
			wrong = append(wrong, c.Name)
		}
	}
	return v, wrong
}

func TestVerify_WhatWasSignedIsWhatIsThere(t *testing.T) {
	t.Parallel()
	s := newSignedBuild(t)
	s.end(s.image(), s.key)
	v, wrong := s.verify()
	if !v.OK || len(wrong) > 0 || v.Signer != "b1" || len(v.Checks) < 8 {
		t.Errorf("%+v", v)
	}
	e := do[provenance.Envelope](s.rig, 200, "GET", "/builds/"+s.build.ID+"/provenance", s.admin, nil)
	if got, err := provenance.Verify(e, s.key.Public().(ed25519.PublicKey)); err != nil || cmp.Diff(s.statement, got) != "" {
		t.Errorf("the statement: %+v, %v", got, err)
	}
	b := do[api.Build](s.rig, 200, "GET", "/builds/"+s.build.ID, s.admin, nil)
	if b.Job != "ci/7" || b.From == "" || b.Report == nil || b.Report.Base != "dinp/base/static" {
		t.Errorf("build %+v", b)
	}
}

func TestVerify_FindsWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("o", 32)))
	for name, c := range map[string]struct {
		end  func(*signedBuild)
		want []string
	}{
		"a key that no builder has":    {func(s *signedBuild) { s.end(s.image(), other) }, []string{"signature"}},
		"a row that names other bytes": {func(s *signedBuild) { s.end("dinp/apps/shop@sha256:"+strings.Repeat("0", 64), s.key) }, []string{"image", "registry"}},
		"an image made of something else": {func(s *signedBuild) {
			s.statement.Subject[0].Digest["sha256"] = s.pushImage("dinp/apps/shop:x", "sha256:"+strings.Repeat("1", 64)).Hex
			s.end(s.image(), s.key)
		}, []string{"label dinp.artifact"}},
		"another's statement": {func(s *signedBuild) {
			s.statement.Predicate.RunDetails.Metadata.InvocationID, s.statement.Predicate.BuildDefinition.ExternalParameters.Actor = "another", "eve"
			s.end(s.image(), s.key)
		}, []string{"build", "actor"}},
		"an image that was deleted": {func(s *signedBuild) {
			s.end(s.image(), s.key)
			must(s.t, remote.Delete(s.artifacts.repo.Registry.Repo("dinp", "apps", "shop").Digest("sha256:"+s.statement.Subject[0].Digest["sha256"])))
		}, []string{"registry"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSignedBuild(t)
			c.end(s)
			v, wrong := s.verify()
			if d := cmp.Diff(c.want, wrong); d != "" || v.OK {
				t.Errorf("wrong (-want +got):\n%s\n%+v", d, v)
			}
		})
	}
}

func TestProvenance_IsForThoseWhoMaySeeTheApp(t *testing.T) {
	t.Parallel()
	s := newSignedBuild(t)
	s.end(s.image(), s.key)
	s.member("", "stranger", model.Member, "")
	token, err := s.IssueToken(t.Context(), "stranger", "test")
	must(t, err)
	for _, what := range []string{"provenance", "verify", "sbom"} {
		s.refused(model.CodeNotFound, "GET", "/builds/"+s.build.ID+"/"+what, token, nil)
	}
	must(t, s.store.SaveScan(t.Context(), s.artifact, store.Scan{Version: 1}, []model.Component{{Ecosystem: "npm", Name: "left-pad", Version: "1.0.0", Path: "."}}))
	if got := do[api.ComponentSearch](s.rig, 200, "GET", "/components?q=left-pad", token, nil); len(got.Items) != 0 {
		t.Errorf("a stranger finds %+v", got)
	}
}

func TestComponents_WhichAppsCarryAPackage(t *testing.T) {
	t.Parallel()
	s := newSignedBuild(t)
	s.refused(model.CodeNotFound, "GET", "/builds/"+s.build.ID+"/sbom", s.admin, nil)
	must(t, s.store.SaveScan(t.Context(), s.artifact, store.Scan{Version: 1, Incomplete: "something"}, []model.Component{
		{Ecosystem: "maven", Name: "org.apache.logging.log4j:log4j-core", Version: "2.14.1", Path: "WEB-INF/lib/log4j-core-2.14.1.jar"},
		{Ecosystem: "npm", Name: "@babel/core", Version: "7.0.0-rc.1", Path: "node_modules/@babel/core"},
		{Ecosystem: "golang", Name: "github.com/go-chi/chi/v5", Version: "v5.0.10", Path: "app"},
	}))
	s.end(s.image(), s.key)
	for query, want := range map[string]int{
		"log4j-core": 1, "log4j-core<2.17": 1, "log4j-core <2.14.1": 0, "log4j-core>=2.0,<2.17.1": 1, "LOG4J-Core=2.14.1": 1, "log4j-core!=2.14.1": 0,
		"org.apache.logging.log4j:log4j-core<2.17": 1, "log4j-api": 0, "core<7.0.0": 1, "@babel/core<7": 1, "chi<5.0.9": 0, "chi<5.0.11": 1, "github.com/go-chi/chi/v5": 1,
	} {
		got := do[api.ComponentSearch](s.rig, 200, "GET", "/components?q="+url.QueryEscape(query), s.admin, nil)
		if len(got.Items) != want || len(got.Unknown) != 0 {
			t.Errorf("%s: %+v, want %d", query, got, want)
		}
		if want == 1 && (got.Items[0].App != "shop" || got.Items[0].Release != "v1") {
			t.Errorf("%s: %+v", query, got.Items[0])
		}
	}
	s.refused(model.CodeBadRequest, "GET", "/components?q="+url.QueryEscape("<2"), s.admin, nil)
	bill := do[bom.Document](s.rig, 200, "GET", "/builds/"+s.build.ID+"/sbom", s.admin, nil)
	if len(bill.Components) != 3 || bill.Metadata.Property[0].Value != "something" || bill.Metadata.Component.Hashes[0].Content != s.artifact {
		t.Errorf("bill %+v", bill)
	}
	do[api.App](s.rig, 201, "POST", "/apps", s.admin, api.CreateApp{Name: "other"})
	s.release("other", 1, model.DeploymentSucceeded)
	if got := do[api.ComponentSearch](s.rig, 200, "GET", "/components?q=log4j-core", s.admin, nil); len(got.Unknown) != 1 || got.Unknown[0] != "other v1" {
		t.Errorf("not known of: %v", got.Unknown)
	}
}

func TestComponentQuery_Forms(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "<1", "a<", "a b", "a<1<2", "a=1,", "a ,", strings.Repeat("x", 501)} {
		if q, err := parseComponentQuery(bad); !model.IsCode(err, model.CodeBadRequest) {
			t.Errorf("%q: %+v, %v", bad, q, err)
		}
	}
	q, err := parseComponentQuery(" a.b:c >= 1.0-rc1 , < 2 ")
	want := componentQuery{name: "a.b:c", bounds: []versionBound{{">=", "1.0-rc1"}, {"<", "2"}}}
	if err != nil || cmp.Diff(want, q, cmp.AllowUnexported(componentQuery{}, versionBound{})) != "" {
		t.Errorf("%+v, %v", q, err)
	}
	for _, c := range []struct {
		ecosystem, version, query string
		want                      bool
	}{
		{"maven", "2.0-rc1", "x<2.0", true}, {"maven", "2.0.RELEASE", "x=2.0", true}, {"maven", "1.10", "x<1.9", false}, {"npm", "1.0.0-beta", "x<1.0.0", true},
		{"pypi", "1.0.post1", "x>1.0", true}, {"pypi", "1!0.1", "x>9", true}, {"golang", "v1.2.0", "x<1.10", true}, {"composer", "2.9.1", "x<2.10", true},
	} {
		q, err := parseComponentQuery(c.query)
		if err != nil || q.matches(model.Component{Ecosystem: c.ecosystem, Version: c.version}) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
