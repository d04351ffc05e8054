package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/images/base"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/testenv"
)

// council is a cluster with three servers, each behind cables that can be cut:
// one to the database, one from agents, monitor and dash. Its two nodes share
// this machine's engine.
type council struct {
	*cluster
	times   councilTimes
	db      *store.Store // the test's own look at the lease
	dsn     string
	servers map[string]*member // by server ID
}

// member is one server of a council.
type member struct {
	*process
	id, listen       string
	database, agents *testenv.Cable
}

// councilTimes are the times of a council's servers, and for how long its leader is
// stopped: past the end of its lease, and past the time after which its nodes would
// be lost to whoever hears nothing of them.
type councilTimes struct{ lease, beat, lost, stop time.Duration }

// times are short, so that a test is, and long enough for a loaded machine to keep
// them. With DINP_SIGSTOP=60s the leader is stopped for so long, and all is as it
// is by default.
func times(t *testing.T) councilTimes {
	t.Helper()
	short := councilTimes{lease: 4 * time.Second, beat: time.Second, lost: 8 * time.Second}
	short.stop = short.lease + 3*short.beat + short.lost + time.Second
	text := os.Getenv("DINP_SIGSTOP")
	if text == "" {
		return short
	}
	stop, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal("DINP_SIGSTOP:", err)
	}
	d := defaults().Server
	return councilTimes{lease: d.LeaseTTL, beat: d.Heartbeat, lost: d.LostAfter, stop: stop}
}

// newCouncil starts a council; settings are further ones of its servers.
func newCouncil(t *testing.T, settings ...string) *council {
	t.Helper()
	c := &council{
		cluster: &cluster{stage: &stage{t: t, data: t.TempDir(), home: t.TempDir(), docker: testenv.Docker(t)}},
		times:   times(t), dsn: testenv.MariaDB(t), servers: map[string]*member{},
	}
	c.dash, c.router, c.registry, c.redis = testenv.FreeAddr(t), testenv.FreeAddr(t), testenv.Registry(t), testenv.Redis(t)
	bases := []string{"static", "binary"}
	if _, err := base.Push(t.Context(), testenv.BaseImages(t, bases...), c.registry, bases); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.db, err = store.Open(t.Context(), "mysql:"+c.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.db.Close() })
	for _, id := range []string{"s1", "s2", "s3"} {
		m := &member{id: id, listen: testenv.FreeAddr(t)}
		m.agents, m.database = testenv.NewCable(t, "tcp", m.listen), testenv.NewCable(t, "unix", socketOf(c.dsn))
		c.servers[id] = m
	}
	c.writeConfig(settings)
	for _, m := range c.servers {
		c.serve(m)
	}
	for _, part := range []string{"builder", "hm", "router"} {
		c.part(part)
	}
	c.proc = c.part("dash")
	c.login()
	for n := range 2 {
		c.agents = append(c.agents, c.node(n))
	}
	c.ready()
	return c
}

// socketOf is the path in root@unix(PATH)/name.
func socketOf(dsn string) string {
	_, after, _ := strings.Cut(dsn, "unix(")
	path, _, _ := strings.Cut(after, ")")
	return path
}

