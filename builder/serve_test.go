package builder

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

// container is one container of a built image, run as an agent runs it.
type container struct {
	t    *testing.T
	id   string
	addr string
}

// serve runs an image on the engine, on a port that it is told, until the test ends.
func (r *rig) serve(image string, args ...string) *container {
	r.t.Helper()
	name := r.registry + "/" + image
	c := &container{t: r.t}
	create := append([]string{"create", "--init", "--memory=256m", "--env=PORT=9090", "--publish=127.0.0.1::9090", "--cap-drop=NET_RAW", "--security-opt=no-new-privileges"}, args...)
	c.id = c.docker(append(create, name)...)
	r.t.Cleanup(func() {
		c.docker("rm", "--force", "--volumes", c.id)
		c.docker("rmi", name)
	})
	c.docker("start", c.id)
	c.addr = c.docker("port", c.id, "9090/tcp")
	return c
}

func (c *container) docker(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("docker", append([]string{"-H", testenv.Docker(c.t)}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("docker %q: %v\n%s", args, err, said.String())
	}
	return strings.TrimSpace(string(out))
}

// get answers with the body once the app serves.
func (c *container) get(path string) (string, http.Header) {
	c.t.Helper()
	var body string
	var header http.Header
	testenv.Eventually(c.t, 5*time.Minute, func() error {
		req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.addr+path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("X-Forwarded-Proto", "https")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("%w; its log:\n%s", err, c.logs())
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		body, header = string(b), res.Header
		if err == nil && res.StatusCode >= 500 {
			err = fmt.Errorf("%s: %s; its log:\n%s", res.Status, b, c.logs())
		}
		return err
	})
	return body, header
}

func (c *container) logs() string {
	out, _ := exec.Command("docker", "-H", testenv.Docker(c.t), "logs", c.id).CombinedOutput()
	return string(out)
}

// wantGraceful stops the container while a request is being answered: the answer must be whole, and nothing killed.
func (c *container) wantGraceful() {
	c.t.Helper()
	answer := make(chan string, 1)
	begun := make(chan struct{})
	go func() {
		close(begun)
		res, err := http.Get("http://" + c.addr + "/slow")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		answer <- fmt.Sprint(string(b), err)
	}()
	<-begun
	// The request is on its way; docker needs longer to bring the signal than it to arrive.
	c.docker("exec", c.id, "true")
	c.docker("stop", "--time=30", c.id)
	if got := <-answer; got != "slow but complete\n<nil>" {
		c.t.Errorf("the request being answered at SIGTERM got %q", got)
	}
	if code := c.docker("inspect", "--format={{.State.ExitCode}}", c.id); code == "137" {
		c.t.Error("it had to be killed")
	}
}

// sample is a packed sample of this repository.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	if name == "exploded.tar.gz" {
		return tarGz(t, "shop/WEB-INF/web.xml", `<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0"/>`, "shop/index.jsp", "40 + 2 = ${40 + 2}")
	}
	b, err := os.ReadFile(filepath.Join(testenv.Examples(t), name))
	must(t, err)
	return b
}

// TestRuntimes_FromTheFileToTheAnswer builds a sample of every runtime and asks it over HTTP, in a real container.
func TestRuntimes_FromTheFileToTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, runtime := range []string{"java", "node", "python", "php", "binary", "static"} {
		r.pushCachedBase(runtime)
	}
	r.pushRealBase("tomcat") // its converter runs in it
	r.cfg.DockerHost = testenv.Docker(t)
	r.start()
	t.Cleanup(r.wantNothingLeft)
	for _, c := range []struct {
		file, runtime, path, want string
		graceful                  bool
		log                       []string
	}{
		{"hello.jar", "java", "/", "hello from Java 17\n", true, []string{"detected java: META-INF/MANIFEST.MF", "starts with main class of the manifest: hello.Hello"}},
		{"node.tar.gz", "node", "/", "hello from Node.js 18\n", true, []string{"detected node: package.json", "starts with start script of package.json: node server.js", "layer node_modules"}},
		{"python.tar.gz", "python", "/", "hello from Python 3.11\n", true, []string{"detected python: app.py", "starts with WSGI application app:app", "layer libraries"}},
		{"php.tar.gz", "php", "/any/path?x=1", "hello from PHP 8, over https\n", true, []string{"detected php: public/index.php"}},
		{"javax.war", "tomcat", "/hello", "hello from jakarta.servlet.http.HttpServlet\n", false, []string{"detected tomcat", "warning (servlet): it is written for Java EE", "fix: "}},
		{"exploded.tar.gz", "tomcat", "/", "40 + 2 = 42", false, []string{"detected tomcat: WEB-INF/web.xml in the top folder shop"}},
		{"hello.tar.gz", "binary", "/healthz", "ok\n", false, []string{"detected binary: Procfile"}},
		{"site.tar.gz", "static", "/", "<!doctype html>", false, []string{"detected static"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			r := r.in(t)
			b := r.wait(r.queue(c.file, sample(t, c.file), "").ID)
			if b.Status != model.BuildSucceeded || b.Runtime != c.runtime {
				t.Fatalf("build %+v, error %+v\n%s", b, b.Error, r.log(b.ID))
			}
			r.wantLog(b.ID, c.log...)
			got := r.serve(b.Image)
			if body, _ := got.get(c.path); !strings.Contains(strings.ToLower(body), strings.ToLower(c.want)) {
				t.Errorf("%s answers %q, want %q", c.path, body, c.want)
			}
			if c.graceful {
				got.wantGraceful()
			}
		})
	}
}
