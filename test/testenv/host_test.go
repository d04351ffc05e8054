package testenv

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestHost_HasAnEngineAndANetworkOfItsOwn(t *testing.T) {
	h := NewHost(t)
	if out, err := exec.Command("docker", "-H", h.Docker, "info").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := refuses(h.Address); err != nil {
		t.Fatal(err)
	}
	h.Cut()
	if refuses(h.Address) == nil {
		t.Error("the host answers without its cable")
	}
	h.Join()
	Eventually(t, 10*time.Second, func() error { return refuses(h.Address) })
}

// refuses reports whether a host answers at all: a port where nobody listens is
// refused by a host that is there, and silent at one that is not.
func refuses(host string) error {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(host, "9"), time.Second)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("not refused: %v", err)
	}
	return nil
}
