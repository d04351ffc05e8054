package dash

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

// yard is a rig with apps that stand on a base image.
type yard struct {
	*shelf
	from string // the base's digest when they were built
}

func newYard(t *testing.T, url string, apps ...string) *yard {
	y := &yard{shelf: newShelf(t, url)}
	y.pushBase()
	var err error
	if y.from, err = y.baseNow(t.Context(), "dinp/base/static"); err != nil || y.from == "" {
		t.Fatalf("base %q, %v", y.from, err)
	}
	for i, app := range apps {
		sha := y.upload(zipNo(i))
		do[api.Deploy](y.rig, 202, "POST", "/apps/"+app+"/releases", y.admin, api.NewRelease{Artifact: sha, Filename: "a.zip", DeployRequest: model.DeployRequest{Env: map[string]string{"A": app}}})
		y.build(image(i), y.from)
		y.roll(app, model.DeploymentSucceeded)
	}
	return y
}

func (y *yard) pushBase() {
	y.t.Helper()
	img, err := random.Image(1<<10, 1)
	if err != nil {
		y.t.Fatal(err)
	}
	y.write("dinp/base/static:latest", img)
}

// build does the next build of the queue, as a builder does.
func (y *yard) build(made, base string) { y.builds(base, func(string) string { return made }, 1) }

// builds does the next builds of the queue, whose images are named by app.
func (y *yard) builds(base string, made func(app string) string, n int) {
	y.t.Helper()
	for range n {
		b := y.claim()
		y.end(b, made(b.AppName), base)
	}
}

func (y *yard) end(b model.Build, made, base string) {
	y.t.Helper()
	o := store.BuildOutcome{Status: model.BuildSucceeded, Image: made, Runtime: "static", Now: time.Now(), Report: model.BuildReport{Base: "dinp/base/static", BaseDigest: base}}
	if err := y.store.FinishBuild(y.t.Context(), b.ID, "b1", o); err != nil {
		y.t.Fatal(err)
	}
}

// roll settles the rollout of the release that an app wants.
func (y *yard) roll(app string, status model.DeploymentStatus) {
	y.t.Helper()
	a, err := y.store.App(y.t.Context(), app)
	if err != nil {
		y.t.Fatal(err)
	}
	r, err := y.store.ReleaseByID(y.t.Context(), a.ReleaseID)
	if err != nil {
		y.t.Fatal(err)
	}
	y.settle(r, status, nil)
}

// until waits for what the rebase says of its apps.
func (y *yard) until(id, want string) api.Rebase {
	y.t.Helper()
	var r api.Rebase
	testenv.Eventually(y.t, time.Minute, func() error {
		r = do[api.Rebase](y.rig, 200, "GET", "/rebases/"+id, y.admin, nil)
		if got := stepsOf(r); got != want {
			return fmt.Errorf("the rebase is %s, want %s", got, want)
		}
		return nil
	})
	return r
}

func stepsOf(r api.Rebase) string {
	out := r.Status
	for _, a := range r.Apps {
		out += " " + a.App + ":" + a.Step
	}
	return out
}

