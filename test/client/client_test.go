// Package client proves that the command line and the REST API mean the same:
// every command is run against a real dash, with builder and leader played.
package client

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/cli"
	"github.com/dinp/dinp/test/stage"
)

// person is somebody at a terminal who has logged in.
type person struct {
	t *testing.T
	s *stage.Stage
}

func newPerson(t *testing.T) person {
	p := person{t, stage.Open(t)}
	t.Setenv("DINP_HOME", t.TempDir())
	t.Setenv("DINP_URL", "")
	t.Setenv("DINP_TOKEN", "")
	p.types(p.s.Password, "login", p.s.URL, "--user", p.s.User, "--password-stdin").is(0, "")
	return p
}

// outcome is what a command left behind.
type outcome struct {
	t        *testing.T
	line     string
	code     int
	out, err string
}

func (p person) types(stdin string, args ...string) outcome {
	p.t.Helper()
	root := &cobra.Command{Use: "dinp"}
	root.AddCommand(cli.Commands()...)
	root.SetArgs(args)
	var out, err bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&err)
	root.SetIn(strings.NewReader(stdin))
	code := cli.Execute(p.t.Context(), root)
	return outcome{p.t, strings.Join(args, " "), code, out.String(), err.String()}
}

func (p person) does(line string) outcome {
	p.t.Helper()
	return p.types("", strings.Fields(line)...)
}

// is checks the exit code, and that all of the texts were printed.
func (o outcome) is(code int, texts ...string) outcome {
	o.t.Helper()
	if o.code != code {
		o.t.Fatalf("dinp %s: exit code %d, want %d\n%s%s", o.line, o.code, code, o.out, o.err)
	}
	for _, s := range texts {
		if !strings.Contains(o.out+o.err, s) {
			o.t.Errorf("dinp %s: %q is not said\n%s%s", o.line, s, o.out, o.err)
		}
	}
	return o
}

