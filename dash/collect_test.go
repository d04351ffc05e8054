package dash

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

// shelf is a rig whose builds put real images into its registry.
type shelf struct {
	*rig
	base v1.Image
}

func newShelf(t *testing.T, url string) *shelf {
	r := newRig(t, url, withRegistry(t), func(c *Config) { c.KeepReleases, c.GCEvery = 2, 0 })
	base, err := random.Image(1<<16, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{r, base}
}

func (s *shelf) write(ref string, img v1.Image) {
	s.t.Helper()
	tag, err := name.ParseReference(s.cfg.Registry+"/"+ref, name.Insecure)
	if err == nil {
		err = remote.Write(tag, img)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// built is a build of that artifact that ended long ago, and whose release served.
func (s *shelf) built(app string, artifact []byte) (image string) {
	s.t.Helper()
	sha := s.upload(artifact)
	do[api.Deploy](s.rig, 202, "POST", "/apps/"+app+"/releases", s.admin, api.NewRelease{Artifact: sha, Filename: "a.zip"})
	b := s.claim()
	layer, err := random.Layer(1<<14, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		s.t.Fatal(err)
	}
	img, err := mutate.AppendLayers(s.base, layer)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(model.AppRepository(app)+":build-"+b.ID, img)
	digest, err := img.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	image = model.AppRepository(app) + "@" + digest.String()
	o := store.BuildOutcome{Status: model.BuildSucceeded, Image: image, Runtime: "static", Now: time.Now()}
	if err := s.store.FinishBuild(s.t.Context(), b.ID, "b1", o); err != nil {
		s.t.Fatal(err)
	}
	b, err = s.store.Build(s.t.Context(), b.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := s.store.ReleaseByID(s.t.Context(), b.ReleaseID)
	if err != nil {
		s.t.Fatal(err)
	}
	s.settle(r, model.DeploymentSucceeded, nil)
	return image
}

func (s *shelf) upload(content []byte) string {
	s.t.Helper()
	a, err := s.Upload(s.t.Context(), model.Actor{UserID: "x", Role: model.Admin}, strings.NewReader(string(content)), "a.zip", int64(len(content)))
	if err != nil {
		s.t.Fatal(err)
	}
	return a.SHA256
}

func (s *shelf) has(image string) bool {
	s.t.Helper()
	blobs, err := s.artifacts.blobs(s.t.Context(), image)
	if err != nil {
		s.t.Fatal(err)
	}
	return blobs != nil
}

func zipNo(n int) []byte { return []byte(fmt.Sprintf("PK\x03\x04%0600d", n)) }

func TestCollect_RemovesWhatNoKeptReleaseNeedsAndTellsBefore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		s := newShelf(t, url)
		s.rules.Recent = time.Nanosecond
		var images []string
		for n := range 5 {
			images = append(images, s.built("shop", zipNo(n)))
		}
		do[api.Release](s.rig, 200, "PUT", "/apps/shop/releases/v2/pin", s.admin, nil)
		s.write(model.AppRepository("shop")+":by-hand", s.base)

		plan := do[api.Collection](s.rig, 200, "POST", "/gc", s.admin, api.Collect{DryRun: true})
		for i, image := range images {
			if !s.has(image) {
				t.Errorf("a dry run removed image %d", i)
			}
		}
		done := do[api.Collection](s.rig, 200, "POST", "/gc", s.admin, api.Collect{})
		if names(plan) != names(done) || plan.Bytes != done.Bytes || done.Bytes < 2<<14 || done.Bytes > 2<<14+1<<14 {
			t.Errorf("planned %s, %d bytes; done %s, %d bytes", names(plan), plan.Bytes, names(done), done.Bytes)
		}
		if got, want := names(done), fmt.Sprintf("image v1 image v3 artifact %.8s artifact %.8s", shaOf(zipNo(0)), shaOf(zipNo(2))); !sameWords(got, want) {
			t.Errorf("removed %s, want %s", got, want)
		}
		for i, image := range images {
			if got, want := s.has(image), i != 0 && i != 2; got != want {
				t.Errorf("image %d is there: %v", i, got)
			}
		}
		s.refused(model.CodeImageGone, "POST", "/apps/shop/rollback", s.admin, api.Rollback{Version: "v1"})
		do[api.Release](s.rig, 202, "POST", "/apps/shop/rollback", s.admin, api.Rollback{Version: "v2"})
		if r := do[api.Release](s.rig, 200, "GET", "/apps/shop/releases/v1", s.admin, nil); !r.Removed || r.Pinned {
			t.Errorf("release %+v", r)
		}
		if again := do[api.Collection](s.rig, 200, "POST", "/gc", s.admin, api.Collect{}); len(again.Items) != 0 {
			t.Errorf("again: %+v", again)
		}
		s.refused(model.CodeDenied, "POST", "/gc", s.user("dora", model.Owner), api.Collect{DryRun: true})
	})
}

// What goes with an artifact are the parts that no other artifact has.
func TestCollect_CountsOfAnArtifactWhatNoOtherOneHas(t *testing.T) {
	t.Parallel()
	s := newShelf(t, storetest.SQLite(t))
	s.rules.Recent = time.Nanosecond
	for n := range 4 {
		s.built("shop", large(strings.Repeat("x", n)))
	}
	plan := do[api.Collection](s.rig, 200, "POST", "/gc", s.admin, api.Collect{DryRun: true})
	done := do[api.Collection](s.rig, 200, "POST", "/gc", s.admin, api.Collect{})
	if names(plan) != names(done) || plan.Bytes != done.Bytes {
		t.Errorf("planned %s, %d bytes; done %s, %d bytes", names(plan), plan.Bytes, names(done), done.Bytes)
	}
	n := 0
	for _, i := range done.Items {
		if i.Kind != "artifact" {
			continue
		}
		if n++; i.Bytes == 0 || i.Bytes > 5<<20 {
			t.Errorf("%+v, of 6 MiB", i)
		}
	}
	if n != 2 {
		t.Errorf("%d artifacts went, want 2", n)
	}
}

func names(c api.Collection) string {
	var out []string
	for _, i := range c.Items {
		out = append(out, i.Kind)
		if i.Kind == "artifact" {
			out = append(out, i.Name[:8])
		}
		out = append(out, i.Releases...)
	}
	return strings.Join(out, " ")
}

func sameWords(a, b string) bool {
	count := map[string]int{}
	for _, w := range strings.Fields(a) {
		count[w]++
	}
	for _, w := range strings.Fields(b) {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestCollect_LeavesAnAppAloneWhileItIsBuiltAndWhatCameLately(t *testing.T) {
	t.Parallel()
	s := newShelf(t, storetest.SQLite(t))
	var images []string
	for n := range 4 {
		images = append(images, s.built("shop", zipNo(n)))
	}
	if out := do[api.Collection](s.rig, 200, "POST", "/gc", s.admin, api.Collect{}); len(out.Items) != 0 {
		t.Errorf("of what was built today: %+v", out)
	}
	s.rules.Recent = time.Nanosecond
	do[api.Deploy](s.rig, 202, "POST", "/apps/shop/releases", s.admin, api.NewRelease{Artifact: s.upload(zipNo(9)), Filename: "a.zip"})
	b := s.claim()
	out := do[api.Collection](s.rig, 200, "POST", "/gc", s.admin, api.Collect{})
	if len(out.Items) != 0 || len(out.Skipped) != 1 || !strings.Contains(out.Skipped[0], b.ID) {
		t.Errorf("during a build: %+v", out)
	}
	s.finish(b, model.E(model.CodeBuildFailed, "x"))
	if out := do[api.Collection](s.rig, 200, "POST", "/gc", s.admin, api.Collect{}); len(out.Items) == 0 || s.has(images[0]) || !s.has(images[3]) {
		t.Errorf("after it: %+v", out)
	}
}

// brokenSweeper is a registry whose disk fails.
type brokenSweeper struct{}

func (brokenSweeper) Sweep(context.Context, bool) (int64, error) {
	return 0, errors.New("disk on fire")
}

func TestCollect_NothingIsRemovedWhenTheRegistryDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := newShelf(t, storetest.SQLite(t))
	s.rules.Recent = time.Nanosecond
	for n := range 4 {
		s.built("shop", zipNo(n))
	}
	there := s.artifacts
	away, err := newArtifactStore("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	s.artifacts = away
	s.refused(model.CodeRegistryAway, "POST", "/gc", s.admin, api.Collect{})
	s.artifacts = there
	r := do[api.Page[api.Release]](s.rig, 200, "GET", "/apps/shop/releases", s.admin, nil)
	for _, v := range r.Items {
		if v.Removed {
			t.Errorf("%s is marked as removed", v.Version)
		}
	}
	s.sweeper = brokenSweeper{}
	s.refused(model.CodeInternal, "POST", "/gc", s.admin, api.Collect{DryRun: true})
}
