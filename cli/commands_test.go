package cli

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func TestCommands_EachHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Short == "" || !strings.Contains(c.Example, "  dinp ") {
			t.Errorf("%s lacks a description or an example", c.CommandPath())
		}
		if c.Args == nil {
			t.Errorf("%s takes any arguments", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	for _, c := range Commands() {
		check(c)
	}
}

func TestLists_PrintJSON(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	if r := run(t, f, "apps", "--json"); r.out != "[]\n" {
		t.Errorf("an empty list is %q", r.out)
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		f.add(name)
	}
	var got []api.App
	if err := json.Unmarshal([]byte(run(t, f, "apps", "--json").out), &got); err != nil || len(got) != 5 || got[4].Name != "e" {
		t.Errorf("got %d apps, %v", len(got), err)
	}
}

func TestScale_WaitsAndSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.nextRelease(f.add("shop"))
	want(t, run(t, f, "scale", "shop", "3"), 0, "", "v1 serves on 3 of 3 instances")
	r := run(t, f, "scale", "shop", "5", "--timeout", "50ms")
	want(t, r, 1, "", "error D142: app shop is not there after 50ms", "  slot 4: D140: 0 of 1 nodes fit: 1 lacks memory", "next: dinp explain shop")
	want(t, run(t, f, "scale", "shop", "5", "--no-wait"), 0, "", "dinp explain shop")
	want(t, run(t, f, "scale", "shop", "5000"), 1, "", "error D123")
	want(t, run(t, f, "restart", "shop", "--timeout", "50ms"), 0, "", "v2 serves")
}

func TestScale_AfterAFailedDeployIsJudgedByWhatServes(t *testing.T) {
	t.Parallel()
	failed := &api.Deployment{Release: "v2", Status: "failed", Error: model.E(model.CodeCrashed, "v2 crashed")}
	a := api.App{Name: "shop", Release: "v2", Serving: "v1", Instances: 2, Ready: 2, Deployment: failed}
	if ok, err := scaled(a); !ok || err != nil {
		t.Errorf("scaled: %v, %v", ok, err)
	}
	if ok, err := rolled(a); !ok || !model.IsCode(err, model.CodeCrashed) {
		t.Errorf("rolled: %v, %v", ok, err)
	}
	a.Serving, a.Ready = "", 0
	if ok, err := scaled(a); !ok || !model.IsCode(err, model.CodeCrashed) {
		t.Errorf("scaled with nothing serving: %v, %v", ok, err)
	}
	held := &api.Deployment{Release: "v2", From: "v1", Status: "running", Step: 1, Steps: 3, Share: 10, Held: true, Judgement: "3 of 50 requests came"}
	a = api.App{Name: "shop", Release: "v2", Serving: "v1", Instances: 2, Ready: 3, Deployment: held}
	if ok, err := rolled(a); !ok || !model.IsCode(err, model.CodeHeld) {
		t.Errorf("held: %v, %v", ok, err)
	}
	a = api.App{Name: "shop", Instances: 2}
	if ok, err := scaled(a); !ok || err != nil {
		t.Errorf("scaled without a release: %v, %v", ok, err)
	}
}

func TestWait_EndsWithAnInterrupt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.nextRelease(f.add("shop"))
	ctx, cancel := context.WithCancel(t.Context())
	f.mux.HandleFunc("POST /apps/shop/scale", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.apps["shop"].Instances = 9
		defer cancel()
		answer(w, 202, struct{}{})
	})
	r := runIn(ctx, f, map[string]string{}, "", "scale", "shop", "9")
	if r.code != ExitInterrupted {
		t.Errorf("exit code %d, want %d: %s", r.code, ExitInterrupted, r.err)
	}
}

func TestEnv_RoundTrip(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.nextRelease(f.add("shop"))
	want(t, run(t, f, "env", "shop", "set", "A=1", "B=two words"), 0, "", "v2 serves")
	want(t, run(t, f, "env", "shop"), 0, "A=1\nB=two words\n")
	want(t, run(t, f, "env", "shop", "export"), 0, "A=1\nB='two words'\n")
	want(t, run(t, f, "env", "shop", "unset", "A"), 0, "", "v3 serves")
	want(t, run(t, f, "env", "shop", "--json"), 0, "{\n  \"B\": \"two words\"\n}\n")
	path := file(t, ".env", []byte("# a comment\nexport C=\"x\\ny\" \nD='$HOME'\nE=plain # not a secret\n\n"))
	want(t, run(t, f, "env", "shop", "import", path), 0, "", "v4 serves")
	if got := f.env["shop"]; !maps.Equal(got, map[string]string{"B": "two words", "C": "x\ny", "D": "$HOME", "E": "plain"}) {
		t.Errorf("the environment is %q", got)
	}
}

