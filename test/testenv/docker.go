package testenv

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// defaultDockerHost is where the engine listens unless told otherwise.
const defaultDockerHost = "unix:///var/run/docker.sock"

// Docker returns the DOCKER_HOST of a working engine: $DOCKER_HOST, or the machine's own. The engine is shared by all
// tests, and perhaps with people: a test touches only containers, images and networks it has made.
func Docker(t testing.TB) string {
	t.Helper()
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = defaultDockerHost
	}
	if err := pingDocker(host); err != nil {
		t.Fatalf("docker: no engine answers on %s: %v; %s", host, err, hint)
	}
	return host
}

// pingDocker asks the engine whether it serves: a socket file alone, or one that only accepts, proves nothing.
func pingDocker(host string) error {
	network, addr, ok := strings.Cut(host, "://")
	if !ok || (network != "unix" && network != "tcp") {
		return fmt.Errorf("want unix:///path or tcp://host:port")
	}
	conn, err := net.DialTimeout(network, addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"); err != nil {
		return err
	}
	var answer [len("HTTP/1.0 200")]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if !strings.HasSuffix(string(answer[:]), " 200") {
		return fmt.Errorf("answers %q", answer)
	}
	return nil
}
