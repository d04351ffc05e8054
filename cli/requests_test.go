package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// TestCommands_AskForWhatTheyShow runs each plain command against one answer,
// and checks the request it makes and the words it prints.
func TestCommands_AskForWhatTheyShow(t *testing.T) {
	t.Parallel()
	event := api.Event{ID: "9007199254740993", At: t0, Actor: "ann", From: "10.0.0.9", Verb: "app.scale", App: "shop", Subject: "shop", Message: "instances 1 → 3", Outcome: "ok"}
	line := api.LogLine{Seq: 1, At: t0, Text: "listening", Release: "v1", Slot: 2}
	node := api.Node{ID: "5f0c-1", Name: "web1", Address: "10.0.0.1", Status: "ready", Availability: "active", MemoryMiB: 4096, MemoryReservedMiB: 512, CPUMilli: 4000, HeardAt: t0}
	for cmd, c := range map[string]struct {
		request string
		answer  any
		body    string   // sent
		shows   []string // on either stream
	}{
		"releases shop": {"GET /apps/shop/releases", api.Page[api.Release]{Items: []api.Release{
			{Version: "v3", Cause: "deploy", CreatedBy: "ann", Wanted: true, MemoryMiB: 256, Deployment: &api.Deployment{Status: "failed"}}, {Version: "v2", Serving: true, Note: "fix"}}},
			"", []string{"v3       failed", "v2       serving, not wanted", "fix"}},
		"logs shop":                     {"GET /apps/shop/logs", api.Page[api.LogLine]{Items: []api.LogLine{line}}, "", []string{"v1.2 listening\n"}},
		"logs shop --json":              {"GET /apps/shop/logs", api.Page[api.LogLine]{Items: []api.LogLine{line}}, "", []string{`"text":"listening"`}},
		"events shop":                   {"GET /apps/shop/events", api.Page[api.Event]{Items: []api.Event{event}}, "", []string{"instances 1 → 3", "app.scale"}},
		"events --json":                 {"GET /events", api.Page[api.Event]{Items: []api.Event{event}}, "", []string{`"id": "9007199254740993"`}},
		"audit":                         {"GET /audit", api.Page[api.Event]{Items: []api.Event{event}}, "", []string{"10.0.0.9"}},
		"domains shop":                  {"GET /apps/shop/domains", api.Page[api.Domain]{Items: []api.Domain{{Host: "www.shop.example"}}}, "", []string{"www.shop.example"}},
		"domains shop add a.b":          {"POST /apps/shop/domains", api.Domain{Host: "a.b"}, `{"host":"a.b"}`, []string{"bound a.b to shop"}},
		"domains shop remove a.b":       {"DELETE /apps/shop/domains/a.b", nil, "", []string{"unbound a.b from shop"}},
		"certs":                         {"GET /certificates", api.Page[api.Certificate]{Items: []api.Certificate{{Host: "*.apps.example", Source: "acme", State: "failing", Failure: "no answer"}}}, "", []string{"*.apps.example  acme    failing", "no answer"}},
		"certs put a.b --acme":          {"PUT /certificates/a.b", api.Certificate{Host: "a.b", State: "waiting"}, `{"acme":true}`, []string{"certificate of a.b is waiting"}},
		"certs remove a.b":              {"DELETE /certificates/a.b", nil, "", []string{"deleted the certificate of a.b"}},
		"maintenance shop on":           {"PATCH /apps/shop", api.App{}, `{"maintenance":true}`, []string{"maintenance of shop is on"}},
		"place shop zone==a label==ssd": {"PATCH /apps/shop", api.App{Constraints: []string{"label==ssd", "zone==a"}}, `{"constraints":["zone==a","label==ssd"]}`, []string{"placed on: label==ssd zone==a"}},
		"place shop zone==c":            {"PATCH /apps/shop", api.App{Constraints: []string{"zone==c"}, Warnings: []string{"no node has zone==c", "no node matches"}}, `{"constraints":["zone==c"]}`, []string{"placed on: zone==c\nwarning: no node has zone==c\nwarning: no node matches"}},
		"scale shop 9 --no-wait":        {"POST /apps/shop/scale", api.App{Warnings: []string{"2 wait until more nodes match"}}, `{"instances":9}`, []string{"warning: 2 wait until more nodes match\nit goes on"}},
		"place shop any --json":         {"PATCH /apps/shop", api.App{Name: "shop", Warnings: []string{"hm"}}, `{"constraints":[]}`, []string{`"name": "shop"`, "\n  \"warnings\": [\n    \"hm\"\n"}},
		"place shop --json":             {"GET /apps/shop", api.App{Constraints: []string{"zone==b"}}, "", []string{`"zone==b"`}},
		"pool big spread --json":        {"PUT /pools/big", api.Pool{Name: "big", Policy: "spread", Nodes: 3}, `{"name":"","policy":"spread","nodes":0}`, []string{`"nodes": 3`}},
		"singleton shop off --json":     {"PATCH /apps/shop", api.App{Name: "shop"}, `{"singleton":false}`, []string{`"name": "shop"`}},
		"place shop any":                {"PATCH /apps/shop", api.App{}, `{"constraints":[]}`, []string{"any node of the default pool"}},
		"place shop":                    {"GET /apps/shop", api.App{Constraints: []string{"zone==b"}}, "", []string{"zone==b"}},
		"singleton shop on":             {"PATCH /apps/shop", api.App{}, `{"singleton":true}`, []string{"singleton of shop is on"}},
		"pools":                         {"GET /pools", api.Page[api.Pool]{Items: []api.Pool{{Name: "big", Policy: "binpack", Nodes: 3}}}, "", []string{"big   binpack  3"}},
		"pool big binpack":              {"PUT /pools/big", api.Pool{Name: "big", Policy: "binpack", Nodes: 3}, `{"name":"","policy":"binpack","nodes":0}`, []string{"pool big is filled by binpack"}},
		"undelete shop":                 {"POST /apps/shop/undelete", api.App{State: "v1 serves"}, "{}", []string{"app shop is back: v1 serves"}},
		"builds shop":                   {"GET /builds", api.Page[api.Build]{Items: []api.Build{{ID: "b1", App: "shop", Status: "failed", Filename: "shop.war"}, {ID: "b2", ImageRef: "nginx"}}}, "", []string{"b1  shop  failed", "shop.war", "nginx"}},
		"cancel b1":                     {"POST /builds/b1/cancel", api.Build{ID: "b1", Status: "running"}, "{}", []string{"build b1 will end in a moment"}},
		"build cancel b1":               {"POST /builds/b1/cancel", api.Build{ID: "b1", Status: "cancelled", EndedAt: t0}, "{}", []string{"build b1 is cancelled"}},
		"gc --dry-run":                  {"POST /gc", api.Collection{DryRun: true, Kept: 3, Bytes: 2048, Items: []api.Collected{{Kind: "image", App: "shop", Releases: []string{"v1"}, Bytes: 2048, Name: "dinp/apps/shop@sha256:1"}}, Skipped: []string{"web: build b1 is under way"}}, `{"dry_run":true}`, []string{"image  shop  v1", "left alone: web: build b1", "would remove 1, 2 KiB in all; 3 stay"}},
		"pin shop v3":                   {"PUT /apps/shop/releases/v3/pin", api.Release{Version: "v3", Pinned: true}, "{}", []string{"v3 of shop is kept for ever"}},
		"unpin shop 3":                  {"DELETE /apps/shop/releases/v3/pin", api.Release{Version: "v3"}, "{}", []string{"v3 of shop is kept as long as the rules say"}},
		"rebases":                       {"GET /rebases", api.Page[api.Rebase]{Items: []api.Rebase{{ID: "r1", Runtime: "static", Status: "stopped", By: "ann", Apps: []api.RebaseApp{{App: "a", Step: "done"}, {App: "b", Step: "failed"}, {App: "c", Step: "waiting"}}}}}, "", []string{"r1  static   stopped  2 of 3  ann", "b"}},
		"rebase static --dry-run":       {"POST /rebases", api.Rebase{Runtime: "static", DryRun: true, Apps: []api.RebaseApp{{App: "shop", Release: "v3", Step: "waiting", From: "sha256:0123456789abcdef", To: "sha256:fedcba9876543210"}}}, `{"runtime":"static","dry_run":true}`, []string{"shop  v3       waiting  sha256:0123456789ab  sha256:fedcba987654"}},
		"rebase static --app shop":      {"POST /rebases", api.Rebase{ID: "r1", Runtime: "static", Status: "done", Batch: 3, Apps: []api.RebaseApp{{App: "shop", Step: "done", Build: "b1"}}}, `{"runtime":"static","app":"shop"}`, []string{"rebase r1 of static: 1 apps, 3 at a time", "shop: done"}},
		"rebase static --stop r1":       {"POST /rebases/r1/stop", api.Rebase{ID: "r1", Runtime: "static", Status: "stopped", Apps: []api.RebaseApp{{App: "shop", Step: "rolling"}}}, "{}", []string{"shop  -        rolling"}},
		"nodes":                         {"GET /nodes", api.Nodes{Items: []api.Node{node}, Routers: []api.Router{{ID: "r1", Addr: ":8080", Live: true, Serves: "7.1", Requests: 12}}}, "", []string{"512 MiB of 4 GiB", "ROUTER", "7.1"}},
		"node web1":                     {"GET /nodes", api.Nodes{Items: []api.Node{node}}, "", []string{"cores reserved   0 of 4", "5f0c-1"}},
		"users":                         {"GET /users", api.Page[api.User]{Items: []api.User{{Name: "ann", Role: "member", Teams: map[string]string{"web": "owner", "api": "viewer"}}}}, "", []string{"api:viewer web:owner"}},
		"users delete ann":              {"DELETE /users/ann", nil, "", []string{"deleted user ann"}},
		"teams":                         {"GET /teams", api.Page[api.Team]{Items: []api.Team{{Name: "web", Members: map[string]string{"ann": "owner"}}}}, "", []string{"ann:owner"}},
		"teams create web":              {"POST /teams", api.Team{Name: "web"}, `{"name":"web"}`, []string{"created team web"}},
		"teams member web ann none":     {"DELETE /teams/web/members/ann", nil, "", []string{"role of ann in team web is none"}},
		"tokens":                        {"GET /tokens", api.Page[api.Token]{Items: []api.Token{{ID: "t1", Name: "ci", CreatedAt: t0}}}, "", []string{"t1  ci"}},
		"tokens create ci --days 9":     {"POST /tokens", api.Token{Secret: "dinp_x"}, `{"name":"ci","days":9}`, []string{"dinp_x\n", "not shown again"}},
		"tokens delete t1":              {"DELETE /tokens/t1", nil, "", []string{"deleted token t1"}},
		"whoami":                        {"GET /whoami", api.User{Name: "ann", Role: "admin"}, "", []string{"ann", "admin"}},
		"identities":                    {"GET /identities", api.Page[api.Identity]{Items: []api.Identity{{Role: "agent", Name: "5f0c-1", Node: "web1"}}}, "", []string{"agent  5f0c-1  web1"}},
		"identities revoke web1":        {"DELETE /identities/web1", api.Revoked{Name: "5f0c-1", Certificates: 2}, "", []string{"revoked 2 certificates of 5f0c-1"}},
		"token create-join":             {"POST /join-tokens", api.JoinToken{Token: "dinp-join.x"}, `{"role":"agent","minutes":15}`, []string{"dinp-join.x\n", "good once"}},

		"routing shop": {"GET /apps/shop/routing", api.Routing{Settings: model.Routing{Policy: "round_robin", MaxBody: 10 << 20, ErrorPage: "<p>x", BasicAuth: []model.BasicUser{{Name: "ann"}}}},
			"", []string{"policy=round_robin\n", "max_body=10M\n", "error_page=(4 bytes)\n", "basic_auth=ann\n"}},
		"routing shop set max_body=1K compress=on rate=5:9": {"PATCH /apps/shop/routing", api.Routing{}, `{"settings":{"compress":true,"max_body":1024,"rate":{"per_second":5,"burst":9}}}`, []string{"routing of shop is changed"}},
		"routing shop unset max_body":                       {"PATCH /apps/shop/routing", api.Routing{}, `{"settings":{"max_body":null}}`, []string{"nothing is set"}},
		"domains api add a.b/c":                             {"POST /apps/api/domains", api.Domain{Host: "a.b/c"}, `{"host":"a.b/c"}`, []string{"bound a.b/c to api"}},

		"explain shop": {"GET /apps/shop/explain", api.Explain{App: "shop", State: "waiting", Next: "dinp nodes", Steps: []api.ExplainStep{{Slot: 0, Step: "placed", Text: "0 of 1 nodes fit"}}},
			"", []string{"shop: waiting", "0 of 1 nodes fit", "next: dinp nodes"}},
		"explain shop 0": {"GET /apps/shop/instances/0/explain", api.Explain{App: "shop"}, "", []string{"shop:"}},
		"version --json": {"GET /version", api.Version{Version: "1.2.3"}, "", []string{`"version": "1.2.3"`}},
	} {
		t.Run(cmd, func(t *testing.T) {
			t.Parallel()
			f := &fakeDash{mux: http.NewServeMux(), bodies: map[string]string{}, keys: map[string]string{}}
			f.mux.HandleFunc(c.request, func(w http.ResponseWriter, _ *http.Request) {
				if c.answer == nil {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				answer(w, 200, c.answer)
			})
			f.start(t)
			r := run(t, f, strings.Fields(cmd)...)
			if r.code != 0 || f.seen(c.request) == 0 || f.bodies[c.request] != c.body {
				t.Errorf("exit code %d after %v with body %q, want %s with %q: %s", r.code, f.requests, f.bodies[c.request], c.request, c.body, r.err)
			}
			for _, s := range c.shows {
				if !strings.Contains(r.out+r.err, s) {
					t.Errorf("%q is not shown:\n%s%s", s, r.out, r.err)
				}
			}
		})
	}
}

func TestNode_Drain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, api.Nodes{Items: []api.Node{{ID: "5f0c-1", Name: "web1"}, {ID: "5f0c-2", Name: "twin"}, {ID: "77aa-3", Name: "twin"}}})
	})
	f.mux.HandleFunc("PATCH /nodes/5f0c-1", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, api.Node{}) })
	want(t, run(t, f, "node", "web1", "drain"), 0, "", "node web1 is draining")
	if got := f.bodies["PATCH /nodes/5f0c-1"]; got != `{"availability":"draining"}` {
		t.Errorf("sent %s", got)
	}
	want(t, run(t, f, "node", "twin"), 1, "", `2 nodes are called "twin"`, "5f0c-2", "77aa-3")
	want(t, run(t, f, "node", "nobody"), 1, "", "next: dinp nodes lists them")
	want(t, run(t, f, "node", "web1", "explode"), 2, "", "say cordon, uncordon, drain or forget")
	f.mux.HandleFunc("DELETE /nodes/5f0c-1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	want(t, run(t, f, "node", "web1", "forget"), 0, "", "node web1 is forgotten")
	// One that was forgotten is listed nowhere, and known by its ID alone.
	f.mux.HandleFunc("PATCH /nodes/{node}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("node") != "77aa-9" {
			refuse(w, 404, model.E(model.CodeNotFound, "there is no node %q", r.PathValue("node")))
			return
		}
		answer(w, 200, api.Node{})
	})
	want(t, run(t, f, "node", "77aa-9", "uncordon"), 0, "", "node 77aa-9 is active")
	want(t, run(t, f, "node", "77aa-8", "uncordon"), 1, "", "there is no node")
	want(t, run(t, f, "node", "77aa-9", "drain"), 1, "", "there is no node")
}

