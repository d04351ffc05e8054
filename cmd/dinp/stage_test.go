package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

// TestMain lets the test binary be the program under test: a stage starts it
// again with this variable, so that what is killed and raced is the real thing.
func TestMain(m *testing.M) {
	if os.Getenv("DINP_TEST_AS_PROGRAM") != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// program is a command that runs dinp itself.
func program(home string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(environment(), "DINP_HOME="+home)
	return cmd
}

// environment makes the test binary the program. A program with the race detector
// would sleep for a second at its end, in case another of its threads is about to
// race: these run the command line hundreds of times.
func environment() []string {
	return append(os.Environ(), "DINP_TEST_AS_PROGRAM=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
}

// process is a part of the platform as its own process.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	log  *syncBuffer
	done chan struct{}
}

// syncBuffer keeps what a process writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// spawn starts a command; it is ended with the test, and its output shown when
// the test failed.
func spawn(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, log: &syncBuffer{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("--- output of %s\n%s", name, tailOf(p.log.String(), 12000))
		}
		if strings.Contains(p.log.String(), "WARNING: DATA RACE") {
			t.Errorf("%s: data race\n%s", name, p.log.String())
		}
	})
	return p
}

func tailOf(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// end sends a signal and waits; a process that does not end in time is killed
// and the test fails.
func (p *process) end(sig syscall.Signal) {
	select {
	case <-p.done:
		return
	default:
	}
	p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("%s did not end within 60s of %s", p.name, sig)
	}
}

// stage is one all-in-one platform on ports and folders of its own.
type stage struct {
	t              *testing.T
	data, home     string
	dash, router   string // host:port
	tls            string // of the router, for HTTPS
	grpc, registry string
	proc           *process
	docker         string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := newStageOn(t, testenv.Docker(t))
	t.Cleanup(s.sweep)
	s.start("ready")
	return s
}

// newStageOn makes a stage on a Docker engine; it is not started.
func newStageOn(t *testing.T, docker string) *stage {
	t.Helper()
	s := &stage{t: t, data: t.TempDir(), home: t.TempDir(), docker: docker}
	for _, a := range []*string{&s.dash, &s.router, &s.tls, &s.grpc, &s.registry} {
		*a = testenv.FreeAddr(t)
	}
	return s
}

func (s *stage) upArgs() []string {
	return []string{"up", "--data", s.data, "--dash", s.dash, "--router", s.router, "--router-tls", s.tls, "--grpc", s.grpc, "--registry", s.registry, "--base-images", testenv.BaseImages(s.t, "static", "binary", "tomcat"), "--docker-host", s.docker, "--memory", "4G"}
}

// start runs `dinp up` and waits until its node has the status.
func (s *stage) start(status string) {
	s.t.Helper()
	s.proc = spawn(s.t, "dinp up", program(s.home, s.upArgs()...))
	testenv.Eventually(s.t, 60*time.Second, func() error {
		select {
		case <-s.proc.done:
			s.t.Fatalf("dinp up ended:\n%s", s.proc.log)
		default:
		}
		out, code := s.try("nodes")
		if code != 0 || !strings.Contains(out, status) {
			return fmt.Errorf("nodes: exit %d: %s", code, out)
		}
		return nil
	})
}

// sweep removes the containers and images that this stage made.
func (s *stage) sweep() {
	if s.proc != nil {
		s.proc.end(syscall.SIGTERM)
	}
	id, err := os.ReadFile(filepath.Join(s.data, "agent", "node-id"))
	if err == nil {
		removeContainers(s.t, s.docker, strings.TrimSpace(string(id)))
	}
	removeImages(s.t, s.docker, s.registry)
}

// removeImages drops what an engine has pulled from or built for a registry.
func removeImages(t *testing.T, docker, registry string) {
	out, err := exec.Command("docker", "-H", docker, "images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}").Output()
	if err != nil {
		t.Logf("list images: %v", err)
		return
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 || !strings.HasPrefix(f[0], registry+"/") {
			continue
		}
		for sep, name := range map[string]string{":": f[1], "@": f[2]} {
			if name != "<none>" {
				exec.Command("docker", "-H", docker, "rmi", f[0]+sep+name).Run()
			}
		}
	}
}

func removeContainers(t *testing.T, docker, nodeID string) {
	out, err := exec.Command("docker", "-H", docker, "ps", "-aq", "--filter", "label=dinp.node="+nodeID).Output()
	if err != nil {
		t.Logf("list containers: %v", err)
		return
	}
	if ids := strings.Fields(string(out)); len(ids) > 0 {
		exec.Command("docker", append([]string{"-H", docker, "rm", "-f"}, ids...)...).Run()
	}
}

// try runs a command line and returns all it wrote, and its exit code.
func (s *stage) try(args ...string) (string, int) { return runCLI(s.home, args...) }

func runCLI(home string, args ...string) (string, int) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := program(home, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err.Error(), -1
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out.String(), exit.ExitCode()
	}
	return out.String(), 0
}

// dinp runs a command line that must succeed.
func (s *stage) dinp(args ...string) string {
	s.t.Helper()
	out, code := s.try(args...)
	if code != 0 {
		s.t.Fatalf("dinp %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// refused runs a command line that must fail with a code.
func (s *stage) refused(want string, args ...string) string {
	s.t.Helper()
	out, code := s.try(args...)
	if code == 0 || !strings.Contains(out, want) {
		s.t.Errorf("dinp %s: exit %d, want %s\n%s", strings.Join(args, " "), code, want, out)
	}
	return out
}

// get asks an app through the router.
func (s *stage) get(host, path string) (int, string, error) {
	if !strings.Contains(host, ".") {
		host += ".apps.localhost"
	}
	return get(s.router, host, path)
}

func get(router, host, path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+router+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// answers waits until an app answers 200 with text in its body.
func (s *stage) answers(host, path, text string) {
	s.t.Helper()
	testenv.Eventually(s.t, 90*time.Second, func() error {
		code, body, err := s.get(host, path)
		if err != nil || code != http.StatusOK || !strings.Contains(body, text) {
			return fmt.Errorf("%s%s: %d %v, want %q in %q", host, path, code, err, text, tailOf(body, 300))
		}
		return nil
	})
}

// artifact is a packed example.
func artifact(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(testenv.Examples(t), name)
}

// visits keeps asking an app from several clients until it is told to stop, which
// returns how many requests there were and what failed. Each client rests after a
// request: the machine is needed for what is tested.
func visits(router, host, path string) (stop func() (requests int, failures []string)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	requests, failures := 0, []string(nil)
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				code, body, err := get(router, host, path)
				mu.Lock()
				requests++
				if err != nil || code != http.StatusOK {
					failures = append(failures, fmt.Sprintf("%s %d %v %s", time.Now().Format("15:04:05.000"), code, err, tailOf(body, 200)))
				}
				mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	return func() (int, []string) {
		cancel()
		wg.Wait()
		return requests, failures
	}
}
