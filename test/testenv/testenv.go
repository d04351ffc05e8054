// Package testenv gives tests the real neighbours of dinp: MariaDB, Redis, an image registry, Docker and the base
// images. Every server is a private child on a free port or a unix socket in a scratch folder, started when a test first
// asks for it, and gone when the test process ends, however it ends.
//
// Tests of all parts call it; code that ships never imports it. Nothing here skips a test: what a machine lacks is a
// failure that says how to provide it, because a skipped test is a hole nobody sees.
package testenv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// startTimeout bounds the wait for a server to answer. It is far above the usual 40–200 ms because CI machines stall.
const startTimeout = 60 * time.Second

// hint ends every message about something missing: one command that provides all of it.
const hint = "`make test` installs and starts what the tests need"

// Eventually calls f until it returns nil, and fails the test with f's last error once timeout has passed.
// It is how tests wait: for a condition with a deadline, never for a length of time.
func Eventually(t testing.TB, timeout time.Duration, f func() error) {
	t.Helper()
	if err := poll(timeout, f); err != nil {
		t.Fatalf("not so after %v: %v", timeout, err)
	}
}

// poll is Eventually for code that has no test at hand. It asks at least once, and less often as time goes by.
func poll(timeout time.Duration, f func() error) error {
	deadline := time.Now().Add(timeout)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-time.After(pause)
	}
}

// BaseImages returns the folder of the cached base images, one OCI layout per runtime.
// The test fails when one of those that it names has not been made on this machine.
func BaseImages(t testing.TB, runtimes ...string) string {
	t.Helper()
	dir, err := baseImagesDir()
	if err != nil {
		t.Fatalf("base images: %v", err)
	}
	for _, runtime := range runtimes {
		if _, err := os.Stat(filepath.Join(dir, runtime, "index.json")); err != nil {
			t.Fatalf("base image %q: %v; `make base-images` makes it, and %s", runtime, err, hint)
		}
	}
	return dir
}

// baseImagesDir is where `make base-images` keeps its results.
func baseImagesDir() (string, error) {
	if dir := os.Getenv("DINP_BASE_IMAGES"); dir != "" {
		return dir, nil
	}
	return cacheDir("base-images")
}

func cacheDir(name string) (string, error) {
	cache, err := os.UserCacheDir() // honours XDG_CACHE_HOME
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "dinp", name), nil
}

// Examples returns the folder of the packed samples: site.tar.gz, site.zip, hello.tar.gz, dockerfile.tar.gz and
// tomcat-examples.war. What is missing or out of date is packed first.
func Examples(t testing.TB) string {
	t.Helper()
	dir, err := cacheDir("examples")
	if err != nil {
		t.Fatalf("examples: %v", err)
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("examples: %v", err)
	}
	if out, err := exec.Command(filepath.Join(root, "examples", "pack.sh"), dir).CombinedOutput(); err != nil {
		t.Fatalf("examples: %v\n%s", err, out)
	}
	return dir
}

// moduleRoot is the folder of go.mod: a test runs in its package's folder, somewhere below.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above the test's folder")
		}
	}
}

// program finds an installed server. Debian keeps servers in sbin, which is not in the PATH of ordinary users.
func program(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not installed; %s", name, hint)
	}
	return path, nil
}

// FreeAddr returns a loopback address for a server that the test starts, and may start again.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Ports that are given out lie below those that kernels take for outgoing connections (from 32768 on, or higher): else the
// client of some other test may hold the port of a server at the moment it is started again.
const firstPort, endPort = 10000, 32768

// given are the ports that this process has given out.
var given sync.Map

// freeAddr returns a loopback address nobody listens on at this moment. A server of another process may take it before the
// caller's does; start notices that the child ended and tries another.
func freeAddr() (string, error) {
	var err error
	for range 1000 {
		port := firstPort + rand.IntN(endPort-firstPort)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", fmt.Errorf("no free port from %d to %d: %w", firstPort, endPort, err)
}

// dialable reports whether something listens on addr.
func dialable(network, addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	return conn.Close()
}
