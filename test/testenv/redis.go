package testenv

import (
	"fmt"
	"net"
	"testing"
)

// Redis returns the address of an empty Redis that belongs to this test alone, and is stopped when the test ends.
func Redis(t testing.TB) string {
	t.Helper()
	f, err := theFamily()
	if err != nil {
		t.Fatalf("redis: %v", err)
	}
	addr, c, err := f.startOnFreePort("redis-server", redisArgs)
	if err != nil {
		t.Fatalf("redis: %v", err)
	}
	t.Cleanup(c.stop)
	return addr
}

func redisArgs(dir, addr string) ([]string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	return []string{"--bind", host, "--port", port, "--dir", dir, "--save", "", "--appendonly", "no"}, nil
}
