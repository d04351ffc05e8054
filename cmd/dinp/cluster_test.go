package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/images/base"
	"github.com/dinp/dinp/test/testenv"
)

// cluster is every part as its own process, on real MariaDB, Redis and
// registry, with two Docker hosts.
type cluster struct {
	*stage // for its commands; its `dinp up` is never started
	hosts  []*testenv.Host
	agents []*process
	parts  map[string]*process // server, builder, hm, router
	config string
	db     string // data source name
	redis  string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return newClusterOn(t, testenv.NewHost(t), testenv.NewHost(t))
}

func newClusterOn(t *testing.T, hosts ...*testenv.Host) *cluster {
	t.Helper()
	return newClusterWith(t, testenv.MariaDB(t), testenv.Redis(t), hosts...)
}

// newClusterWith is a cluster on a database and a Redis of the test's choice, too.
func newClusterWith(t *testing.T, db, redis string, hosts ...*testenv.Host) *cluster {
	t.Helper()
	c := &cluster{stage: &stage{t: t, data: t.TempDir(), home: t.TempDir()}, hosts: hosts, parts: map[string]*process{}, db: db, redis: redis}
	c.dash, c.router, c.grpc, c.registry = testenv.FreeAddr(t), testenv.FreeAddr(t), testenv.FreeAddr(t), testenv.Registry(t)
	bases := []string{"static", "binary"}
	if _, err := base.Push(t.Context(), testenv.BaseImages(t, bases...), c.registry, bases); err != nil {
		t.Fatal(err)
	}
	c.writeConfig()
	for _, part := range []string{"server", "builder", "hm", "router"} {
		c.parts[part] = c.part(part)
	}
	c.proc = c.part("dash")
	c.login()
	c.listens(c.grpc) // dash may be there before the server
	for n := range c.hosts {
		c.join(n)
		c.agents = append(c.agents, c.agent(n))
	}
	testenv.Eventually(t, 60*time.Second, func() error {
		out, _ := c.try("nodes")
		if n := strings.Count(out, "ready"); n != 2 {
			return fmt.Errorf("%d nodes ready:\n%s", n, out)
		}
		return nil
	})
	return c
}

// writeConfig writes the one file that all parts read.
func (c *cluster) writeConfig() {
	c.t.Helper()
	secret := filepath.Join(c.data, "secret")
	_, routerPort, _ := strings.Cut(c.router, ":")
	text := fmt.Sprintf(`
database: "mysql:%s"
redis: {addr: %q}
secret_file: %s
servers: [%q]
registry: %q
domain: apps.test
server: {listen: %q, admin: "127.0.0.1:0", heartbeat: 1s, lost_after: 5s, min_ready: 1s}
dash: {listen: %q, admin: "127.0.0.1:0", data: %s, public_port: %s}
builder: {admin: "127.0.0.1:0", work_dir: %s}
hm: {admin: "127.0.0.1:0"}
router: {listen: %q, admin: "127.0.0.1:0", reuse_port: true, snapshot: %s}
`, c.db, c.redis, secret, c.grpc, c.registry, c.grpc, c.dash, filepath.Join(c.data, "dash"), routerPort, filepath.Join(c.data, "builder"), c.router, filepath.Join(c.data, "routes.json"))
	c.config = filepath.Join(c.data, "dinp.yml")
	for file, content := range map[string]string{secret: strings.Repeat("s3cret", 5), c.config: text} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) part(name string, args ...string) *process {
	return spawn(c.t, "dinp "+name, program(c.home, append([]string{name, "--config", c.config}, args...)...))
}

