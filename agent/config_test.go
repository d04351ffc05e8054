package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/dinp/dinp/proto/pki/pkitest"
)

func TestConfig_DefaultIsValidOnceItHasACertificate(t *testing.T) {
	c := Default()
	c.Identity = pkitest.New().Agent("n1")
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfig_Validate_ListsAllThatIsWrong(t *testing.T) {
	c := Config{
		Servers: []string{"nowhere"}, Address: "host.example", PublishIP: "x", MemoryMiB: -1, Admin: "1971",
		RegistryForward: Forward{Listen: "5000"},
	}
	text := c.Validate().Error()
	for _, field := range []string{"servers", "data", "certificate", "address", "publish_ip", "memory_mib", "registry:", "admin", "forward.listen", "forward.to"} {
		if !strings.Contains(text, field) {
			t.Errorf("nothing about %s in:\n%s", field, text)
		}
	}
}

func TestConfig_Resolved_FillsInTheHost(t *testing.T) {
	c, err := Config{Servers: []string{"127.0.0.1:1970"}, MemoryMiB: 77}.resolved()
	if err != nil || c.Address != "127.0.0.1" || c.PublishIP != "127.0.0.1" || c.MemoryMiB != 77 || c.CPUMilli < 1000 || c.Name == "" {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = Config{Servers: []string{"127.0.0.1:1970"}, Address: "10.1.2.3"}.resolved()
	if err != nil || c.PublishIP != "0.0.0.0" || c.MemoryMiB < 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestConfig_Disk_AndFileOfLogins_AreChecked(t *testing.T) {
	c := Default()
	c.Identity = pkitest.New().Agent("n1")
	c.Disk, c.RegistryAuth = Disk{CollectAbove: 50, CollectTo: 60, KeepImages: -1}, "/nowhere/config.json"
	err := c.Validate()
	for _, want := range []string{"collect_above is 50 and collect_to 60", "keep_images is -1", "/nowhere/config.json"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing of %q in: %v", want, err)
		}
	}
}

func TestTotalMiB(t *testing.T) {
	got, err := totalMiB([]byte("MemFree: 1 kB\nMemTotal:       16303420 kB\n"))
	if err != nil || got != 15921 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := totalMiB([]byte("nothing")); err == nil {
		t.Error("no error for a file without MemTotal")
	}
}

func TestForward_CopiesBothWaysAndEndsWithItsContext(t *testing.T) {
	registry, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	go func() { // echoes
		for {
			c, err := registry.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	f, err := listenForward(Forward{Listen: "127.0.0.1:0", To: registry.Addr().String()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	first, idle := dial(t, f), dial(t, f)
	if _, err := first.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if err := first.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(first); err != nil || string(b) != "ping" {
		t.Errorf("got %q, %v", b, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
	_, _ = io.ReadAll(idle) // returns: the connection was ended
}

func dial(t *testing.T, f *forward) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", f.lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
