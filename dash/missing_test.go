package dash

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
	"github.com/dinp/dinp/sql/store/storetest"
)

// cutUp is a file as a client that cuts it announces it.
func cutUp(content []byte) api.NewUpload {
	c := parts.NewCutter()
	_, _ = c.Write(content)
	cut, sha := c.Finish()
	out := api.NewUpload{Filename: "shop.war", SHA256: sha}
	for _, p := range cut {
		out.Parts = append(out.Parts, api.Part{SHA256: p.SHA256, Size: p.Size})
	}
	return out
}

// missingOf are the bytes that a plan asks for.
func missingOf(content []byte, in api.NewUpload, plan api.PlannedUpload) []byte {
	var out []byte
	at := int64(0)
	for i, p := range in.Parts {
		if slices.Contains(plan.Missing, i) {
			out = append(out, content[at:at+p.Size]...)
		}
		at += p.Size
	}
	return out
}

// deployed lets an app have a build of a file.
func (r *rig) deployed(app, token string, content []byte) string {
	r.t.Helper()
	d := do[api.Deploy](r, 202, "PUT", "/apps/"+app+"/deploy?filename=shop.war", token, bytes.NewReader(content))
	return d.Build.Artifact
}

// outsider is a user who deploys for a team of their own.
func (r *rig) outsider() string {
	r.t.Helper()
	team, err := r.store.CreateTeam(r.t.Context(), "others", platform)
	if err != nil {
		r.t.Fatal(err)
	}
	r.member(team.ID, "olga", model.Member, model.Owner)
	token, err := r.IssueToken(r.t.Context(), "olga", "test")
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

func TestPlan_AChangedFileIsSentAsWhatIsNew(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url, withRegistry(t))
		r.deployed("shop", r.admin, large(""))
		changed := large("a line more")
		in := cutUp(changed)
		plan := do[api.PlannedUpload](r, 200, "POST", "/apps/shop/uploads", r.admin, in)
		send := missingOf(changed, in, plan)
		if len(send) == 0 || len(send) > 5<<20 {
			t.Fatalf("%d bytes of %d are to be sent: %+v", len(send), len(changed), plan)
		}
		r.breakOff(plan.Upload, 0, send[:100_000], len(send))
		_, _, h := r.call("HEAD", plan.Upload, r.admin, nil)
		offset, err := strconv.Atoi(h.Get("Upload-Offset"))
		if err != nil || offset > 100_000 {
			t.Fatalf("offset %d, %v", offset, err)
		}
		if status, text, h := r.patch(plan.Upload, offset, bytes.NewReader(send[offset:])); status != 204 || h.Get("Dinp-Artifact") != in.SHA256 {
			t.Fatalf("PATCH: %d %v %s", status, h, text)
		}
		r.refused(model.CodeNotFound, "GET", "/artifacts/"+in.SHA256, r.admin, nil) // nobody has summed it up yet
		d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, api.NewRelease{Artifact: in.SHA256, Filename: "shop.war"})
		b, err := r.store.Build(t.Context(), d.Build.ID)
		if err != nil || b.Artifact != "" || b.Origin.SHA256 != in.SHA256 || b.Size != int64(len(changed)) {
			t.Fatalf("build %+v, %v", b, err)
		}
		if !bytes.Equal(stored(t, r.cfg.Registry, model.PromisedArtifact(in.SHA256, b.Origin.Sender)), changed) {
			t.Error("the registry has other bytes")
		}
	})
}

// A promise whose parts make something else is broken by the builder. Until it has looked, nobody can do anything with it
// but its sender, who gets no right to the true file of that digest; and those who have that file use it as ever.
func TestPlan_WhoPromisesAnotherFilesDigestGainsNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url, withRegistry(t))
		dora, olga := r.user("dora", model.Deployer), r.outsider()
		r.deployed("shop", r.admin, large(""))
		victims := zipNo(9)
		in := cutUp(large("a line more"))
		in.SHA256 = shaOf(victims)
		plan := do[api.PlannedUpload](r, 200, "POST", "/apps/shop/uploads", dora, in)
		promise := func() {
			t.Helper()
			if status, text, _ := r.call("PATCH", plan.Upload, dora, bytes.NewReader(missingOf(large("a line more"), in, plan)), "Content-Type", offsetStream, "Upload-Offset", "0"); status != 204 {
				t.Fatal(status, text)
			}
		}
		promise()
		release := api.NewRelease{Artifact: in.SHA256, Filename: "a.zip"}
		d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", dora, release)
		for who, token := range map[string]string{"the sender": dora, "another team": olga, "an admin": r.admin} {
			if status, _, _ := r.call("HEAD", "/artifacts/"+in.SHA256, token, nil); status != 404 {
				t.Errorf("%s has the artifact: %d", who, status)
			}
		}
		r.refused(model.CodeNotFound, "POST", "/apps/shop/releases", r.admin, release)
		r.refused(model.CodeNotFound, "POST", "/apps/theirs/releases", olga, release)

		theirs := do[api.Deploy](r, 202, "PUT", "/apps/theirs/deploy?filename=a.zip", olga, bytes.NewReader(victims))
		if theirs.Build.Artifact != in.SHA256 || !bytes.Equal(stored(t, r.cfg.Registry, in.SHA256), victims) {
			t.Errorf("the true file is not what is built: %+v", theirs.Build)
		}
		if status, _, _ := r.call("HEAD", "/artifacts/"+in.SHA256, dora, nil); status != 404 {
			t.Errorf("a promise got its sender the true file: %d", status)
		}
		b, err := r.store.Build(t.Context(), d.Build.ID)
		if err != nil {
			t.Fatal(err)
		}
		name := model.PromisedArtifact(in.SHA256, b.Origin.Sender)
		r.refused(model.CodeNotFound, "POST", "/apps/shop/releases", dora, api.NewRelease{Artifact: name, Filename: "a.zip"})
	})
}

