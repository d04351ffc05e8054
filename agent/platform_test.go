package agent_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dinp/dinp/agent"
	"github.com/dinp/dinp/agent/docker/dockertest"
	"github.com/dinp/dinp/agent/session/leadertest"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

// platform is a leader, a registry and an image: what an agent needs around it.
type platform struct {
	t        *testing.T
	leader   *leadertest.Leader
	registry string
	image    string
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	testenv.Docker(t)
	p := &platform{t: t, leader: leadertest.New(t, cluster, "A", 5), registry: testenv.Registry(t)}
	p.image = dockertest.Push(t, p.registry, uuid.NewString())
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", p.registry+"/"+p.image).Run() }) // not every test pulls it
	return p
}

func (p *platform) config(data string) agent.Config {
	c := agent.Default()
	c.Servers, c.Data, c.Identity, c.Registry, c.Admin = []string{p.leader.Addr}, data, identity(p.t, data), p.registry, "127.0.0.1:0"
	c.DockerHost = testenv.Docker(p.t)
	c.MemoryMiB = 1000
	return c
}

// run starts an agent in this process; the returned func stops it.
func run(t *testing.T, c agent.Config) (*agent.Agent, func()) {
	t.Helper()
	a := agent.New(c, slog.New(slog.DiscardHandler))
	if err := a.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	return a, stop
}

// start orders an instance and returns its id; its container goes with the test.
func (p *platform) start(env map[string]string) string {
	id := uuid.NewString()
	o := p.leader.Start(id)
	o.GetStart().Image, o.GetStart().Env = p.image, env
	p.t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", model.ContainerName(id)).Run() }) // gone already, if all went well
	p.leader.Order(o)
	return id
}

func (p *platform) seen(id string) model.Observed {
	p.leader.Lock()
	defer p.leader.Unlock()
	return p.leader.View[id]
}

func (p *platform) running(env map[string]string) string {
	id := p.start(env)
	p.leader.UntilPhase(id, model.PhaseRunning)
	return id
}

func get(url string) (int, string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// answers waits until the instance answers at the address it reported.
func (p *platform) answers(id string) {
	p.t.Helper()
	testenv.Eventually(p.t, patience, func() error {
		_, body, err := get("http://" + p.seen(id).Addr)
		if err == nil && !strings.Contains(body, "DINP_INSTANCE="+id) {
			err = errors.New(body)
		}
		return err
	})
}

func (p *platform) reachable(addr string) {
	p.t.Helper()
	testenv.Eventually(p.t, patience, func() error { _, _, err := get("http://" + addr); return err })
}