// drains is a server that tells of a node that is being drained.
func drains(t *testing.T, look func() api.Node) *fakeDash {
	f := newFake(t)
	node := api.Node{ID: "5f0c-1", Name: "web1", Availability: "draining", Status: "ready"}
	f.mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, api.Nodes{Items: []api.Node{node}}) })
	for _, request := range []string{"PATCH /nodes/5f0c-1", "GET /nodes/5f0c-1"} {
		f.mux.HandleFunc(request, func(w http.ResponseWriter, _ *http.Request) {
			n := look()
			n.ID, n.Name = node.ID, node.Name
			answer(w, 200, n)
		})
	}
	return f
}

// looks tells one after the other, and then the last for ever.
func looks(all ...api.Node) func() api.Node {
	n := -1
	return func() api.Node {
		n = min(n+1, len(all)-1)
		return all[n]
	}
}

func TestNode_DrainWaits_TellsWhatHoldsItUpAndWhenItIsOver(t *testing.T) {
	t.Parallel()
	waits := api.Node{Availability: "draining", Status: "ready", Message: "being emptied: 1 instance yet to move, 0 stopping; shop waits: 0 of 2 nodes fit"}
	// No leader tells: nothing is known of the node, not even that it is empty.
	dark := api.Node{Availability: "draining", Status: "unknown"}
	over := api.Node{Availability: "draining", Status: "ready", Drained: true, Message: "drained: nothing is on it any more"}
	r := run(t, drains(t, looks(waits, waits, dark, over)), "node", "web1", "drain", "--wait")
	want(t, r, 0, "", "node web1 is draining", "shop waits: 0 of 2 nodes fit", "drained: nothing is on it")
	if strings.Count(r.err, "shop waits") != 1 {
		t.Errorf("it is told again and again:\n%s", r.err)
	}
	r = run(t, drains(t, looks(over)), "node", "web1", "drain", "--wait", "--json")
	if r.code != 0 || !strings.Contains(r.out, `"drained": true`) {
		t.Errorf("exit code %d: %s", r.code, r.out)
	}

	want(t, run(t, drains(t, looks(waits)), "node", "web1", "drain", "--wait", "--timeout", "30ms"), 1, "", "error D142: node web1 is not empty after 30ms", "shop waits: 0 of 2", "still: the drain goes on", "next: dinp node web1")
	want(t, run(t, drains(t, looks(waits, api.Node{Availability: "active", Status: "ready"})), "node", "web1", "drain", "--wait"), 1, "", "error D108: node web1 is active: somebody else took the drain back")
	want(t, run(t, drains(t, looks(waits, api.Node{Availability: "draining", Status: "lost", HeardAt: t0})), "node", "web1", "drain", "--wait"), 1, "", "node web1 is lost", "dinp node web1 forget")
	for _, args := range [][]string{{"node", "web1", "--wait"}, {"node", "web1", "cordon", "--wait"}} {
		want(t, run(t, newFake(t), args...), 2, "", "--wait is for: dinp node NODE drain")
	}
}