func TestPlan_AfterABrokenPromiseTheWholeIsSent(t *testing.T) {
	t.Parallel()
	r, _, in, plan, send := planned(t, func(*api.NewUpload) {})
	r.finish(r.claim(), nil)
	if status, text, _ := r.patch(plan.Upload, 0, bytes.NewReader(send)); status != 204 {
		t.Fatal(status, text)
	}
	do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, api.NewRelease{Artifact: in.SHA256, Filename: "shop.war"})
	if again := do[api.PlannedUpload](r, 200, "POST", "/apps/shop/uploads", r.admin, in); again.Upload == "" {
		t.Error("nothing was found while the build waits")
	}
	r.finish(r.claim(), model.E(model.CodeBadArtifact, "the parts make something else"))
	if again := do[api.PlannedUpload](r, 200, "POST", "/apps/shop/uploads", r.admin, in); again.Upload != "" {
		t.Errorf("parts are asked for again: %+v", again)
	}
}

// Without anything to spare the file goes as a whole; that is no answer to whether somebody has it.
func TestPlan_OnlyTheAppsOwnArtifactsCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t))
	olga := r.outsider()
	r.deployed("shop", r.admin, large(""))
	r.deployed("theirs", olga, zipNo(1))
	in := cutUp(large("a line more"))
	for _, app := range []string{"theirs", "new"} {
		if plan := do[api.PlannedUpload](r, 200, "POST", "/apps/"+app+"/uploads", olga, in); plan.Upload != "" || len(plan.Missing) != 0 {
			t.Errorf("another team's parts were found for %s: %+v", app, plan)
		}
	}
	r.refused(model.CodeAppTaken, "POST", "/apps/shop/uploads", olga, in)
	r.refused(model.CodeDenied, "POST", "/apps/shop/uploads", r.user("vera", model.Viewer), in)
}

func TestPlan_Refusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), withRegistry(t), func(c *Config) { c.MaxUploadMiB = 8 })
	good := cutUp(large(""))
	for name, change := range map[string]func(*api.NewUpload){
		"no digest":           func(u *api.NewUpload) { u.SHA256 = "" },
		"a part's digest":     func(u *api.NewUpload) { u.Parts[0].SHA256 = "../../etc/passwd" },
		"a small part amidst": func(u *api.NewUpload) { u.Parts[0].Size = parts.Min - 1 },
		"a part of nothing":   func(u *api.NewUpload) { u.Parts[len(u.Parts)-1].Size = 0 },
		"a part below zero":   func(u *api.NewUpload) { u.Parts[0].Size = -1 << 62 },
		"a part too large":    func(u *api.NewUpload) { u.Parts[0].Size = parts.Max + 1 },
	} {
		bad := good
		bad.Parts = slices.Clone(good.Parts)
		change(&bad)
		t.Log(name)
		r.refused(model.CodeBadRequest, "POST", "/apps/shop/uploads", r.admin, bad)
	}
	huge := good
	for range 3 {
		huge.Parts = append(huge.Parts, api.Part{SHA256: good.SHA256, Size: parts.Max})
	}
	huge.Parts = slices.DeleteFunc(huge.Parts, func(p api.Part) bool { return p.Size < parts.Min })
	r.refused(model.CodeTooLarge, "POST", "/apps/shop/uploads", r.admin, huge)
	if plan := do[api.PlannedUpload](r, 200, "POST", "/apps/shop/uploads", r.admin, api.NewUpload{SHA256: good.SHA256}); plan.Upload != "" {
		t.Errorf("a file of no parts: %+v", plan)
	}
}

// planned is an upload of a changed file for an app that has an earlier one.
func planned(t *testing.T, change func(*api.NewUpload)) (r *rig, base string, in api.NewUpload, plan api.PlannedUpload, send []byte) {
	r = newRig(t, storetest.SQLite(t), withRegistry(t))
	base = r.deployed("shop", r.admin, large(""))
	changed := large("a line more")
	in = cutUp(changed)
	change(&in)
	plan = do[api.PlannedUpload](r, 200, "POST", "/apps/shop/uploads", r.admin, in)
	if plan.Upload == "" {
		t.Fatal("nothing was found")
	}
	return r, base, in, plan, missingOf(changed, in, plan)
}

