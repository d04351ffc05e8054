package source

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/test/testenv"
)

// TestSource_FollowsTheMasterThroughSentinel fails a master over to its replica
// under a following router.
func TestSource_FollowsTheMasterThroughSentinel(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	replica := testenv.Redis(t)
	sentinel := startSentinel(t, l.c.Options().Addr)
	l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
	replicate(t, replica, l.c.Options().Addr)

	cfg := fastConfig("", "")
	cfg.Redis = RedisConfig{Sentinel: SentinelConfig{Master: "dinp", Addrs: []string{sentinel}}}
	w := watch(t, cfg)
	w.serves(l)

	sc := redis.NewSentinelClient(&redis.Options{Addr: sentinel, DisableIdentity: true})
	defer sc.Close()
	testenv.Eventually(t, 60*time.Second, func() error { // until the sentinel knows the replica
		return sc.Failover(t.Context(), "dinp").Err()
	})
	testenv.Eventually(t, 60*time.Second, func() error {
		at, err := sc.GetMasterAddrByName(t.Context(), "dinp").Result()
		if err != nil || net.JoinHostPort(at[0], at[1]) != replica {
			return fmt.Errorf("the master is %v, %v", at, err)
		}
		return nil
	})
	m := l.on(replica)
	m.publish(false, set("/rs/b.x", backend("b", "10.0.0.1:2")))
	w.serves(m)
}

func replicate(t *testing.T, replica, master string) {
	c := redis.NewClient(&redis.Options{Addr: replica, DisableIdentity: true})
	defer c.Close()
	host, port, _ := net.SplitHostPort(master)
	if err := c.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 60*time.Second, func() error { return c.Get(t.Context(), "/rs/a.x").Err() })
}

// startSentinel runs a sentinel of the master until the test ends.
func startSentinel(t *testing.T, master string) string {
	addr := testenv.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	mhost, mport, _ := net.SplitHostPort(master)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor dinp %s %s 1\nsentinel down-after-milliseconds dinp 2000\n", port, filepath.Dir(conf), mhost, mport)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "redis-server", conf, "--sentinel")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also when the test is killed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	testenv.Eventually(t, 30*time.Second, func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	return addr
}
