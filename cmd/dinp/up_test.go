package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/browser"
	"github.com/dinp/dinp/test/testenv"
)

func TestUp_EveryKindOfArtifactAnswersOnItsURL(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	t.Run("static site as tar.gz", func(t *testing.T) {
		out := s.dinp("deploy", "site", artifact(t, "site.tar.gz"))
		if !strings.Contains(out, "http://site.apps.localhost:") {
			t.Errorf("no URL in\n%s", out)
		}
		s.answers("site", "/", "<html")
	})
	t.Run("the same bytes again change nothing", func(t *testing.T) {
		out := s.dinp("deploy", "site", artifact(t, "site.tar.gz"))
		if !strings.Contains(out, "unchanged") || strings.Contains(s.dinp("releases", "site"), "v2") {
			t.Errorf("not a no-op that says so:\n%s", out)
		}
	})
	t.Run("a changed file goes up as what is new in it", func(t *testing.T) {
		s.dinp("deploy", "parts", largeSite(t, "before"))
		if out := s.dinp("deploy", "parts", largeSite(t, "and after")); !strings.Contains(out, "the server had the rest") {
			t.Errorf("all of it went:\n%s", out)
		}
		s.answers("parts", "/", "and after")
		if out := s.dinp("deploy", "parts", largeSite(t, "and after")); !strings.Contains(out, "is on the server already") {
			t.Errorf("it is no artifact like any other by now:\n%s", out)
		}
	})
	t.Run("static site as zip, by curl -T", func(t *testing.T) {
		url := fmt.Sprintf("http://%s/api/v1/apps/zipped/deploy?filename=site.zip&wait=true", s.dash)
		out, err := exec.Command("curl", "-sS", "-fT", artifact(t, "site.zip"), "-H", "Authorization: Bearer "+s.token(), url).CombinedOutput()
		if err != nil {
			t.Fatalf("curl: %v\n%s", err, out)
		}
		s.answers("zipped", "/", "<html")
	})
	t.Run("Go program with a Procfile", func(t *testing.T) {
		s.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--health", "/healthz", "--env", "GREETING=bonjour", "--memory", "64M")
		s.answers("hello", "/", "bonjour")
		for name, want := range map[string]string{"APP_NAME": "hello", "PORT": "8080", "HOST_IP": "127.0.0.1"} {
			s.answers("hello", "/env?name="+name, want)
		}
		s.memoryLimit("hello", 64<<20)
	})
	t.Run("archive with its own Dockerfile", func(t *testing.T) {
		s.dinp("deploy", "own", artifact(t, "dockerfile.tar.gz"))
		s.answers("own", "/", "")
	})
	t.Run("a real WAR on Tomcat 10", func(t *testing.T) {
		s.dinp("deploy", "war", artifact(t, "tomcat-examples.war"), "--memory", "384M")
		s.answers("war", "/jsp/jsp2/el/basic-arithmetic.jsp", "Basic Arithmetic")
		s.answers("war", "/servlets/servlet/HelloWorldExample", "Hello World")
		s.echo("war", "/websocket/echoProgrammatic")
	})
	for _, c := range []struct{ file, app, memory, path, want string }{
		{"hello.jar", "java", "256M", "/", "hello from Java"},
		{"javax.war", "javax", "384M", "/hello", "hello from jakarta.servlet"}, // converted while it is built
		{"node.tar.gz", "node", "128M", "/", "hello from Node.js"},
		{"python.tar.gz", "python", "128M", "/", "hello from Python"},
		{"php.tar.gz", "php", "128M", "/any/path?x=1", "hello from PHP"},
	} {
		t.Run(c.file, func(t *testing.T) {
			s.dinp("deploy", c.app, artifact(t, c.file), "--memory", c.memory)
			s.answers(c.app, c.path, c.want)
		})
	}
	t.Run("an image by reference", func(t *testing.T) {
		image := s.localImage()
		s.dinp("deploy", "imaged", "--image", image)
		s.answers("imaged", "/healthz", "")
	})
}

