package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// t0 is the moment at which all that the fake tells happened.
var t0 = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

// fakeDash is a server that answers the API from a few maps. Apps whose deploy
// note is "broken" never become ready.
type fakeDash struct {
	*httptest.Server
	mux *http.ServeMux

	mu        sync.Mutex // guards all below
	apps      map[string]*api.App
	env       map[string]map[string]string
	artifacts map[string][]byte
	uploads   map[string]*fakeUpload
	deploys   map[string]api.Deploy
	requests  []string          // method and path, in order
	keys      map[string]string // Idempotency-Key → method and path
	bodies    map[string]string // method and path → last body

	cutUploads []int // bytes after which the connection of the next PATCHes breaks
	cutStreams int   // how often a deploy's stream breaks before its end
}

type fakeUpload struct {
	name  string
	size  int
	data  []byte
	parts []fakePart // of the file, when only some are sent
}

// fakePart is a part of a file; content is nil when it is to be sent.
type fakePart struct {
	content []byte
	size    int
}

// file is what an upload makes.
func (u *fakeUpload) file() []byte {
	if u.parts == nil {
		return u.data
	}
	var out []byte
	at := 0
	for _, p := range u.parts {
		if p.content == nil {
			p.content = u.data[at : at+p.size]
			at += p.size
		}
		out = append(out, p.content...)
	}
	return out
}

func newFake(t testing.TB) *fakeDash {
	f := &fakeDash{mux: http.NewServeMux(), apps: map[string]*api.App{}, env: map[string]map[string]string{}, artifacts: map[string][]byte{},
		uploads: map[string]*fakeUpload{}, deploys: map[string]api.Deploy{}, keys: map[string]string{}, bodies: map[string]string{}}
	f.routes()
	f.start(t)
	return f
}

func (f *fakeDash) start(t testing.TB) {
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that tests break
	f.Start()
	t.Cleanup(f.Close)
}

// serve notes each request, and demands what the real one demands of all.
func (f *fakeDash) serve(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = strings.TrimPrefix(r.URL.Path, "/api/v1")
	what := r.Method + " " + r.URL.Path
	if r.Header.Get("Content-Type") == "application/json" {
		b, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(b))
		f.mu.Lock()
		f.bodies[what] = string(b)
		f.mu.Unlock()
	}
	f.mu.Lock()
	f.requests = append(f.requests, what)
	key := r.Header.Get("Idempotency-Key")
	if key != "" {
		f.keys[key] = what
	}
	f.mu.Unlock()
	open := r.URL.Path == "/login" || r.URL.Path == "/version"
	switch {
	case !open && r.Header.Get("Authorization") != "Bearer secret":
		refuse(w, http.StatusUnauthorized, model.E(model.CodeUnauthentic, "the token is unknown or has expired"))
	case key == "" && slices.Contains([]string{"POST", "PUT", "DELETE"}, r.Method):
		refuse(w, http.StatusBadRequest, model.E(model.CodeBadRequest, "a write without an Idempotency-Key"))
	default:
		f.mux.ServeHTTP(w, r)
	}
}

func refuse(w http.ResponseWriter, status int, e *model.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.ErrorBody{Error: e})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (f *fakeDash) routes() {
	f.mux.HandleFunc("POST /login", f.login)
	f.mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, api.Version{Version: "1.2.3", Domain: "apps.localhost"})
	})
	f.mux.HandleFunc("GET /apps", f.listApps)
	f.mux.HandleFunc("POST /apps", f.createApp)
	f.mux.HandleFunc("GET /apps/{app}", f.withApp(func(w http.ResponseWriter, _ *http.Request, a *api.App) { answer(w, 200, a) }))
	f.mux.HandleFunc("DELETE /apps/{app}", f.withApp(func(w http.ResponseWriter, _ *http.Request, a *api.App) {
		delete(f.apps, a.Name)
		w.WriteHeader(204)
	}))
	f.mux.HandleFunc("GET /apps/{app}/instances", f.withApp(f.instances))
	f.mux.HandleFunc("GET /traffic", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, api.Page[api.Traffic]{Items: []api.Traffic{trafficOf("blog"), {App: "", Rates: api.Rates{Requests: 6, PerSecond: .1}}}})
	})
	f.mux.HandleFunc("GET /apps/{app}/metrics", f.withApp(func(w http.ResponseWriter, _ *http.Request, a *api.App) { answer(w, 200, trafficOf(a.Name)) }))
	f.mux.HandleFunc("POST /apps/{app}/scale", f.withApp(f.scale))
	f.mux.HandleFunc("GET /apps/{app}/env", f.withApp(func(w http.ResponseWriter, _ *http.Request, a *api.App) { answer(w, 200, api.Env{Env: f.env[a.Name]}) }))
	f.mux.HandleFunc("PATCH /apps/{app}/env", f.withApp(f.editEnv))
	f.mux.HandleFunc("POST /apps/{app}/restart", f.withApp(func(w http.ResponseWriter, _ *http.Request, a *api.App) {
		f.nextRelease(a)
		answer(w, 202, api.Release{Version: a.Release, Build: "b1"})
	}))
	f.mux.HandleFunc("POST /apps/{app}/releases", f.withApp(f.release))
	f.mux.HandleFunc("HEAD /artifacts/{sha}", f.hasArtifact)
	f.mux.HandleFunc("POST /artifacts", f.beginUpload)
	f.mux.HandleFunc("HEAD /uploads/{id}", f.askUpload)
	f.mux.HandleFunc("PATCH /uploads/{id}", f.patchUpload)
	f.mux.HandleFunc("GET /builds/{id}/deploy", f.deploy)
}