func TestEnv_BadFileNamesTheLineAndNotTheSecret(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	path := file(t, ".env", []byte("A=1\nhunter2\n"))
	r := run(t, f, "env", "shop", "import", path)
	want(t, r, 1, "", "error D122: line 2 of "+path)
	if strings.Contains(r.err, "hunter2") {
		t.Error("a secret is repeated")
	}
}

func TestEnv_FileRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 })).Draw(t, "value")
		got, err := parseEnv(strings.NewReader("NAME="+quoteEnv(value)+"\n"), "test")
		if err != nil || got["NAME"] != value {
			t.Fatalf("%q came back as %q, %v (written as %s)", value, got["NAME"], err, quoteEnv(value))
		}
	})
}

func FuzzParseEnv(f *testing.F) {
	for _, s := range []string{"A=1", "A='", "export A=\"\\x\"", "=", "A=\"\\", "\ufeffA=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		env, err := parseEnv(strings.NewReader(s), "test")
		if err == nil && model.CheckEnv(env) != nil {
			t.Errorf("%q gave variables that may not be set: %q", s, env)
		}
	})
}

func TestDelete_NeedsAYes(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.add("shop")
	r := runIn(t.Context(), f, map[string]string{}, "shop\n", "delete", "shop")
	want(t, r, 1, "", "next: dinp delete shop --yes")
	want(t, run(t, f, "delete", "shop", "--yes"), 0, "", "dinp undelete shop")
	want(t, run(t, f, "delete", "shop", "--yes"), 1, "", "error D104", "next: dinp apps lists them")
}

func TestLogin_KeepsATokenAndNeverThePassword(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	home := t.TempDir()
	env := map[string]string{"DINP_HOME": home}
	r := runIn(t.Context(), nil, env, "wrong\n", "login", f.URL, "--user", "admin", "--password-stdin")
	want(t, r, 1, "", "error D102: user or password is wrong")
	r = runIn(t.Context(), nil, env, "pass word\n", "login", f.URL, "--user", "admin", "--password-stdin")
	want(t, r, 0, "", "logged in to "+f.URL+" as admin")
	r = runIn(t.Context(), nil, env, "", "apps")
	want(t, r, 0, "NAME  RELEASE  READY  MEMORY  URL  STATE\n")
	b, err := os.ReadFile(home + "/" + contextFile)
	if err != nil || strings.Contains(string(b), "pass word") || !strings.Contains(string(b), "secret") {
		t.Errorf("the file holds %q, %v", b, err)
	}
	f.mux.HandleFunc("DELETE /tokens/t1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	want(t, runIn(t.Context(), nil, env, "", "logout"), 0, "", "logged out of "+f.URL)
	if f.seen("DELETE /tokens/t1") != 1 {
		t.Error("the token was not revoked")
	}
	want(t, runIn(t.Context(), nil, env, "", "apps"), 1, "", "error D112: no dinp server is known here")
	want(t, runIn(t.Context(), nil, env, "", "logout"), 1, "", "you are not logged in")
}

func TestLogin_AsksNobodyInAPipe(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, args := range [][]string{{"login", f.URL}, {"login", f.URL, "--user", "ann"}, {"users", "create", "ann"}} {
		if r := runIn(t.Context(), f, map[string]string{"DINP_HOME": t.TempDir()}, "", args...); r.code != ExitUsage {
			t.Errorf("%v: exit code %d, want %d: %s", args, r.code, ExitUsage, r.err)
		}
	}
}

func TestUsers_PasswordsComeFromStandardInput(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, api.User{Name: "admin"}) })
	f.mux.HandleFunc("PUT /users/{user}/password", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	f.mux.HandleFunc("POST /users", func(w http.ResponseWriter, _ *http.Request) { answer(w, 201, api.User{Name: "ann", Role: "admin"}) })
	for _, c := range []struct{ line, stdin, request, body string }{
		{"users password ann", "new one\n", "PUT /users/ann/password", `{"password":"new one"}`},
		{"users password admin", "old\nnew\n", "PUT /users/admin/password", `{"old":"old","password":"new"}`},
		{"users create ann --admin", "hunter2", "POST /users", `{"name":"ann","password":"hunter2","role":"admin"}`},
	} {
		r := runIn(t.Context(), f, map[string]string{}, c.stdin, append(strings.Fields(c.line), "--password-stdin")...)
		if r.code != 0 || f.bodies[c.request] != c.body {
			t.Errorf("%s: exit code %d, sent %s, want %s: %s", c.line, r.code, f.bodies[c.request], c.body, r.err)
		}
	}
}

func TestCompletion_OffersAppNames(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.add("shop")
	f.add("blog")
	want(t, run(t, f, "__complete", "app", ""), 0, "blog\nshop\n:4\n")
	want(t, run(t, f, "__complete", "maintenance", "shop", ""), 0, "on\noff\n:4\n")
	f.Close()
	want(t, run(t, f, "__complete", "app", ""), 0, ":4\n")
}