func TestNode_CtrlCDuringADrain_EndsTheWaitingOnly(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	f := drains(t, func() api.Node {
		if asked++; asked == 2 { // after the drain was accepted
			stop()
		}
		return api.Node{Availability: "draining", Status: "ready", Message: "being emptied"}
	})
	r := runIn(ctx, f, map[string]string{"DINP_HOME": t.TempDir()}, "", "node", "web1", "drain", "--wait")
	want(t, r, 130, "", "the drain of web1 goes on", "dinp node web1 uncordon", "interrupted")
	if n := f.seen("PATCH /nodes/5f0c-1"); n != 1 {
		t.Errorf("%d changes of the node, want the drain alone", n)
	}
}

func TestBuildLog_FollowsToTheEndOfTheBuild(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	connections := 0
	f.mux.HandleFunc("GET /builds/b9/log", func(w http.ResponseWriter, r *http.Request) {
		connections++
		w.Header().Set("Content-Type", "text/event-stream")
		sendEvent(w, "log", api.LogLine{Seq: 1, Text: "one"})
		if connections > 1 { // the first connection breaks early
			sendEvent(w, "log", api.LogLine{Seq: 2, Text: "two"})
		}
	})
	f.mux.HandleFunc("GET /builds/b9", func(w http.ResponseWriter, _ *http.Request) {
		b := api.Build{ID: "b9"}
		if connections > 1 {
			b.EndedAt = t0
		}
		answer(w, 200, b)
	})
	want(t, run(t, f, "build", "log", "b9", "-f"), 0, "one\ntwo\n")
}