// refusedAtItsEnd sends all that is missing and wants it refused, with nothing left of it.
func (r *rig) refusedAtItsEnd(plan api.PlannedUpload, send []byte, sha, why string) {
	r.t.Helper()
	status, text, _ := r.patch(plan.Upload, 0, bytes.NewReader(send))
	if status != 400 || !strings.Contains(text, why) || !strings.Contains(text, "as a whole") {
		r.t.Errorf("got %d %s, want a refusal with %q", status, text, why)
	}
	if status, _, _ := r.call("HEAD", plan.Upload, r.admin, nil); status != 404 {
		r.t.Errorf("the upload is still there: %d", status)
	}
	if _, err := r.artifacts.size(r.t.Context(), sha); !model.IsKind(err, model.NotFound) {
		r.t.Errorf("an artifact was stored all the same: %v", err)
	}
}

func TestPlan_APartThatIsNotWhatWasSaidIsRefused(t *testing.T) {
	t.Parallel()
	r, _, in, plan, send := planned(t, func(*api.NewUpload) {})
	send[len(send)/2]++
	r.refusedAtItsEnd(plan, send, in.SHA256, "a part that was sent has the sha256")
}

func TestPlan_APartThatIsCollectedMeanwhileIsNoticed(t *testing.T) {
	t.Parallel()
	r, base, in, plan, send := planned(t, func(*api.NewUpload) {})
	image, err := r.artifacts.resolve(t.Context(), model.ArtifactRepository, model.ArtifactTag(base))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.artifacts.removeAll(t.Context(), []string{image}, time.Now().Add(time.Minute)); n != 1 || err != nil {
		t.Fatalf("%d removed, %v", n, err)
	}
	r.refusedAtItsEnd(plan, send, in.SHA256, "not here any more")
}

// A promise that nobody needs goes like an artifact that nobody needs, and takes nothing with it that is an artifact's.
func TestPlan_APromiseIsCollectedAndTheArtifactsStay(t *testing.T) {
	t.Parallel()
	r, base, in, plan, send := planned(t, func(*api.NewUpload) {})
	if status, text, _ := r.patch(plan.Upload, 0, bytes.NewReader(send)); status != 204 {
		t.Fatal(status, text)
	}
	d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, api.NewRelease{Artifact: in.SHA256, Filename: "shop.war"})
	b, err := r.store.Build(t.Context(), d.Build.ID)
	if err != nil {
		t.Fatal(err)
	}
	name := model.PromisedArtifact(in.SHA256, b.Origin.Sender)
	collected := func() []string {
		t.Helper()
		out, err := r.collect(t.Context(), platform, false)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, item := range out.Items {
			names = append(names, item.Name)
		}
		return names
	}
	if gone := collected(); len(gone) != 0 {
		t.Errorf("on its first day went %q", gone)
	}
	r.rules.Recent = time.Nanosecond
	if gone := collected(); !slices.Equal(gone, []string{name}) {
		t.Errorf("%q went, want %s", gone, name)
	}
	if !bytes.Equal(stored(t, r.cfg.Registry, base), large("")) {
		t.Error("the artifact that it had parts of is not what it was")
	}
}

// A digest stands in logs and statements: knowing one must not hand out the file.
func TestArtifact_IsForThoseWhoSentItOrDeployWhatWasMadeOfIt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url, withRegistry(t))
		olga, dora, vera := r.outsider(), r.user("dora", model.Deployer), r.user("vera", model.Viewer)
		body := zipNo(7)
		has := func(token string) int {
			status, _, _ := r.call("HEAD", "/artifacts/"+shaOf(body), token, nil)
			return status
		}
		r.deployed("shop", r.admin, body)
		if has(dora) != 200 || has(olga) != 404 || has(vera) != 403 {
			t.Errorf("the team's deployer gets %d, another team %d, a viewer %d", has(dora), has(olga), has(vera))
		}
		byDigest := api.NewRelease{Artifact: shaOf(body), Filename: "a.zip"}
		r.refused(model.CodeNotFound, "POST", "/apps/theirs/releases", olga, byDigest)
		d := do[api.Deploy](r, 202, "PUT", "/apps/theirs/deploy?filename=a.zip&sha256="+shaOf(body), olga, bytes.NewReader(body))
		if d.Build.Artifact != shaOf(body) || has(olga) != 200 {
			t.Errorf("who sent it does not have it: %+v", d.Build)
		}
		// What was sent and not deployed yet is for the sender's teams.
		body = zipNo(8)
		at := r.beginUpload(dora, len(body), metadata("filename", "a.zip"))
		if status, text, _ := r.call("PATCH", at, dora, bytes.NewReader(body), "Content-Type", offsetStream, "Upload-Offset", "0"); status != 204 {
			t.Fatal(status, text)
		}
		if second := r.user("dan", model.Deployer); has(dora) != 200 || has(second) != 200 || has(olga) != 404 {
			t.Errorf("the sender gets %d, her team %d, another %d", has(dora), has(second), has(olga))
		}
	})
}