func (c *council) writeConfig(settings []string) {
	c.t.Helper()
	var servers []string
	for _, m := range c.servers {
		servers = append(servers, m.agents.Addr)
	}
	slices.Sort(servers)
	secret := filepath.Join(c.data, "secret")
	_, routerPort, _ := strings.Cut(c.router, ":")
	text := fmt.Sprintf(`
database: "mysql:%s"
redis: {addr: %q}
secret_file: %s
servers: [%s]
registry: %q
domain: apps.test
server: {admin: "127.0.0.1:0", heartbeat: %s, lost_after: %s, min_ready: 1s, lease_ttl: %s%s}
dash: {listen: %q, admin: "127.0.0.1:0", data: %s, public_port: %s}
builder: {admin: "127.0.0.1:0", work_dir: %s}
hm: {admin: "127.0.0.1:0"}
router: {listen: %q, admin: "127.0.0.1:0", snapshot: %s}
`, c.dsn, c.redis, secret, strings.Join(servers, ", "), c.registry, c.times.beat, c.times.lost, c.times.lease, strings.Join(append([]string{""}, settings...), ", "),
		c.dash, filepath.Join(c.data, "dash"), routerPort, filepath.Join(c.data, "builder"), c.router, filepath.Join(c.data, "routes.json"))
	c.config = filepath.Join(c.data, "dinp.yml")
	for file, content := range map[string]string{secret: strings.Repeat("s3cret", 5), c.config: text} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// serve starts a server, or starts it again.
func (c *council) serve(m *member) {
	dsn := strings.Replace(c.dsn, "unix("+socketOf(c.dsn)+")", "tcp("+m.database.Addr+")", 1)
	m.process = c.part("server", "--id", m.id, "--listen", m.listen, "--advertise", m.agents.Addr, "--database", "mysql:"+dsn)
}

// node joins one of the two nodes and starts its agent.
func (c *council) node(n int) *process {
	c.t.Helper()
	data := c.agentData(n)
	token := strings.Fields(c.dinp("token", "create-join"))[0]
	if out, code := c.try("join", c.lead().agents.Addr, "--token", token, "--data", data); code != 0 {
		c.t.Fatalf("join: %s", out)
	}
	c.t.Cleanup(func() {
		if id, err := os.ReadFile(filepath.Join(data, "node-id")); err == nil {
			removeContainers(c.t, c.docker, strings.TrimSpace(string(id)))
		}
		removeImages(c.t, c.docker, c.registry)
	})
	return c.part("agent", "--address", "127.0.0.1", "--name", fmt.Sprint("host", n+1), "--docker-host", c.docker, "--data", data, "--memory-mib", "1024", "--admin", "127.0.0.1:0")
}

func (c *council) ready() {
	c.t.Helper()
	testenv.Eventually(c.t, 90*time.Second, func() error {
		out, _ := c.try("nodes")
		if n := strings.Count(out, "ready"); n != 2 {
			return fmt.Errorf("%d nodes ready:\n%s", n, out)
		}
		return nil
	})
}

func (c *council) lease() store.Lease {
	c.t.Helper()
	l, err := c.db.Lease(c.t.Context(), "leader")
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

// lead is the server that leads.
func (c *council) lead() *member {
	c.t.Helper()
	var m *member
	testenv.Eventually(c.t, 60*time.Second, func() error {
		if m = c.servers[c.lease().Owner]; m == nil {
			return fmt.Errorf("nobody leads")
		}
		return nil
	})
	return m
}

// takeover waits until another server leads and is obeyed, and says how long it
// took since the moment before what went wrong.
func (c *council) takeover(why string, old store.Lease, since time.Time) {
	c.t.Helper()
	testenv.Eventually(c.t, 60*time.Second, func() error {
		if l := c.lease(); l.Epoch <= old.Epoch || l.Owner == "" || l.Owner == old.Owner {
			return fmt.Errorf("the lease is still %+v", l)
		}
		return nil
	})
	led := time.Since(since)
	c.obeyed(c.lease().Epoch)
	c.t.Logf("%s: another server leads after %s, all agents obey it after %s (lease %s)", why, led.Round(10*time.Millisecond), time.Since(since).Round(10*time.Millisecond), c.times.lease)
}

// obeyed waits until every agent has obeyed an epoch.
func (c *council) obeyed(epoch int64) {
	c.t.Helper()
	testenv.Eventually(c.t, 90*time.Second, func() error {
		for n := range c.agents {
			if e := c.epochOf(n); e < epoch {
				return fmt.Errorf("agent %d obeys epoch %d, not yet %d", n+1, e, epoch)
			}
		}
		return nil
	})
}

// epochOf is what an agent has on disk as the highest epoch it obeyed.
func (c *council) epochOf(n int) int64 {
	var e struct{ Max int64 }
	b, err := os.ReadFile(filepath.Join(c.agentData(n), "epoch.json"))
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil && !os.IsNotExist(err) {
		c.t.Errorf("epoch of agent %d: %v", n+1, err)
	}
	return e.Max
}

// containers lists what the nodes run.
func (c *council) containers() []string {
	c.t.Helper()
	var all []string
	for n := range c.agents {
		id, err := os.ReadFile(filepath.Join(c.agentData(n), "node-id"))
		if err != nil {
			c.t.Fatal(err)
		}
		out, err := exec.Command("docker", "-H", c.docker, "ps", "-q", "--filter", "label=dinp.node="+strings.TrimSpace(string(id))).Output()
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, strings.Fields(string(out))...)
	}
	slices.Sort(all)
	return all
}

// witness watches what leaders do: the epoch of the routes and of what agents
// obey. It must never fall: that would be a leader at work after its successor.
func (c *council) witness() (stop func()) {
	c.t.Helper()
	redis := c.openRedis()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var routes int64
		agents := make([]int64, len(c.agents))
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			v, err := redis.Head(c.t.Context())
			if err == nil && v.Epoch > 0 {
				if v.Epoch < routes {
					c.t.Errorf("routes of epoch %d were written after those of epoch %d", v.Epoch, routes)
				}
				routes = v.Epoch
			}
			for n := range agents {
				e := c.epochOf(n)
				if e < agents[n] {
					c.t.Errorf("agent %d obeyed epoch %d after epoch %d", n+1, e, agents[n])
				}
				agents[n] = e
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	stop = sync.OnceFunc(func() { close(done); wg.Wait() })
	c.t.Cleanup(stop)
	return stop
}

func (c *council) openRedis() *publish.RedisTable {
	c.t.Helper()
	cfg := defaults().Redis
	cfg.Addr = c.redis
	rdb, err := cfg.Open()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { rdb.Close() })
	return publish.NewRedisTable(rdb)
}

// scaled changes the number of instances, which takes a leader that acts.
func (c *council) scaled(n int) {
	c.t.Helper()
	testenv.Eventually(c.t, 60*time.Second, func() error {
		if out, code := c.try("scale", "hello", fmt.Sprint(n)); code != 0 {
			return fmt.Errorf("scale: %s", out)
		}
		return nil
	})
	testenv.Eventually(c.t, 90*time.Second, func() error {
		a, run := c.app("hello"), c.containers()
		if a.Ready != n || len(run) != n {
			return fmt.Errorf("%d ready and %d containers, want %d: %s", a.Ready, len(run), n, a.State)
		}
		return nil
	})
}

// aloneForLong cuts the leader off from all agents until it would take them for
// lost, and joins it again. It returns false when another took over meanwhile.
func (c *council) aloneForLong() bool {
	c.t.Helper()
	lead, old := c.lead(), c.lease()
	mark := len(lead.log.String())
	lead.agents.Cut()
	// The beats of the lease are the clock: past the time of silence and the time of loss.
	enough := old.Beat + int64((3*c.times.beat+c.times.lost+2*c.times.beat)/(c.times.lease*3/10))
	testenv.Eventually(c.t, 3*time.Minute, func() error {
		if l := c.lease(); l.Epoch == old.Epoch && l.Beat < enough {
			return fmt.Errorf("at beat %d of %d", l.Beat, enough)
		}
		return nil
	})
	held := c.lease().Epoch == old.Epoch
	if held {
		said(c.t, lead.process, mark, "to=unknown", 2)
		if strings.Contains(lead.log.String()[mark:], "to=lost") {
			c.t.Error("a leader that hears no agent at all took a node for lost")
		}
	}
	lead.agents.Join()
	c.ready()
	return held
}

// said waits until a process has logged something n times since a mark.
func said(t *testing.T, p *process, from int, text string, n int) {
	t.Helper()
	testenv.Eventually(t, 60*time.Second, func() error {
		if got := strings.Count(p.log.String()[from:], text); got < n {
			return fmt.Errorf("%s has said %q %d times, not %d", p.name, text, got, n)
		}
		return nil
	})
}

func TestServers_WhateverBefallsTheLeader_OneTakesEffectAndAppsNoticeNothing(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	c.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "2", "--memory", "64M", "--drain", "1s")
	c.answers("hello.apps.test", "/", "")
	c.scaled(2)
	before := c.containers()
	unchanged := func(what string) {
		t.Helper()
		if now := c.containers(); !slices.Equal(now, before) {
			t.Errorf("%s: containers %v, before %v", what, now, before)
		}
	}
	stopWitness, stopLoad := c.witness(), visits(c.router, "hello.apps.test", "/")

	lead, old, since := c.lead(), c.lease(), time.Now()
	lead.cmd.Process.Kill()
	c.takeover("kill -9 of the leader", old, since)
	c.ready()
	unchanged("after a kill")
	c.serve(lead)

	lead, old, since = c.lead(), c.lease(), time.Now()
	lead.signal(syscall.SIGSTOP)
	t.Cleanup(func() { lead.signal(syscall.SIGCONT) })
	c.takeover("the leader is stopped", old, since)
	c.scaled(3)
	testenv.Eventually(t, c.times.stop+time.Minute, func() error {
		if d := time.Since(since); d < c.times.stop {
			return fmt.Errorf("the leader is stopped for %s of %s", d, c.times.stop)
		}
		return nil
	})
	now, mark := c.lease(), len(lead.log.String())
	lead.signal(syscall.SIGCONT)
	t.Logf("the old leader goes on after %s, with a lease of %s, and nodes that are lost after %s of silence", time.Since(since).Round(10*time.Millisecond), c.times.lease, 3*c.times.beat+c.times.lost)
	said(t, lead.process, mark, "lease ended", 1)
	c.scaled(2)
	if l := c.lease(); l.Epoch < now.Epoch {
		t.Errorf("the lease is %+v, and was %+v before the old leader went on", l, now)
	}
	before = c.containers()

	lead, old, since = c.lead(), c.lease(), time.Now()
	mark = len(lead.log.String())
	lead.database.Cut()
	c.takeover("the leader is cut off from the database", old, since)
	said(t, lead.process, mark, "lease ended", 1)
	lead.database.Join()
	c.ready()
	unchanged("after a leader without a database")

	for !c.aloneForLong() {
		t.Log("another took over while the leader had no agents: the machine stood still; once more")
	}
	unchanged("after a leader has its agents back")

	lead, old, since = c.lead(), c.lease(), time.Now()
	lead.signal(syscall.SIGTERM)
	c.takeover("the leader is stopped gracefully", old, since)
	<-lead.done
	c.ready()
	unchanged("after a graceful stop")

	stopWitness()
	if requests, failures := stopLoad(); len(failures) > 0 || requests < 100 {
		t.Errorf("%d of %d requests failed: %v", len(failures), requests, failures[:min(5, len(failures))])
	} else {
		t.Logf("%d requests, none failed", requests)
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	select {
	case <-p.done:
	default:
		if err := p.cmd.Process.Signal(sig); err != nil {
			p.t.Error(err)
		}
	}
}