func TestLogs_ReadsJSONLines(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("GET /apps/shop/logs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprint(w, `{"text":"one","at":"2026-11-21T09:30:00Z"}`+"\n"+`{"text":"two","at":"2026-11-21T09:30:00Z"}`+"\n")
		if r.URL.Query().Get("release") == "v2" {
			fmt.Fprint(w, `{"text":"ha`)
		}
	})
	want(t, run(t, f, "logs", "shop"), 0, "one\ntwo\n")
	want(t, run(t, f, "logs", "shop", "--release", "2"), 1, "", "error D106")
}

func TestLogs_EndsWithTheServersWord(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("GET /apps/shop/logs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		sendEvent(w, "log", api.LogLine{At: t0, Text: "last"})
		sendEvent(w, "error", api.ErrorBody{Error: model.E(model.CodeNoLeader, "no server leads")})
	})
	want(t, run(t, f, "logs", "shop", "-f"), 1, "last\n", "error D150: no server leads")
}

func TestLogs_FollowGoesOnAfterABreak(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var since []string
	f.mux.HandleFunc("GET /apps/shop/logs", func(w http.ResponseWriter, r *http.Request) {
		since = append(since, r.URL.Query().Get("since"))
		if len(since) == 3 {
			refuse(w, 403, model.E(model.CodeDenied, "not any more"))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		sendEvent(w, "log", api.LogLine{At: t0, Text: "hello"})
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	r := run(t, f, "logs", "shop", "-f", "--since", "10m")
	if r.code != 1 || r.out != "hello\n" || len(since) != 3 || since[2] != "2026-11-21T09:30:00Z" {
		t.Errorf("exit code %d, stdout %q after asking since %q: %s", r.code, r.out, since, r.err)
	}
}
