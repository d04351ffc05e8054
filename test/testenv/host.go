package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Host is a machine of its own as far as a network can tell: a network namespace
// with its own Docker engine, joined to this machine by one cable.
type Host struct {
	Name    string // of the namespace
	Address string // of the host, reached from here
	Gateway string // of this machine, reached from the host
	Docker  string // DOCKER_HOST of its engine
	cable   string // our end
	t       testing.TB

	dir     string        // of the engine's files
	dockerd []string      // its command line
	engine  *exec.Cmd     // as it runs now
	ended   chan struct{} // closed when engine has
}

var (
	hosts  atomic.Int64
	laying sync.Mutex
)

// NewHost makes a host, and unmakes it with the test: containers, engine,
// namespace and files. Flags are more of dockerd's. It needs root, ip and dockerd.
func NewHost(t testing.TB, flags ...string) *Host {
	t.Helper()
	Docker(t)     // the kernel modules and packages of an engine are there
	laying.Lock() // until the subnet is seen to be taken
	defer laying.Unlock()
	n := hosts.Add(1)
	subnet, err := freeSubnet()
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{
		Name: fmt.Sprintf("dinp%d-%d", os.Getpid(), n), Address: subnet + ".2", Gateway: subnet + ".1",
		cable: fmt.Sprintf("dc%d-%d", os.Getpid()%100000, n), t: t,
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", h.Name).Run() })
	for _, line := range []string{
		"ip netns add " + h.Name,
		"ip link add " + h.cable + " type veth peer name eth0 netns " + h.Name,
		"ip addr add " + h.Gateway + "/30 dev " + h.cable,
		"ip link set " + h.cable + " up",
		"ip -n " + h.Name + " addr add " + h.Address + "/30 dev eth0",
		"ip -n " + h.Name + " link set lo up",
		"ip -n " + h.Name + " link set eth0 up",
		"ip -n " + h.Name + " route add default via " + h.Gateway,
	} {
		if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	h.newDocker(int(n), flags)
	return h
}

// freeSubnet is the first three numbers of a network that no interface has.
func freeSubnet() (string, error) {
	out, err := exec.Command("ip", "-o", "-4", "addr").Output()
	if err != nil {
		return "", fmt.Errorf("list addresses: %w", err)
	}
	for i := range 200 {
		s := fmt.Sprintf("10.%d.%d", 180+i/50, (os.Getpid()+i)%250)
		if !strings.Contains(string(out), " "+s+".") {
			return s, nil
		}
	}
	return "", fmt.Errorf("no free network among 200 tried")
}

// Command is a command that runs on the host: in its network, with this
// machine's files. `ip netns exec` would hide the control groups from dockerd.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/var/run/netns/" + h.Name, name}, args...)...)
}

func (h *Host) newDocker(n int, flags []string) {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "dinphost")
	if err != nil {
		h.t.Fatal(err)
	}
	h.dir, h.Docker = dir, "unix://"+filepath.Join(dir, "s")
	h.dockerd = append([]string{"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "-H", h.Docker, "--bip", fmt.Sprintf("10.170.%d.1/24", n%250), "--storage-driver", "overlay2"}, flags...)
	h.t.Cleanup(func() {
		if h.stopped() { // containers may live on, and only an engine can end them
			h.StartDocker()
		}
		h.removeAll()
		h.StopDocker()
		unmountBelow(dir)
		if err := os.RemoveAll(dir); err != nil {
			h.t.Logf("left behind: %v", err)
		}
	})
	h.StartDocker()
}

// StartDocker starts the host's engine, or starts it again after StopDocker.
func (h *Host) StartDocker() {
	h.t.Helper()
	log, err := os.OpenFile(filepath.Join(h.dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	cmd, ended := h.Command("dockerd", h.dockerd...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() { cmd.Wait(); close(ended) }()
	h.engine, h.ended = cmd, ended
	Eventually(h.t, 60*time.Second, func() error {
		select {
		case <-ended:
			text, err := os.ReadFile(log.Name())
			h.t.Fatalf("dockerd ended: %v\n%s", err, text)
		default:
		}
		return pingDocker(h.Docker)
	})
}

func (h *Host) stopped() bool {
	select {
	case <-h.ended:
		return true
	default:
		return h.engine == nil
	}
}

// StopDocker stops the host's engine as its service would be. Containers end with
// it, unless its flags say --live-restore.
func (h *Host) StopDocker() {
	if h.stopped() {
		return
	}
	h.engine.Process.Signal(os.Interrupt)
	select {
	case <-h.ended:
	case <-time.After(30 * time.Second):
		h.engine.Process.Kill()
		<-h.ended
	}
}

func (h *Host) removeAll() {
	out, err := exec.Command("docker", "-H", h.Docker, "ps", "-aq").Output()
	if err == nil && len(out) > 0 {
		exec.Command("docker", append([]string{"-H", h.Docker, "rm", "-f"}, strings.Fields(string(out))...)...).Run()
	}
}

// unmountBelow takes off what an engine has left mounted.
func unmountBelow(dir string) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			exec.Command("umount", "-l", f[1]).Run()
		}
	}
}

// Cut pulls the host's cable; Join puts it back. What runs there runs on.
func (h *Host) Cut() { h.link("down") }

// Join puts the cable back in.
func (h *Host) Join() { h.link("up") }

func (h *Host) link(state string) {
	h.t.Helper()
	if out, err := exec.Command("ip", "link", "set", h.cable, state).CombinedOutput(); err != nil {
		h.t.Fatalf("cable %s: %v: %s", state, err, out)
	}
}

// Forward listens on this machine's end of the cable and carries connections to
// addr on loopback: how the host reaches a private server of the test.
func (h *Host) Forward(addr string) string {
	h.t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(h.Gateway, "0"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go carry(c, addr)
		}
	}()
	return ln.Addr().String()
}

func carry(from net.Conn, addr string) {
	defer from.Close()
	to, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	pipe := func(dst, src net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := src.Read(buf)
			if n > 0 {
				if _, err := dst.Write(buf[:n]); err != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		done <- struct{}{}
	}
	go pipe(to, from)
	go pipe(from, to)
	<-done
}
