package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

// dump reads all of the database, as a backup does.
func (c *council) dump() []byte {
	c.t.Helper()
	_, name, _ := strings.Cut(c.dsn, "/")
	out, err := exec.Command("mariadb-dump", "--no-defaults", "--user=root", "--socket="+socketOf(c.dsn), "--single-transaction", database(name)).Output()
	if err != nil {
		c.t.Fatal("mariadb-dump:", err)
	}
	return out
}

// restore makes the database what a dump holds, while all servers are down.
func (c *council) restore(dump []byte) {
	c.t.Helper()
	_, name, _ := strings.Cut(c.dsn, "/")
	name = database(name)
	script := fmt.Sprintf("DROP DATABASE %s; CREATE DATABASE %s; USE %s;\n%s", name, name, name, dump)
	cmd := exec.Command("mariadb", "--no-defaults", "--user=root", "--socket="+socketOf(c.dsn))
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("mariadb: %v\n%s", err, bytes.TrimSpace(out))
	}
}

// database is the name in what follows the address of a data source.
func database(name string) string {
	name, _, _ = strings.Cut(name, "?")
	return name[strings.LastIndex(name, "/")+1:]
}

// aged waits until a leader's term has become so much older, as the database has it.
func (c *council) aged(d time.Duration) {
	c.t.Helper()
	l := c.lease()
	testenv.Eventually(c.t, d+time.Minute, func() error {
		if now := c.lease(); now.Epoch == l.Epoch && now.Age < l.Age+d.Milliseconds() {
			return fmt.Errorf("the term is %d ms old", now.Age)
		}
		return nil
	})
}

// A backup is restored after a deploy and a new app: nothing that runs is touched,
// a person sees why, and once that one has decided the database is what counts.
// The old release serves before the new one goes.
func TestServers_ADatabaseRestoredFromABackup_StopsNothingUntilAPersonHasDecided(t *testing.T) {
	t.Parallel()
	c := newCouncil(t, "safe_after: 2s", "orphans: 3s")
	c.dinp("deploy", "hello", artifact(t, "hello.tar.gz"), "--instances", "2", "--memory", "64M", "--drain", "1s", "--env", "GREETING=one")
	c.answers("hello.apps.test", "/", "one")
	c.scaled(2)
	backup := c.dump()
	c.aged(4 * time.Second)
	c.dinp("env", "hello", "set", "GREETING=two")
	c.answers("hello.apps.test", "/", "two")
	c.dinp("deploy", "later", artifact(t, "hello.tar.gz"), "--instances", "1", "--memory", "64M", "--drain", "1s", "--env", "GREETING=later")
	c.answers("later.apps.test", "/", "later")
	testenv.Eventually(t, 90*time.Second, func() error {
		if run := c.containers(); len(run) != 3 {
			return fmt.Errorf("%d containers, want 3", len(run))
		}
		return nil
	})
	before := c.containers()
	stopHello, stopLater := visits(c.router, "hello.apps.test", "/"), visits(c.router, "later.apps.test", "/")

	for _, m := range c.servers {
		m.cmd.Process.Kill()
		<-m.done
	}
	c.restore(backup)
	for _, m := range c.servers {
		c.serve(m)
	}
	testenv.Eventually(t, 90*time.Second, func() error {
		out, code := c.try("safe-mode")
		for _, want := range []string{"safe mode since", "orders of", "are missing", "hello", "later.apps.test", "dinp safe-mode end"} {
			if code != 0 || !strings.Contains(out, want) {
				return fmt.Errorf("%q is not in:\n%s", want, out)
			}
		}
		return nil
	})
	c.aged(8 * time.Second) // orphans would be gone by now
	if now := c.containers(); !slices.Equal(now, before) {
		t.Errorf("in safe mode: containers %v, before %v", now, before)
	}
	if requests, failures := stopLater(); len(failures) > 0 || requests < 100 {
		t.Errorf("the app that the database has forgotten: %d of %d requests failed: %v", len(failures), requests, failures[:min(5, len(failures))])
	}

	c.dinp("safe-mode", "end")
	c.answers("hello.apps.test", "/", "one")
	testenv.Eventually(t, 90*time.Second, func() error {
		a, run := c.app("hello"), c.containers()
		if a.Ready != 2 || len(run) != 2 {
			return fmt.Errorf("%d ready and %d containers, want 2: %s", a.Ready, len(run), a.State)
		}
		return nil
	})
	if out := c.dinp("safe-mode"); !strings.Contains(out, "off") {
		t.Errorf("it has not ended:\n%s", out)
	}
	if requests, failures := stopHello(); len(failures) > 0 || requests < 100 {
		t.Errorf("%d of %d requests failed: %v", len(failures), requests, failures[:min(5, len(failures))])
	} else {
		t.Logf("%d requests, none failed", requests)
	}
}