// listens waits until a part has opened its port.
func (c *cluster) listens(addr string) {
	c.t.Helper()
	testenv.Eventually(c.t, 60*time.Second, func() error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// join lets a host join the cluster, as a person would.
func (c *cluster) join(n int) {
	c.t.Helper()
	h := c.hosts[n]
	token := strings.Fields(c.dinp("token", "create-join"))[0]
	cmd := h.Command(os.Args[0], "join", h.Forward(c.grpc), "--token-file", "-", "--data", c.agentData(n))
	cmd.Env, cmd.Stdin = environment(), strings.NewReader(token)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "joined as agent") {
		c.t.Fatalf("join: %v\n%s", err, out)
	}
}

func (c *cluster) agentData(n int) string { return filepath.Join(c.data, fmt.Sprint("agent", n)) }

// agent starts the agent of a host, within the host's network.
func (c *cluster) agent(n int) *process {
	c.t.Helper()
	h := c.hosts[n]
	cmd := h.Command(os.Args[0], "agent", "--config", c.config, "--servers", h.Forward(c.grpc), "--address", h.Address, "--publish-ip", h.Address,
		"--name", fmt.Sprint("host", n+1), "--docker-host", h.Docker, "--data", c.agentData(n), "--memory-mib", "1024",
		"--admin", "127.0.0.1:0", "--registry", "127.0.0.1:5000", "--registry-forward-listen", "127.0.0.1:5000", "--registry-forward-to", h.Forward(c.registry))
	cmd.Env = environment()
	return spawn(c.t, fmt.Sprint("dinp agent ", n+1), cmd)
}

// login logs the command line in with the password that the first dash printed.
func (c *cluster) login() {
	c.t.Helper()
	password := ""
	testenv.Eventually(c.t, 60*time.Second, func() error {
		_, after, ok := strings.Cut(c.proc.log.String(), "with password ")
		if !ok {
			return fmt.Errorf("dash has printed no password yet")
		}
		password = strings.Fields(after)[0]
		return nil
	})
	testenv.Eventually(c.t, 30*time.Second, func() error {
		cmd := program(c.home, "login", "http://"+c.dash, "--user", "admin", "--password-stdin")
		cmd.Stdin = strings.NewReader(password + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// onHosts lists the running containers of an app, host by host.
func (c *cluster) onHosts(app string) [][]string {
	c.t.Helper()
	var out [][]string
	for _, h := range c.hosts {
		ids, err := exec.Command("docker", "-H", h.Docker, "ps", "-q", "--filter", "label=dinp.name="+app).Output()
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, strings.Fields(string(ids)))
	}
	return out
}

func (c *cluster) spread(app string, want ...int) {
	c.t.Helper()
	testenv.Eventually(c.t, 90*time.Second, func() error {
		on := c.onHosts(app)
		a := c.app(app)
		total := 0
		for n, w := range want {
			if len(on[n]) != w {
				return fmt.Errorf("containers %v, want %v", on, want)
			}
			total += w
		}
		if a.Ready != total {
			return fmt.Errorf("%d ready, want %d: %s", a.Ready, total, a.State)
		}
		return nil
	})
}

func TestCluster_DeploysOverTwoHostsHealsAndRollsOut(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "4", "--memory", "64M", "--drain", "1s", "--env", "GREETING=one")
	c.spread("hello", 2, 2)
	c.answers("hello.apps.test", "/", "one")
	c.answers("hello.apps.test", "/env?name=APP_NAME", "hello")
	testenv.Eventually(t, 20*time.Second, func() error {
		for _, h := range c.hosts {
			if _, body, err := c.get("hello.apps.test", "/env?name=HOST_IP"); err == nil && strings.Contains(body, h.Address) {
				return nil
			}
		}
		return fmt.Errorf("HOST_IP is no host's address")
	})
	routes, err := exec.Command("redis-cli", "-u", "redis://"+c.redis, "get", "/rs/hello.apps.test").Output()
	if err != nil || !strings.Contains(string(routes), c.hosts[0].Address) {
		t.Errorf("routes in Redis: %s %v", routes, err)
	}
	c.dinp("domains", "hello", "add", "www.hello.example")
	c.answers("www.hello.example", "/", "one")
	cname, err := exec.Command("redis-cli", "-u", "redis://"+c.redis, "get", "/cname/www.hello.example").Output()
	if err != nil || strings.TrimSpace(string(cname)) != "hello.apps.test" {
		t.Errorf("cname in Redis: %s %v", cname, err)
	}

	stop := visits(c.router, "hello.apps.test", "/")
	c.dinp("env", "hello", "set", "GREETING=two")
	c.answers("hello.apps.test", "/", "two")
	c.spread("hello", 2, 2)
	c.dinp("scale", "hello", "2")
	c.spread("hello", 1, 1)
	if requests, failures := stop(); len(failures) > 0 || requests < 100 {
		t.Errorf("%d of %d requests failed: %v", len(failures), requests, failures[:min(5, len(failures))])
	}
}

func TestCluster_LostHostIsReplacedAndItsReturnMakesNoDouble(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "2", "--memory", "64M", "--drain", "0s")
	c.spread("hello", 1, 1)
	c.hosts[1].Cut()
	testenv.Eventually(t, 60*time.Second, func() error {
		if on := c.onHosts("hello"); len(on[0]) != 2 {
			return fmt.Errorf("containers %v, want two on the first host", on)
		}
		return nil
	})
	testenv.Eventually(t, 60*time.Second, func() error {
		for range 20 {
			if code, _, err := c.get("hello.apps.test", "/"); err != nil || code != http.StatusOK {
				return fmt.Errorf("%d %v", code, err)
			}
		}
		return nil
	})
	if on := c.onHosts("hello"); len(on[1]) != 1 {
		t.Errorf("the lost host's own container was touched: %v", on)
	}
	c.hosts[1].Join()
	c.spread("hello", 2, 0)
}

func TestCluster_HostIsLetInByATokenOnce_AndOutByRevoking(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "2", "--memory", "64M", "--drain", "0s")
	c.spread("hello", 1, 1)
	join := func(dir, token string) string {
		out, _ := c.try("join", c.grpc, "--token", token, "--data", filepath.Join(c.data, dir))
		return out
	}
	token := strings.Fields(c.dinp("token", "create-join", "--minutes", "2"))[0]
	if out := join("x", token); !strings.Contains(out, "joined as agent") || !strings.Contains(out, "dinp agent --data") {
		t.Fatal(out)
	}
	for want, out := range map[string]string{"D196": join("y", token), "was used at": join("z", token)} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in: %s", want, out)
		}
	}
	again := strings.Fields(c.dinp("token", "create-join"))[0]
	if out := join("x", again); !strings.Contains(out, "D198") || !strings.Contains(out, "dinp identities revoke") {
		t.Errorf("a second certificate for a node that has one: %s", out)
	}

	c.dinp("identities", "revoke", "host2")
	testenv.Eventually(t, 30*time.Second, func() error {
		log := c.agents[1].log.String()
		if !strings.Contains(log, "D195") || !strings.Contains(log, "was revoked") || !strings.Contains(log, "dinp join") {
			return fmt.Errorf("the agent does not say why it gets nothing: %s", tailOf(log, 1000))
		}
		return nil
	})
	c.spread("hello", 2, 1) // the lost host's own runs on, and its replacement elsewhere
	c.agents[1].end(syscall.SIGTERM)
	c.join(1)
	c.agents[1] = c.agent(1)
	c.spread("hello", 2, 0)
}