// site writes a zip of one page.
func site(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("index.html")
	if err == nil {
		_, err = f.Write([]byte(text))
	}
	if err == nil {
		err = z.Close()
	}
	path := filepath.Join(t.TempDir(), name)
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestClient_Deploys(t *testing.T) {
	p := newPerson(t)
	first := p.types("", "deploy", "shop", site(t, "site.zip", "one"), "--env", "A=1").is(0, "uploaded site.zip")
	if !strings.HasPrefix(first.out, "http://shop.apps.localhost:") || strings.Count(first.out, "\n") != 1 {
		t.Errorf("stdout is %q, want the URL alone", first.out)
	}
	p.types("", "deploy", "shop", site(t, "site.zip", "one")).is(0, "is on the server already", "unchanged")
	p.types("", "deploy", "shop", site(t, stage.BrokenBuild, "two")).is(1, "error D135", "still: v1 keeps serving")
	p.types("", "deploy", "shop", site(t, stage.SilentApp, "three")).is(1, "error D142", "still: ")
	p.does("releases shop").is(0, "v1", "failed")
	p.types("", "deploy", "shop", site(t, "site.zip", "four"), "--no-wait").is(0, "dinp build follow ")
	p.types("", "deploy", "Shop", site(t, "site.zip", "x")).is(1, "error D120")
	p.types("not an archive", "deploy", "shop", "-", "--filename", "x.zip").is(1, "error D130")
}

func TestClient_ChangesAnApp(t *testing.T) {
	p := newPerson(t)
	p.does("create shop").is(0, "created app shop")
	p.types("", "deploy", "shop", site(t, "site.zip", "one")).is(0)
	p.does("scale shop 3").is(0)
	p.does("app shop").is(0, "3 ready of 3 wanted")
	p.does("env shop set A=1 B=2").is(0)
	p.does("env shop unset B").is(0)
	if o := p.does("env shop").is(0); o.out != "A=1\n" {
		t.Errorf("the environment is %q", o.out)
	}
	p.does("restart shop").is(0)
	p.does("rollback shop v1").is(0)
	p.does("domains shop add www.shop.example").is(0)
	p.does("domains shop").is(0, "www.shop.example")
	p.does("domains shop remove www.shop.example").is(0)
	p.does("domains shop add *.shop.example").is(0)
	p.does("domains shop add shop.example/api").is(0)
	p.does("domains shop remove shop.example/api").is(0, "unbound")
	p.does("maintenance shop on").is(0)
	p.does("routing shop set rate=100:500 sticky=JSESSIONID").is(0, "rate=100:500")
	p.types("sesame-1\n", "routing", "shop", "password", "ann", "--password-stdin").is(0, "basic_auth=ann")
	p.does("routing shop set rate=fast").is(1, "error D170")
	p.does("routing shop unset rate sticky basic_auth").is(0, "nothing is set")
	p.does("apps").is(0, "shop", "http://shop.apps.localhost:")
	p.does("explain shop").is(0, "desired", "routed")
	p.does("explain shop 0").is(0, "routed")
	p.does("whatif add shop 2").is(0, "all would fit", "6 GiB of 8 GiB on 1 nodes")
	p.does("whatif drain stage-node").is(0, "nothing would be placed")
	p.does("whatif drain nobody").is(1, "error D104")
	p.does("pause shop on").is(0, "pause of shop is on")
	p.does("pause shop off").is(0)
	p.does("open shop").is(0, "http://shop.apps.localhost:")
	p.does("events shop").is(0, "app.scale", "domain.bind")
	p.does("delete shop --yes").is(0)
	p.does("app shop").is(1, "error D104")
	p.does("undelete shop").is(0)
	p.does("app shop --json").is(0, `"name": "shop"`)
}

func TestClient_ReadsLogsAndBuilds(t *testing.T) {
	p := newPerson(t)
	p.types("", "deploy", "shop", site(t, "site.zip", "one")).is(0)
	p.does("logs shop").is(0)
	p.does("logs shop --since 10m --tail 5 --instance 0 --release v1").is(0)
	p.does("logs shop --instance 77").is(1, "error D104")
	list := p.does("builds shop").is(0, "succeeded")
	id, _, _ := strings.Cut(strings.Split(list.out, "\n")[1], " ")
	p.does("build log " + id).is(0)
	p.does("build log " + id + " -f").is(0)
	p.does("build follow "+id).is(0, "http://shop.apps.localhost:")
	p.does("cancel "+id).is(0, "is succeeded")
	p.does("build log nowhere").is(1, "error D104")
}

func TestClient_Administers(t *testing.T) {
	p := newPerson(t)
	p.does("whoami").is(0, "admin")
	p.types("a long enough password", "users", "create", "ann", "--password-stdin").is(0)
	p.types("another long password", "users", "password", "ann", "--password-stdin").is(0)
	p.does("teams create web").is(0)
	p.does("teams member web ann deployer").is(0)
	p.does("teams").is(0, "ann:deployer")
	p.does("teams member web ann none").is(0)
	p.does("users").is(0, "ann")
	p.does("users delete ann").is(0)
	secret := strings.TrimSpace(p.does("tokens create ci --days 9").is(0, "not shown again").out)
	list := p.does("tokens").is(0, "ci")
	if strings.Contains(list.out, secret) {
		t.Error("a list of tokens shows a secret")
	}
	p.does("nodes").is(0, "stage-node")
	p.does("node stage-node drain").is(0, "draining")
	p.does("node stage-node").is(0, "availability     draining")
	p.does("audit").is(0, "user.create", "node.draining")
	p.does("version").is(0, "server stage at "+p.s.URL)

	t.Setenv("DINP_TOKEN", secret)
	p.does("whoami").is(0, "admin")
	t.Setenv("DINP_TOKEN", "")
	p.does("logout").is(0)
	p.does("apps").is(1, "error D112")
}

func TestClient_SaysWhenNoServerLeads(t *testing.T) {
	p := newPerson(t)
	p.types("", "deploy", "shop", site(t, "site.zip", "one")).is(0)
	p.s.Away.Store(true)
	p.does("apps").is(0, "shop")
	p.does("logs shop").is(1, "error D106")
}