func TestRebase_RollsInBatchesAndKeepsAllButTheImage(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		y := newYard(t, url, "a", "b", "c")
		ask := api.NewRebase{Runtime: "static", Batch: 2}
		if r := do[api.Rebase](y.rig, 200, "POST", "/rebases", y.admin, ask); stepsOf(r) != "done a:unchanged b:unchanged c:unchanged" {
			t.Errorf("on the newest base: %s", stepsOf(r))
		}
		y.pushBase()
		dry := ask
		dry.DryRun = true
		plan := do[api.Rebase](y.rig, 200, "POST", "/rebases", y.admin, dry)
		if stepsOf(plan) != " a:waiting b:waiting c:waiting" || plan.Apps[0].From != y.from || plan.Apps[0].To == y.from || plan.Apps[0].To == "" {
			t.Errorf("planned %s: %+v", stepsOf(plan), plan.Apps)
		}
		r := do[api.Rebase](y.rig, 202, "POST", "/rebases", y.admin, ask)
		again := do[api.Rebase](y.rig, 202, "POST", "/rebases", y.admin, ask)
		if again.ID != r.ID {
			t.Errorf("asked twice: %s and %s", r.ID, again.ID)
		}
		y.until(r.ID, "running a:building b:building c:waiting")
		made := map[string]string{"a": image(10), "b": image(1)} // b's is the same: nothing to change
		y.builds(plan.Apps[0].To, func(app string) string { return made[app] }, 2)
		y.until(r.ID, "running a:rolling b:unchanged c:building")
		y.build(image(12), plan.Apps[0].To)
		y.roll("a", model.DeploymentSucceeded)
		y.until(r.ID, "running a:done b:unchanged c:rolling")
		y.roll("c", model.DeploymentSucceeded)
		y.until(r.ID, "done a:done b:unchanged c:done")

		app, err := y.store.App(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		now, err := y.store.ReleaseByID(t.Context(), app.ReleaseID)
		if err != nil || now.Number != 2 || now.Cause != model.CauseRebase || now.Spec.Image != image(10) || now.Spec.Env["A"] != "a" || now.Spec.Artifact != shaOf(zipNo(0)) {
			t.Errorf("release %+v, %v", now, err)
		}
	})
}

func TestRebase_StopsAtTheFirstRegressionAndGoesOnWithWhatIsLeft(t *testing.T) {
	t.Parallel()
	y := newYard(t, storetest.SQLite(t), "a", "b", "c")
	y.pushBase()
	to, err := y.baseNow(t.Context(), "dinp/base/static")
	if err != nil {
		t.Fatal(err)
	}
	ask := api.NewRebase{Runtime: "static", Batch: 1}
	r := do[api.Rebase](y.rig, 202, "POST", "/rebases", y.admin, ask)
	y.until(r.ID, "running a:building b:waiting c:waiting")
	y.build(image(10), to)
	y.roll("a", model.DeploymentSucceeded)
	y.until(r.ID, "running a:done b:building c:waiting")
	y.build(image(11), to)
	y.roll("b", model.DeploymentFailed)
	stopped := y.until(r.ID, "stopped a:done b:failed c:waiting")
	if stopped.Error == nil || stopped.Error.Code != model.CodeRebase {
		t.Errorf("error %+v", stopped.Error)
	}
	do[api.Release](y.rig, 202, "POST", "/apps/b/rollback", y.admin, api.Rollback{Version: "v1"}) // the old image again
	y.roll("b", model.DeploymentSucceeded)
	r = do[api.Rebase](y.rig, 202, "POST", "/rebases", y.admin, ask)
	y.until(r.ID, "running b:building c:waiting")
	stop := do[api.Rebase](y.rig, 200, "POST", "/rebases/"+r.ID+"/stop", y.admin, nil)
	if stop.Status != "stopped" {
		t.Errorf("stopped by a person: %s", stepsOf(stop))
	}
}

// Whoever carries a rebase on may die at any moment: another dash goes on where it stopped, and begins nothing twice.
func TestRebase_AnotherDashGoesOnAfterADeath(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		y := newYard(t, url, "a", "b")
		y.pushBase()
		to, err := y.baseNow(t.Context(), "dinp/base/static")
		if err != nil {
			t.Fatal(err)
		}
		r := do[api.Rebase](y.rig, 202, "POST", "/rebases", y.admin, api.NewRebase{Runtime: "static", Batch: 1})
		y.until(r.ID, "running a:building b:waiting")
		if err := y.stop(); err != nil {
			t.Fatal(err)
		}
		// One that died has given nothing back: its right lasts for a while.
		if mine, err := y.store.DriveRebase(t.Context(), r.ID, "dead", time.Now().Add(2*time.Second)); err != nil || !mine {
			t.Fatalf("the right to go on: %v, %v", mine, err)
		}
		y.build(image(10), to)
		y.roll("a", model.DeploymentSucceeded)
		y.rig.another()
		y.until(r.ID, "running a:done b:building")
		y.build(image(11), to)
		y.roll("b", model.DeploymentSucceeded)
		y.until(r.ID, "done a:done b:done")
		list := do[api.Page[api.Rebase]](y.rig, 200, "GET", "/rebases", y.admin, nil)
		if len(list.Items) != 1 || stepsOf(list.Items[0]) != "done a:done b:done" {
			t.Errorf("rebases %+v", list.Items)
		}
		builds := do[api.Page[api.Build]](y.rig, 200, "GET", "/builds", y.admin, nil)
		if len(builds.Items) != 4 {
			t.Errorf("%d builds, want 2 of deploys and 2 of the rebase", len(builds.Items))
		}
	})
}