func TestCluster_AgentKilledAndStartedAgainTakesItsContainersUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "2", "--memory", "64M", "--drain", "0s")
	c.spread("hello", 1, 1)
	before := fmt.Sprint(c.onHosts("hello"))
	c.agents[0].cmd.Process.Kill()
	<-c.agents[0].done
	c.agents[0] = c.agent(0)
	c.spread("hello", 1, 1)
	if after := fmt.Sprint(c.onHosts("hello")); after != before {
		t.Errorf("containers %s, want %s", after, before)
	}
	// Told before the agent is back, two more might both go to the other host.
	c.dinp("node", "host2", "cordon")
	c.dinp("scale", "hello", "3")
	c.spread("hello", 2, 1)
}

func TestCluster_EngineRestarted_InstancesStayOrAreReplaced_AndNoneIsDouble(t *testing.T) {
	t.Parallel()
	c := newClusterOn(t, testenv.NewHost(t), testenv.NewHost(t, "--live-restore"))
	c.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "2", "--memory", "64M", "--drain", "0s")
	c.spread("hello", 1, 1)
	before := c.onHosts("hello")
	c.engineRestarted(1)
	c.spread("hello", 1, 1)
	if after := c.onHosts("hello"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("with live-restore: containers %v, before %v", after, before)
	}
	c.engineRestarted(0)
	testenv.Eventually(t, 90*time.Second, func() error {
		on, a := c.onHosts("hello"), c.app("hello")
		all := slices.Concat(on...)
		if len(all) != 2 || a.Ready != 2 || slices.Contains(all, before[0][0]) || !slices.Contains(all, before[1][0]) {
			return fmt.Errorf("without live-restore: containers %v, before %v; %d ready: %s", on, before, a.Ready, a.State)
		}
		return nil
	})
	out, err := exec.Command("docker", "-H", c.hosts[0].Docker, "ps", "-aq", "--filter", "label=dinp.name=hello").Output()
	if err != nil || strings.Contains(string(out), before[0][0]) {
		t.Errorf("what ended is still there: %s %v", out, err)
	}
}

// engineRestarted stops a host's engine until the leader knows, and starts it.
func (c *cluster) engineRestarted(n int) {
	c.t.Helper()
	node := func(status string) {
		c.t.Helper()
		testenv.Eventually(c.t, 60*time.Second, func() error {
			out, _ := c.try("nodes")
			for line := range strings.Lines(out) {
				if strings.Contains(line, fmt.Sprint("host", n+1)) && strings.Contains(line, status) {
					return nil
				}
			}
			return fmt.Errorf("host%d is not %s:\n%s", n+1, status, out)
		})
	}
	c.hosts[n].StopDocker()
	node("docker-down")
	c.hosts[n].StartDocker()
	node("ready")
}
