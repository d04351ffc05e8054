package testenv

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Mortal is a server of one test alone that can die, and come back at the
// address it had. It ends with the test.
type Mortal struct {
	Addr string // what clients are given: host:port, or a data source name

	t     testing.TB
	dir   string
	start func() (*child, error)
	child *child
}

// MortalRedis returns a Redis that is empty. It writes nothing to disk by itself.
func MortalRedis(t testing.TB) *Mortal {
	t.Helper()
	f, err := theFamily()
	if err != nil {
		t.Fatalf("redis: %v", err)
	}
	m := &Mortal{t: t}
	if m.Addr, m.child, err = f.startOnFreePort("redis-server", func(dir, addr string) ([]string, error) { m.dir = dir; return redisArgs(dir, addr) }); err != nil {
		t.Fatalf("redis: %v", err)
	}
	m.start = func() (*child, error) {
		args, err := redisArgs(m.dir, m.Addr)
		if err != nil {
			return nil, err
		}
		c, err := f.start(m.dir, "redis-server", args...)
		if err != nil {
			return nil, err
		}
		return c, c.await(func() error { return dialable("tcp", m.Addr) })
	}
	t.Cleanup(m.Kill)
	return m
}

// MortalMariaDB returns a MariaDB with an empty database that survives it.
func MortalMariaDB(t testing.TB) *Mortal {
	t.Helper()
	db, c, err := launchMariaDB([]string{"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M"})
	if err != nil {
		t.Fatalf("mariadb: %v", err)
	}
	m := &Mortal{t: t, Addr: db.dsn("dinp"), child: c}
	t.Cleanup(m.Kill)
	if err := db.exec("CREATE DATABASE dinp"); err != nil {
		t.Fatalf("mariadb: %v", err)
	}
	m.start = func() (*child, error) {
		f, err := theFamily()
		if err != nil {
			return nil, err
		}
		again, err := f.start(filepath.Dir(db.socket), "mariadbd", c.cmd.Args[1:]...)
		if err != nil {
			return nil, err
		}
		return again, again.await(func() error { return dialable("unix", db.socket) })
	}
	return m
}

// Kill ends the server without warning, and returns when it is gone.
func (m *Mortal) Kill() { m.child.stop() }

// Start starts the killed server with what its disk holds.
func (m *Mortal) Start() {
	m.t.Helper()
	c, err := m.start()
	if err != nil {
		m.t.Fatalf("start again: %v", err)
	}
	m.child = c
}

// Save makes a Redis write what it holds to its disk, for the next Start.
func (m *Mortal) Save() {
	m.t.Helper()
	if out, err := exec.Command("redis-cli", "-u", "redis://"+m.Addr, "save").CombinedOutput(); err != nil {
		m.t.Fatalf("save: %v\n%s", err, out)
	}
}

// Forget removes what a Redis has saved: the next Start begins empty.
func (m *Mortal) Forget() {
	m.t.Helper()
	if err := os.Remove(filepath.Join(m.dir, "dump.rdb")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
}