func (f *fakeDash) login(w http.ResponseWriter, r *http.Request) {
	var in api.Login
	json.NewDecoder(r.Body).Decode(&in)
	if in.User != "admin" || in.Password != "pass word" {
		refuse(w, 401, model.E(model.CodeUnauthentic, "user or password is wrong"))
		return
	}
	answer(w, 201, api.Token{ID: "t1", Name: in.Name, Secret: "secret"})
}

func (f *fakeDash) listApps(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := api.Page[api.App]{Items: []api.App{}}
	for _, name := range slices.Sorted(maps.Keys(f.apps)) {
		if name <= r.URL.Query().Get("after") {
			continue
		}
		if len(p.Items) == 2 { // small pages, so that the client has to turn them
			p.Next = p.Items[1].Name
			break
		}
		p.Items = append(p.Items, *f.apps[name])
	}
	answer(w, 200, p)
}

func (f *fakeDash) createApp(w http.ResponseWriter, r *http.Request) {
	var in api.CreateApp
	json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	answer(w, 201, f.add(in.Name))
}

func (f *fakeDash) add(name string) *api.App {
	a := &api.App{Name: name, URL: "http://" + name + ".apps.localhost:8080/", Team: "default", Instances: 1, MemoryMiB: 256, Port: 8080,
		State: "nothing deployed", CreatedAt: t0, UpdatedAt: t0}
	f.apps[name] = a
	f.env[name] = map[string]string{}
	return a
}

func (f *fakeDash) nextRelease(a *api.App) {
	n, _ := strconv.Atoi(strings.TrimPrefix(a.Release, "v"))
	a.Release = fmt.Sprintf("v%d", n+1)
	a.Serving, a.Ready, a.State = a.Release, a.Instances, fmt.Sprintf("%s serves on %d of %d instances", a.Release, a.Instances, a.Instances)
	a.Deployment = &api.Deployment{Release: a.Release, Status: "succeeded"}
}

func (f *fakeDash) withApp(h func(http.ResponseWriter, *http.Request, *api.App)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		a := f.apps[r.PathValue("app")]
		if a == nil {
			refuse(w, 404, model.E(model.CodeNotFound, "there is no app %q", r.PathValue("app")).WithNext("dinp apps lists them"))
			return
		}
		h(w, r, a)
	}
}

func (f *fakeDash) instances(w http.ResponseWriter, _ *http.Request, a *api.App) {
	out := api.Instances{State: a.State}
	for i := range a.Instances {
		if i < a.Ready {
			out.Items = append(out.Items, api.Instance{ID: fmt.Sprintf("%08d-0000", i), Slot: i, Role: "primary", Release: a.Serving, Node: "web1", Phase: "running",
				Ready: true, Routed: true, Addr: fmt.Sprintf("10.0.0.1:%d", 31000+i), Verdict: "GET / → 200 in 3ms"})
			continue
		}
		out.Pending = append(out.Pending, api.Pending{Slot: i, Code: "D140", Message: "0 of 1 nodes fit: 1 lacks memory"})
	}
	answer(w, 200, out)
}

// scale has room for three instances.
func (f *fakeDash) scale(w http.ResponseWriter, r *http.Request, a *api.App) {
	var in api.Scale
	json.NewDecoder(r.Body).Decode(&in)
	a.Instances = *in.Instances
	a.Ready = min(a.Instances, 3)
	a.State = fmt.Sprintf("%s serves on %d of %d instances", a.Release, a.Ready, a.Instances)
	answer(w, 202, a)
}

func (f *fakeDash) editEnv(w http.ResponseWriter, r *http.Request, a *api.App) {
	var in api.EditEnv
	json.NewDecoder(r.Body).Decode(&in)
	maps.Copy(f.env[a.Name], in.Set)
	for _, k := range in.Unset {
		delete(f.env[a.Name], k)
	}
	f.nextRelease(a)
	answer(w, 202, api.Env{Env: f.env[a.Name]})
}

func (f *fakeDash) seen(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.requests {
		if r == what {
			n++
		}
	}
	return n
}

// result is what a command left behind.
type result struct {
	out, err string
	code     int
}

// run runs a command line in this process against a server.
func run(t testing.TB, f *fakeDash, args ...string) result {
	t.Helper()
	return runIn(t.Context(), f, map[string]string{"DINP_HOME": t.TempDir()}, "", args...)
}

func runIn(ctx context.Context, f *fakeDash, env map[string]string, stdin string, args ...string) result {
	if f != nil {
		env["DINP_URL"], env["DINP_TOKEN"] = f.URL, "secret"
	}
	c := newConsole()
	c.getenv = func(k string) string { return env[k] }
	c.pause, c.poll = time.Millisecond, time.Millisecond
	root := &cobra.Command{Use: "dinp"}
	root.AddCommand(c.commands()...)
	root.SetArgs(args)
	var out, err bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&err)
	root.SetIn(strings.NewReader(stdin))
	code := Execute(ctx, root)
	return result{out.String(), err.String(), code}
}

// trafficOf is that of an app with two releases.
func trafficOf(app string) api.Traffic {
	old := api.Rates{Requests: 540, PerSecond: 9, AtOnce: .25, P50: 12.5, P95: 30, P99: 90}
	fresh := api.Rates{Requests: 60, Failed: 3, PerSecond: 1, P50: 20, P95: 40, P99: 41}
	return api.Traffic{App: app, OverSeconds: 60, Rates: api.Rates{Requests: 600, Failed: 3, PerSecond: 10, AtOnce: .3, P50: 13, P95: 31, P99: 89},
		Releases: []api.ReleaseTraffic{{Release: 2, Rates: fresh}, {Release: 1, Rates: old}}}
}
