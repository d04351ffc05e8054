package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
	"github.com/dinp/dinp/test/traffic"
)

// kill ends a process without warning.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// TestStability_WhateverDies_AppsAreServed kills everything behind the router,
// one after the other until all is dead, and has the router replaced then. The
// apps' visitors must not notice, and afterwards all goes on. In a soak each is
// killed alone first, for long enough that the others draw their conclusions.
func TestStability_WhateverDies_AppsAreServed(t *testing.T) {
	t.Parallel()
	each, rate := traffic.Measure(t)
	db, redis := testenv.MortalMariaDB(t), testenv.MortalRedis(t)
	c := newClusterWith(t, db.Addr, redis.Addr, testenv.NewHost(t), testenv.NewHost(t))
	c.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "2", "--memory", "64M", "--env", "GREETING=one")
	c.spread("hello", 1, 1)
	c.answers("hello.apps.test", "/", "one")
	part := func(name string) (func(), func()) {
		return func() { c.parts[name].kill() }, func() { c.parts[name] = c.part(name) }
	}
	agents := func() (func(), func()) {
		kill := func() {
			for _, a := range c.agents {
				a.kill()
			}
		}
		return kill, func() {
			for n := range c.agents {
				c.agents[n] = c.agent(n)
			}
		}
	}
	type fault struct {
		name        string
		kill, start func()
	}
	faults := []fault{{"MariaDB", db.Kill, db.Start}, {"Redis", redis.Kill, redis.Start}}
	for _, name := range []string{"hm", "server"} {
		kill, start := part(name)
		faults = append(faults, fault{name, kill, start})
	}
	kill, start := agents()
	faults = append(faults, fault{"agents", kill, start})

	asked := traffic.Begin(t, traffic.Config{Addr: c.router, Host: "hello.apps.test", Rate: rate})
	if each >= 10*time.Second {
		for _, f := range faults {
			f.kill()
			asked.GoOn(t, each, f.name+" killed")
			f.start()
			c.whole()
		}
	}
	for _, f := range faults {
		f.kill()
		asked.GoOn(t, 0, f.name+" killed, too")
	}
	asked.GoOn(t, each, "all killed")
	c.replaceRouter()
	asked.GoOn(t, each, "router replaced while all is dead")
	for _, f := range faults {
		f.start()
	}
	c.whole()
	c.dinp("env", "hello", "set", "GREETING=two")
	c.answers("hello.apps.test", "/", "two")
	testenv.Eventually(t, 60*time.Second, func() error {
		if out := c.dinp("router", "top", "hello", "--json"); !strings.Contains(out, `"release": `) {
			return fmt.Errorf("what the routers count is not told: %s", out)
		}
		return nil
	})
	asked.End(t)
}

// whole waits until the cluster works again.
func (c *cluster) whole() {
	c.t.Helper()
	testenv.Eventually(c.t, 2*time.Minute, func() error {
		out, code := c.try("nodes")
		if n := strings.Count(out, "ready"); code != 0 || n != 2 {
			return fmt.Errorf("%d nodes ready: exit %d\n%s", n, code, out)
		}
		out, code = c.try("app", "hello")
		if code != 0 || !strings.Contains(out, "2 of 2") {
			return fmt.Errorf("hello: exit %d\n%s", code, out)
		}
		return nil
	})
}

// replaceRouter starts a second router on the same port, waits until it is
// ready, and ends the first.
func (c *cluster) replaceRouter() {
	c.t.Helper()
	admin := testenv.FreeAddr(c.t)
	next := c.part("router", "--admin", admin)
	testenv.Eventually(c.t, 60*time.Second, func() error {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the new router: %s", resp.Status)
		}
		return nil
	})
	c.parts["router"].end(syscall.SIGTERM)
	c.parts["router"] = next
}