// largeSite is a site of some parts (common/parts) that differs from others in its page only.
func largeSite(t *testing.T, page string) string {
	t.Helper()
	noise := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	path := filepath.Join(t.TempDir(), "site.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, file := range []struct {
		name    string
		content []byte
	}{{"noise.bin", noise}, {"index.html", []byte("<html>" + page)}} {
		w, err := z.Create(file.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(file.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// token is the bearer token of the command line's context.
func (s *stage) token() string {
	text, err := os.ReadFile(filepath.Join(s.home, "context.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	m := regexp.MustCompile(`token: "?(\S+?)"?\n`).FindSubmatch(text)
	if m == nil {
		s.t.Fatal("no token in the context")
	}
	return string(m[1])
}

// memoryLimit checks the limit that the engine keeps for an app's containers.
func (s *stage) memoryLimit(app string, want int64) {
	s.t.Helper()
	for _, c := range s.containers(app) {
		out, err := exec.Command("docker", "-H", s.docker, "inspect", "-f", "{{.HostConfig.Memory}}", c).Output()
		if err != nil || strings.TrimSpace(string(out)) != fmt.Sprint(want) {
			s.t.Errorf("container %s: memory %s, want %d: %v", c, out, want, err)
		}
	}
}

// containers lists the running containers of an app on this stage.
func (s *stage) containers(app string) []string {
	s.t.Helper()
	id, err := os.ReadFile(filepath.Join(s.data, "agent", "node-id"))
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := exec.Command("docker", "-H", s.docker, "ps", "-q", "--no-trunc", "--filter", "label=dinp.node="+strings.TrimSpace(string(id)), "--filter", "label=dinp.name="+app).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// echo talks to a WebSocket through the router.
func (s *stage) echo(app, path string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	dialer := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.router)
	}}
	c, _, err := websocket.Dial(ctx, "ws://"+app+".apps.localhost"+path, &websocket.DialOptions{HTTPClient: &http.Client{Transport: dialer}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte("ping through the router")); err != nil {
		s.t.Fatal(err)
	}
	_, got, err := c.Read(ctx)
	if err != nil || string(got) != "ping through the router" {
		s.t.Errorf("echo %q, %v", got, err)
	}
}

// localImage makes an image in the engine that no registry has.
func (s *stage) localImage() string {
	s.t.Helper()
	dir := s.t.TempDir()
	if out, err := exec.Command("tar", "-xzf", artifact(s.t, "hello.tar.gz"), "-C", dir).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	dockerfile := "FROM scratch\nCOPY . /\nENTRYPOINT [\"/app\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		s.t.Fatal(err)
	}
	name := "dinp-test/local:" + strings.ToLower(filepath.Base(s.t.TempDir())) + fmt.Sprint(os.Getpid())
	if out, err := exec.Command("docker", "-H", s.docker, "build", "-t", name, dir).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	s.t.Cleanup(func() { exec.Command("docker", "-H", s.docker, "rmi", "-f", name).Run() })
	return name
}

// app reads an app as scripts do.
func (s *stage) app(name string) api.App {
	s.t.Helper()
	var a api.App
	if err := json.Unmarshal([]byte(s.dinp("app", name, "--json")), &a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func TestUp_KillNineLosesNothingAndTheRouterServesAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "2", "--memory", "64M", "--drain", "1s")
	s.answers("hello", "/", "Hello")
	before := fmt.Sprint(s.containers("hello"))
	if len(s.containers("hello")) != 2 {
		t.Fatalf("containers %s, want two", before)
	}
	s.proc.end(syscall.SIGKILL)
	if got := fmt.Sprint(s.containers("hello")); got != before {
		t.Errorf("containers %s, want %s", got, before)
	}
	s.proc = spawn(t, "dinp up again", program(s.home, s.upArgs()...))
	s.answers("hello", "/", "Hello") // from the snapshot, before anything is reconciled
	testenv.Eventually(t, 60*time.Second, func() error {
		if a := s.app("hello"); a.Ready != 2 || a.Release != "v1" {
			return fmt.Errorf("app %+v", a)
		}
		return nil
	})
	if got := fmt.Sprint(s.containers("hello")); got != before {
		t.Errorf("after the restart: containers %s, want %s", got, before)
	}
	s.answers("hello", "/", "Hello")
	s.dinp("scale", "hello", "1")
	s.answers("hello", "/", "Hello")
}

func TestUp_HealsScalesAndRollsOutWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--memory", "64M", "--drain", "1s", "--env", "GREETING=one")
	s.dinp("scale", "hello", "3")
	s.converged("hello", 3)
	victim := s.containers("hello")[0]
	if out, err := exec.Command("docker", "-H", s.docker, "rm", "-f", victim).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.converged("hello", 3)
	stop := visits(s.router, "hello.apps.localhost", "/")
	s.dinp("scale", "hello", "1")
	s.dinp("env", "hello", "set", "GREETING=two")
	s.answers("hello", "/", "two")
	s.dinp("rollback", "hello")
	s.answers("hello", "/", "one")
	s.dinp("restart", "hello")
	s.converged("hello", 1)
	requests, failures := stop()
	if len(failures) > 0 || requests < 100 {
		t.Errorf("%d of %d requests failed: %v", len(failures), requests, failures[:min(5, len(failures))])
	}
	s.dinp("domains", "hello", "add", "www.hello.example")
	s.answers("www.hello.example", "/", "one")
	s.dinp("domains", "hello", "remove", "www.hello.example")
	testenv.Eventually(t, 20*time.Second, func() error {
		if code, _, err := s.get("www.hello.example", "/"); err != nil || code != http.StatusNotFound {
			return fmt.Errorf("%d %v", code, err)
		}
		return nil
	})
	s.obeysRoutingSettings("hello")
	s.dinp("delete", "hello", "--yes")
	testenv.Eventually(t, 60*time.Second, func() error {
		code, _, err := s.get("hello", "/")
		if c := s.containers("hello"); len(c) > 0 || code != http.StatusNotFound || err != nil {
			return fmt.Errorf("containers %v, %d %v", c, code, err)
		}
		return nil
	})
}

// obeysRoutingSettings sets what people may set and sees the router act on it.
func (s *stage) obeysRoutingSettings(app string) {
	s.t.Helper()
	until := func(host, path string, want int) {
		s.t.Helper()
		testenv.Eventually(s.t, 20*time.Second, func() error {
			if code, _, err := s.get(host, path); err != nil || code != want {
				return fmt.Errorf("%s%s: %d %v, want %d", host, path, code, err, want)
			}
			return nil
		})
	}
	s.dinp("domains", app, "add", "*."+app+".example")
	s.dinp("domains", app, "add", app+".example/part")
	until("any."+app+".example", "/", http.StatusOK)
	for path, routed := range map[string]bool{"/part/x": true, "/parting": false} { // the app itself has neither
		testenv.Eventually(s.t, 20*time.Second, func() error {
			if _, body, err := s.get(app+".example", path); err != nil || strings.Contains(body, string(model.CodeNoSuchHost)) == routed {
				return fmt.Errorf("%s: %q, %v", path, body, err)
			}
			return nil
		})
	}
	s.dinp("routing", app, "set", "allow_from=192.0.2.0/24")
	until(app, "/", http.StatusForbidden)
	cmd := program(s.home, "routing", app, "password", "ann", "--password-stdin")
	cmd.Stdin = strings.NewReader("sesame-1\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	s.dinp("routing", app, "unset", "allow_from")
	until(app, "/", http.StatusUnauthorized)
	s.dinp("routing", app, "unset", "basic_auth")
	until(app, "/", http.StatusOK)
}

// converged waits until an app has exactly n containers, all of them routed.
func (s *stage) converged(app string, n int) {
	s.t.Helper()
	testenv.Eventually(s.t, 90*time.Second, func() error {
		a := s.app(app)
		if c := s.containers(app); len(c) != n || a.Ready != n || a.Instances != n {
			return fmt.Errorf("%d containers, %d ready, %d wanted", len(c), a.Ready, a.Instances)
		}
		return nil
	})
}

// explained waits until every link of an app's chain is done, at a time, and none
// before the one that it stands on.
func (s *stage) explained(app string) {
	s.t.Helper()
	testenv.Eventually(s.t, time.Minute, func() error {
		var got api.Explain
		if err := json.Unmarshal([]byte(s.dinp("explain", app, "--json")), &got); err != nil {
			return err
		}
		var last api.ExplainStep
		for _, step := range got.Steps[1:] {
			if !step.OK || step.At.IsZero() || step.At.Before(last.At) {
				return fmt.Errorf("%+v after %+v", step, last)
			}
			last = step
		}
		return nil
	})
}

func TestUp_RefusalsExplainThemselves(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	text := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(text, []byte("just some words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.tar.gz")
	whole, err := os.ReadFile(artifact(t, "site.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	s.dinp("deploy", "good", artifact(t, "hello.tar.gz"), "--memory", "64M", "--drain", "0s")
	s.answers("good", "/", "Hello")
	s.explained("good")

	s.refused("D130", "deploy", "words", text)
	s.refused("D130", "deploy", "broken", broken)
	s.refused("D133", "deploy", "odd", artifact(t, "site.tar.gz"), "--runtime", "cobol")
	s.refused("D120", "deploy", "Not_A_Label", artifact(t, "site.tar.gz"))
	s.refused("D121", "create", "good")
	s.refused("D192", "deploy", "noimage", "--image", "127.0.0.1:1/nothing:here")
	s.refused("D140", "deploy", "greedy", artifact(t, "hello.tar.gz"), "--memory", "900G")
	login := program(s.home, "login", "http://"+s.dash, "--user", "admin", "--password-stdin")
	login.Stdin = strings.NewReader("not the password\n")
	if out, err := login.CombinedOutput(); err == nil || !strings.Contains(string(out), "D102") {
		t.Errorf("login with a wrong password: %v, want D102\n%s", err, out)
	}

	out := s.refused("D110", "up", "--data", t.TempDir(), "--dash", s.dash, "--router", "127.0.0.1:0", "--router-tls", "", "--grpc", "127.0.0.1:0", "--registry", "127.0.0.1:0")
	if !strings.Contains(out, "--dash") || !strings.Contains(out, "pid") {
		t.Errorf("neither the holder nor the flag is named:\n%s", out)
	}

	out = s.refused("D142", "deploy", "good", silentProgram(t), "--deadline", "8s")
	for _, want := range []string{"I will never listen", "still", "v1 keeps serving 1 of 1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	s.answers("good", "/", "Hello")
	if a := s.app("good"); a.Serving != "v1" || a.Release != "v2" {
		t.Errorf("serving %s, wanted %s", a.Serving, a.Release)
	}

	out = s.refused("D143", "deploy", "good", scriptArtifact(t, "echo last words; exit 3"))
	if !strings.Contains(out, "last words") {
		t.Errorf("the app's last lines are missing in\n%s", out)
	}
	s.answers("good", "/", "Hello")
}

func TestUp_WithoutDockerSaysSoAndRefusesWithTheReason(t *testing.T) {
	t.Parallel()
	s := newStageOn(t, "unix://"+filepath.Join(t.TempDir(), "nobody-listens"))
	s.start("docker-down")
	out := s.refused("D111", "deploy", "site", artifact(t, "site.tar.gz"))
	if !strings.Contains(out, "systemctl start docker") {
		t.Errorf("no next step in\n%s", out)
	}
	if !strings.Contains(s.proc.log.String(), "docker does not answer") {
		t.Error("the log does not tell")
	}
}

// silentProgram is an app that runs and never listens.
func silentProgram(t *testing.T) string {
	return scriptArtifact(t, "echo I will never listen; exec sleep 600")
}

// scriptArtifact packs a shell script as an app with a Procfile.
func scriptArtifact(t *testing.T, script string) string {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for name, text := range map[string]string{"Procfile": "web: ./run.sh\n", "run.sh": "#!/bin/sh\n" + script + "\n"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.tar.gz")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestUp_PersonUsesTheBrowser(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	password, err := os.ReadFile(filepath.Join(s.data, "admin-password"))
	if err != nil {
		t.Fatal(err)
	}
	browser.Journey(t, "http://"+s.dash, "admin", strings.TrimSpace(string(password)), artifact(t, "site.tar.gz"), artifact(t, "hello.tar.gz"))
}