func TestRebase_AStoppedDashHandsItOverAtOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t, storetest.SQLite(t), "a")
	y.pushBase()
	r := do[api.Rebase](y.rig, 202, "POST", "/rebases", y.admin, api.NewRebase{Runtime: "static"})
	y.until(r.ID, "running a:building")
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	if mine, err := y.store.DriveRebase(t.Context(), r.ID, "next", time.Now().Add(time.Second)); err != nil || !mine {
		t.Errorf("the right to go on: %v, %v", mine, err)
	}
}

func TestRebases_ListShowsOthersOnlyWhatIsTheirs(t *testing.T) {
	t.Parallel()
	y := newYard(t, storetest.SQLite(t), "a", "b")
	for range 3 {
		y.pushBase()
		r := do[api.Rebase](y.rig, 202, "POST", "/rebases", y.admin, api.NewRebase{Runtime: "static", App: "a"})
		do[api.Rebase](y.rig, 200, "POST", "/rebases/"+r.ID+"/stop", y.admin, nil)
	}
	first := do[api.Page[api.Rebase]](y.rig, 200, "GET", "/rebases?limit=2", y.admin, nil)
	rest := do[api.Page[api.Rebase]](y.rig, 200, "GET", "/rebases?limit=2&before="+first.Next, y.admin, nil)
	if len(first.Items) != 2 || len(rest.Items) != 1 || rest.Next != "" || first.Items[1].CreatedAt.Before(rest.Items[0].CreatedAt) {
		t.Errorf("pages %+v and %+v", first, rest)
	}
	y.member("", "stranger", model.Member, "")
	token, err := y.IssueToken(t.Context(), "stranger", "test")
	if err != nil {
		t.Fatal(err)
	}
	if got := do[api.Page[api.Rebase]](y.rig, 200, "GET", "/rebases", token, nil); len(got.Items) != 0 {
		t.Errorf("a stranger sees %+v", got.Items)
	}
	y.refused(model.CodeNotFound, "GET", "/rebases/"+first.Items[0].ID, token, nil)
}

func TestRebase_ADeployMeanwhileWins(t *testing.T) {
	t.Parallel()
	y := newYard(t, storetest.SQLite(t), "a")
	y.pushBase()
	r := do[api.Rebase](y.rig, 202, "POST", "/rebases", y.admin, api.NewRebase{Runtime: "static", App: "a"})
	y.until(r.ID, "running a:building")
	rebuild := y.claim()
	do[api.Deploy](y.rig, 202, "POST", "/apps/a/releases", y.admin, api.NewRelease{Artifact: y.upload(zipNo(7)), Filename: "a.zip"})
	y.build(image(7), y.from)
	y.end(rebuild, image(10), y.from)
	y.until(r.ID, "done a:unchanged")
	app, err := y.store.App(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if now, err := y.store.ReleaseByID(t.Context(), app.ReleaseID); err != nil || now.Spec.Image != image(7) {
		t.Errorf("release %+v, %v", now, err)
	}
}

func TestRebase_Refusals(t *testing.T) {
	t.Parallel()
	y := newYard(t, storetest.SQLite(t), "a")
	y.refused(model.CodeBadRuntime, "POST", "/rebases", y.admin, api.NewRebase{Runtime: "image"})
	y.refused(model.CodeBadRuntime, "POST", "/rebases", y.admin, api.NewRebase{Runtime: "tomcat", App: "a"})
	y.refused(model.CodeBadRequest, "POST", "/rebases", y.admin, api.NewRebase{Runtime: "static", Batch: 99})
	y.refused(model.CodeDenied, "POST", "/rebases", y.user("vera", model.Viewer), api.NewRebase{Runtime: "static"})
	y.refused(model.CodeNotFound, "GET", "/rebases/nowhere", y.admin, nil)
}
