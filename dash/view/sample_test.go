package view

import (
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

const hostile = `<script>alert("x")</script>`

// at is some minutes before now: pages say how long ago things were.
func at(minutes int) time.Time { return time.Now().Add(-time.Duration(minutes) * time.Minute) }

func sampleError() *model.Error {
	return model.E(model.CodeNotReady, "release v4 was not ready after 5m0s: 1 of 2 instances answered").
		WithEvidence("GET / → connection refused", "java.lang.IllegalStateException: no database "+hostile).
		WithStill("v3 keeps serving 2 of 2").WithNext("dinp logs shop")
}

func sampleApp() api.App {
	return api.App{
		Name: "shop", URL: "http://shop.apps.localhost:8080/", Team: "default", Release: "v3", Serving: "v3", Instances: 2, Ready: 2, Generation: 7,
		State: "v3 serves with 2 of 2 instances", Domains: []string{"www.example.com"}, Runtime: "tomcat", MemoryMiB: 512, CPUMilli: 500, Port: 8080,
		Health: "/healthz", EnvNames: []string{"DATABASE_URL"}, CreatedAt: at(4000), UpdatedAt: at(12),
		Deployment: &api.Deployment{Release: "v3", From: "v2", Status: "succeeded", StartedAt: at(13), EndedAt: at(12)},
	}
}

func sampleInstances() api.Instances {
	return api.Instances{
		State: "2 of 2 ready",
		Items: []api.Instance{
			{ID: "1f0c", Slot: 0, Role: "primary", Release: "v3", Node: "node-1", Phase: "running", Ready: true, Routed: true, Addr: "10.0.0.5:32768", Verdict: "GET /healthz → 200 in 3ms", CreatedAt: at(13)},
			{ID: "2f0c", Slot: 1, Role: "surge", Release: "v4", Node: "node-2", Phase: "pulling", CreatedAt: at(0)},
			{ID: "3f0c", Slot: 1, Role: "primary", Release: "v3", Node: "node-2", Phase: "draining", Stopping: true, Reason: "replaced by a newer release", CreatedAt: at(90)},
		},
		Pending: []api.Pending{{Slot: 2, Code: "D140", Message: "0 of 4 nodes fit: 3 lack memory, 1 draining"}},
	}
}

func sampleExplain() api.Explain {
	return api.Explain{App: "shop", State: "v3 serves on 2 of 3", Next: "dinp node n2 uncordon", Steps: []api.ExplainStep{
		{Step: "desired", OK: true, Text: "3 × v3 wanted", At: at(13)},
		{Step: "placed", Slot: 2, Why: "no-room", Text: "0 of 4 nodes fit 512 MiB", At: at(2), Code: "D140", Evidence: []string{"n2 is cordoned " + hostile}, Next: "dinp node n2 uncordon",
			Constraints: []api.Constraint{{Why: "short of memory", Nodes: 3, Only: 3}}, Misses: []api.Miss{{Node: "n2", Text: "n2 is cordoned"}}},
	}}
}

func sampleBuild(status string) *api.Build {
	return &api.Build{
		ID: "b6c1d2e3-0000", App: "shop", Filename: "shop-1.4.war", Size: 12_345_678, Runtime: "tomcat", Status: status, Step: "push",
		Artifact: "9f86d081884c7d65", Image: "dinp/apps/shop@sha256:aa", CreatedBy: "alice", CreatedAt: at(3), StartedAt: at(3),
	}
}

// sampleBuilt is a build that has ended, with all that its builder told.
func sampleBuilt() api.Build {
	b := *sampleBuild("succeeded")
	b.URL, b.From, b.Job, b.Attempts, b.EndedAt = "https://ci.example.org/shop.war", "10.0.0.9", "build/77", 2, at(2)
	b.Report = &model.BuildReport{
		Phases: []model.BuildPhase{{Name: "fetch", Took: model.Duration(1500 * time.Millisecond)}, {Name: "push", Took: model.Duration(20 * time.Millisecond)}},
		Base:   "dinp/base/tomcat", BaseDigest: "sha256:bb", Reused: "c7d2e3f4-0000", Components: 42, Layers: 2, LayersReused: 1, BytesPushed: 2_100_000,
		LayerList: []model.BuildLayer{{Name: "libraries", Bytes: 40_000_000, Reused: true}, {Name: "application", Bytes: 2_000_000}},
		Findings:  []model.Finding{{Check: "servlet", Message: "it is written for Java EE", Fix: "move to jakarta"}, {Error: true, Check: "secret", Message: "a private key " + hostile}},
		Warnings:  []string{"the bill of materials is incomplete " + hostile},
	}
	return b
}

func sampleRebase(status string) api.Rebase {
	return api.Rebase{ID: "r1", Runtime: "tomcat", Batch: 2, Status: status, By: "alice", CreatedAt: at(9), EndedAt: at(2),
		Error: &model.Error{Code: "D193", Message: "app shop did not come up", Evidence: []string{hostile}, Still: "shop keeps serving on the old base"},
		Apps:  []api.RebaseApp{{App: "blog", Step: "done", Build: "b6c1d2e3-0000"}, {App: "shop", Step: "failed", Note: "D142 " + hostile}, {App: "wiki", Step: "waiting"}, {App: "new", Step: "later"}}}
}

func sampleLog() []api.LogLine {
	return []api.LogLine{{Seq: 1, At: at(3), Text: "unpack shop-1.4.war: 812 files, 31 MB"}, {Seq: 2, At: at(3), Text: "runtime tomcat " + hostile, Release: "v3", Stderr: true}}
}

func sampleFrame(tab string) App {
	everything := Can{Deploy: true, Env: true, Scale: true, Configure: true, Domain: true, Delete: true}
	return App{App: sampleApp(), Tab: tab, Can: everything, Instances: sampleInstances(), Explain: sampleExplain(), Traffic: sampleTraffic(), Generation: 7}
}

func sampleTraffic() *api.Traffic {
	r := api.Rates{Requests: 1200, Failed: 3, PerSecond: 20, AtOnce: .4, P50: 12.5, P95: 40, P99: 12_000}
	return &api.Traffic{App: "shop", OverSeconds: 60, Rates: r, Releases: []api.ReleaseTraffic{{Release: 4, Rates: r}, {Release: 0, Rates: r}},
		Minutes: []api.MinuteTraffic{{At: at(59), Requests: 10, P99: 5}, {At: at(3), Requests: 40, Failed: 2, P99: 30}}}
}

func with(a App, f func(*App)) App {
	f(&a)
	return a
}

func sampleDrop(app string) *Drop {
	return &Drop{App: app, Suffix: ".apps.localhost:8080", Runtimes: []string{"static", "tomcat"}, Teams: []string{"default", "web"}}
}

func sampleEvents() []api.Event {
	return []api.Event{
		{ID: "2", At: at(12), Actor: "alice", From: "10.1.1.9", Verb: "app.scale", App: "shop", Message: "scaled from 1 to 2", Outcome: "ok"},
		{ID: "1", At: at(99), Actor: "bob", Verb: "denied", App: "shop", Message: "bob was refused to " + hostile, Outcome: "D103"},
	}
}

func sampleReleases() []api.Release {
	r := func(v, cause, note string, wanted, serving bool, d *api.Deployment) api.Release {
		return api.Release{Version: v, Cause: cause, Note: note, Runtime: "tomcat", MemoryMiB: 512, EnvNames: []string{"A"}, Build: "b6c1", CreatedBy: "alice", CreatedAt: at(200), Wanted: wanted, Serving: serving, Deployment: d}
	}
	return []api.Release{
		r("v4", "deploy", "new checkout "+hostile, true, false, &api.Deployment{Status: "failed", Error: sampleError()}),
		r("v3", "env", "", false, true, &api.Deployment{Status: "succeeded"}), r("v2", "deploy", "", false, false, &api.Deployment{Status: "superseded"}),
		r("v1", "deploy", "first", false, false, nil),
	}
}

func sampleNodes() Nodes {
	return Nodes{WhatIf: &api.WhatIf{
		Text: "draining node-1: 1 would be placed", Moves: []api.Move{{App: "shop", Slot: 1, Release: "v3", From: "node-1", To: "node-2"}}, Moved: 1, LeftOut: 1, Interrupted: []string{"cron"},
		Misfits: []api.Misfit{{App: "blog", Slot: 2, Code: "D140", Message: "0 of 2 nodes fit " + hostile}}, Notes: []string{"the breaker would hold"},
	}, Nodes: api.Nodes{
		Survival: &api.Survival{Text: "survives the loss of any one node: no", Because: []string{"losing node-1: 3 of 6 instances would find no room"}, Complete: true, At: at(1)},
		SafeMode: "node node-1 has orders of today, but the database ends yesterday " + hostile,
		Leader:   "server-1", Epoch: 1_790_000_000_000,
		Items: []api.Node{
			{ID: "n1", Name: "node-1", Address: "10.0.0.5", Zone: "a", Status: "ready", Availability: "active", MemoryMiB: 8192, MemoryReservedMiB: 3072, CPUMilli: 4000, CPUReservedMilli: 1500, Instances: 6, HeardAt: at(0), Docker: "29.1"},
			{ID: "n2", Name: "node-2", Address: "10.0.0.6", Status: "docker-down", Availability: "draining", MemoryMiB: 8192, MemoryReservedMiB: 8000, CPUMilli: 4000, Message: "the Docker engine does not answer since 12:01"},
		},
		Routers: []api.Router{{ID: "router-1", Addr: "10.0.0.9:8080", Serves: "12.4", Live: true, At: at(0), Requests: 48_211, Errors: 3}, {ID: "router-2", Addr: "10.0.0.10:8080"}},
	}}
}

func samplePeople() People {
	return People{
		CanEdit: true,
		Users:   []api.User{{Name: "admin", Role: "admin", CreatedAt: at(9000)}, {Name: "alice", Role: "member", Teams: map[string]string{"default": "owner", "web": "viewer"}, CreatedAt: at(600)}},
		Teams:   []api.Team{{Name: "default", Members: map[string]string{"alice": "owner"}}, {Name: "web", Members: map[string]string{}}},
		Roles:   []model.TeamRole{model.Viewer, model.Deployer, model.Operator, model.Owner},
	}
}

// sample is one page with data, and words that must be on it.
type sample struct {
	page string
	data any
	want []string
}

func samples() map[string]sample {
	failed := api.Deploy{App: "shop", URL: sampleApp().URL, Build: sampleBuild("succeeded"), Release: "v4", Done: true, Error: sampleError(), Instances: sampleInstances().Items}
	building := api.Deploy{App: "shop", Build: sampleBuild("running"), State: "building shop-1.4.war"}
	live := api.Deploy{App: "shop", URL: sampleApp().URL, Build: sampleBuild("succeeded"), Release: "v3", Done: true, OK: true, State: "v3 serves", Instances: sampleInstances().Items}
	return map[string]sample{
		"login":         {"login", Login{Next: "/apps/shop", User: "alice"}, []string{`name="password"`, `value="/apps/shop"`, `value="alice"`}},
		"apps":          {"apps", Apps{Apps: []api.App{sampleApp()}, Next: "shop", Drop: sampleDrop("")}, []string{"shop", "v3 serves with 2 of 2", "tomcat", `id="deploy-form"`, ".apps.localhost:8080"}},
		"apps-empty":    {"apps", Apps{}, []string{"class=\"empty\""}},
		"deploy-build":  {"deploy", Deploying{Deploy: building, Log: sampleLog(), CanCancel: true}, []string{"building shop-1.4.war", "812 files", "step busy", "12.3 MB"}},
		"deploy-live":   {"deploy", Deploying{Deploy: live}, []string{`id="url" href="http://shop.apps.localhost:8080/"`}},
		"deploy-failed": {"deploy", Deploying{Deploy: failed}, []string{"D142", "v3 keeps serving 2 of 2", "connection refused", "dinp logs shop", "step bad"}},
		"app":           {"app", sampleFrame(""), []string{"v3 serves with 2 of 2", "node-1", "GET /healthz", "3 lack memory", "D140", "512 MiB"}},
		"app-steps": {"app", with(sampleFrame(""), func(a *App) {
			a.App.Deployment = &api.Deployment{Release: "v4", From: "v3", Status: "running", Strategy: "canary", Step: 2, Steps: 3, Share: 25, StepAt: at(2), Judgement: "at 10 % of the requests, v4: " + hostile, Held: true}
		}), []string{`max="3" value="2"`, "at 10 % of the requests", "/promote", `name="version" value="v3"`}},
		"app-failed":     {"app", with(sampleFrame(""), func(a *App) { a.App.Deployment.Status, a.App.Deployment.Error = "failed", sampleError() }), []string{"D142", "v3 keeps serving"}},
		"app-new":        {"app", App{App: api.App{Name: "shop", State: "no release yet"}, Can: Can{Deploy: true}}, []string{"no release yet", "/apps/shop/deploy"}},
		"app-deploy":     {"app_deploy", with(sampleFrame("deploy"), func(a *App) { a.Drop = sampleDrop("shop") }), []string{`name="existing"`, `value="shop"`}},
		"app-releases":   {"app_releases", with(sampleFrame("releases"), func(a *App) { a.Releases, a.Next = sampleReleases(), "1" }), []string{"v4", "v1", `name="version" value="v2"`}},
		"app-env-hidden": {"app_env", with(sampleFrame("env"), func(a *App) { a.Rows, a.New = []EnvRow{{Name: "DATABASE_URL"}}, []EnvRow{{}} }), []string{"DATABASE_URL", "••••", `name="generation" value="7"`}},
		"app-env-shown":  {"app_env", with(sampleFrame("env"), func(a *App) { a.Shown, a.Rows = true, []EnvRow{{"DATABASE_URL", "mysql://" + hostile}} }), []string{"mysql://"}},
		"app-domains":    {"app_domains", with(sampleFrame("domains"), func(a *App) { a.Domains, a.Host = []api.Domain{{Host: "www.example.com"}}, hostile }), []string{"www.example.com"}},
		"app-logs":       {"app_logs", with(sampleFrame("logs"), func(a *App) { a.Log, a.Instance = sampleLog(), "1f0c" }), []string{"812 files", `value="1f0c" selected`}},
		"app-events":     {"app_events", with(sampleFrame("events"), func(a *App) { a.Events = sampleEvents() }), []string{"scaled from 1 to 2", "D103"}},
		"app-settings":   {"app_settings", with(sampleFrame("settings"), func(a *App) { a.Form = Settings{"512M", "0.5", "8080", "/healthz", ""} }), []string{`value="512M"`, `value="0.5"`}},
		"app-routing": {"app_routing", with(sampleFrame("routing"), func(a *App) {
			a.Routing = NewRouting(func(name string) string {
				return map[string]string{"policy": "hash", "compress": "on", "rate": "100:500", "redirects": hostile}[name]
			}, "ann")
		}), []string{`value="100:500"`, "<option selected>hash</option>", `value="on" checked`, `value="ann"`}},
		"builds":          {"builds", Builds{Builds: []api.Build{*sampleBuild("failed"), *sampleBuild("queued")}}, []string{"shop-1.4.war", "/builds/b6c1d2e3-0000"}},
		"built":           {"build", Build{Build: sampleBuilt(), Log: sampleLog()}, []string{"fetch 1.5s · push 20ms", "2.1 MB", "40.0 MB · ", "move to jakarta", "dinp/base/tomcat@sha256:bb", "/builds/c7d2e3f4-0000", "/builds/b6c1d2e3-0000/sbom", "/verify", "incomplete", "build/77"}},
		"build":           {"build", Build{Build: *sampleBuild("running"), Log: sampleLog(), CanCancel: true}, []string{"sha256:9f86", "812 files", "/cancel"}},
		"rebases":         {"rebases", Rebases{Rebases: []api.Rebase{sampleRebase("stopped"), sampleRebase("running")}, Next: "9", Runtimes: []string{"tomcat"}, Chosen: hostile, Batch: 3, MaxBatch: 50, CanBegin: true}, []string{"/rebases/r1", "?before=9", `value="tomcat"`, `max="50"`}},
		"rebase":          {"rebase", Rebase{Rebase: sampleRebase("stopped"), CanStop: true}, []string{"shop did not come up", "/apps/blog", "/builds/b6c1d2e3-0000", "/rebases/r1/stop"}},
		"nodes":           {"nodes", sampleNodes(), []string{"node-1", "3 GiB", "router-1", "48211", "does not answer", "/nodes/node-1/availability"}},
		"people":          {"people", samplePeople(), []string{"alice", "default", "/people/users"}},
		"tokens":          {"tokens", Tokens{Tokens: []api.Token{{ID: "t1", Name: "ci " + hostile, CreatedAt: at(5)}}, Made: &api.Token{Name: "ci", Secret: "dinp_SECRET"}}, []string{"dinp_SECRET", "/tokens/t1/revoke"}},
		"audit":           {"audit", Audit{Events: sampleEvents(), Next: "1"}, []string{"10.1.1.9", "/apps/shop", "?before=1"}},
		"error":           {"error", sampleError(), []string{"D142", "v3 keeps serving 2 of 2", "dinp logs shop"}},
		"app-maintenance": {"app", with(sampleFrame(""), func(a *App) { a.App.Maintenance, a.App.Paused = true, true }), []string{`value="false"`}},
	}
}
