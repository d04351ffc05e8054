package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/dinp/dinp/agent"
	"github.com/dinp/dinp/agent/docker"
	"github.com/dinp/dinp/agent/docker/dockertest"
	"github.com/dinp/dinp/agent/session/leadertest"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/pki/pkitest"
	"github.com/dinp/dinp/test/testenv"
)

const patience = 60 * time.Second

// cluster signs for the agents and leaders of these tests.
var cluster = pkitest.New()

// identity lets the agent with a data folder join.
func identity(t *testing.T, data string) *pki.Keeper {
	t.Helper()
	id, err := agent.NodeID(data)
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Kept(pki.RoleAgent, id, agent.IdentityFile(data))
}

// TestMain runs the tests, or the agent that one of them kills.
func TestMain(m *testing.M) {
	if text := os.Getenv("AGENT_VICTIM"); text != "" {
		var cfg agent.Config
		if err := json.Unmarshal([]byte(text), &cfg); err != nil {
			panic(err)
		}
		var err error
		if cfg.Identity, err = pki.Load(agent.IdentityFile(cfg.Data)); err != nil {
			panic(err)
		}
		a := agent.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if err := a.Listen(); err != nil {
			panic(err)
		}
		panic(a.Run(context.Background()))
	}
	goleak.VerifyTestMain(m)
}

func TestAgent_RunsAnInstanceOnDocker_AndStopsIt(t *testing.T) {
	p := newPlatform(t)
	run(t, p.config(t.TempDir()))
	p.leader.Connected(1)
	id := p.running(map[string]string{"TEST_LINES": "hello,world"})
	p.answers(id)
	p.leader.Order(p.leader.Stop(id))
	p.leader.UntilPhase(id, model.PhaseGone)
	if o := p.seen(id); o.Gone != model.GoneExited || o.Code != "" || strings.Join(o.Logs, "|") != "hello|world" {
		t.Errorf("gone: %+v", o)
	}
	if out, err := exec.Command("docker", "inspect", model.ContainerName(id)).CombinedOutput(); err == nil {
		t.Errorf("the container is still there: %s", out)
	}
	p.leader.Order(&pb.ServerMessage{Body: &pb.ServerMessage_LogRequest{LogRequest: &pb.LogRequest{Id: "q", InstanceId: id}}})
	p.leader.Until("the logs went with the container", func() bool {
		return len(p.leader.Chunks) > 0 && len(p.leader.Chunks[0].GetLines()) == 2
	})
}

func TestAgent_ProcessEnds_TellsCodeAndLastLines(t *testing.T) {
	p := newPlatform(t)
	run(t, p.config(t.TempDir()))
	p.leader.Connected(1)
	id := p.start(map[string]string{"TEST_LINES": "cannot find my database", "TEST_EXIT": "3"})
	p.leader.UntilPhase(id, model.PhaseGone)
	if o := p.seen(id); o.Gone != model.GoneExited || o.ExitCode != 3 || o.Code != model.CodeCrashed ||
		strings.Join(o.Logs, "|") != "cannot find my database" {
		t.Errorf("gone: %+v", o)
	}
}

func TestAgent_ContainerRemovedByAPerson_IsTold(t *testing.T) {
	p := newPlatform(t)
	run(t, p.config(t.TempDir()))
	p.leader.Connected(1)
	id := p.running(nil)
	if out, err := exec.Command("docker", "rm", "-f", model.ContainerName(id)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.leader.UntilPhase(id, model.PhaseGone)
	if o := p.seen(id); o.Code != model.CodeCrashed || o.Message == "" {
		t.Errorf("gone: %+v", o)
	}
}

func TestAgent_UnknownImage_SaysWhyAfterItsTries(t *testing.T) {
	p := newPlatform(t)
	run(t, p.config(t.TempDir()))
	p.leader.Connected(1)
	p.image = "dinp/apps/none@sha256:" + strings.Repeat("0", 64)
	id := p.start(nil)
	p.leader.UntilPhase(id, model.PhaseGone)
	if o := p.seen(id); o.Gone != model.GoneFailed || o.Code != model.CodePullFailed || !strings.Contains(o.Message, "unknown") {
		t.Errorf("gone: %+v", o)
	}
}

// TestAgent_Killed9_ContainersRunOnAndAreAdopted runs the agent as a process of
// its own and kills it as no handler can notice.
func TestAgent_Killed9_ContainersRunOnAndAreAdopted(t *testing.T) {
	p := newPlatform(t)
	cfg := p.config(t.TempDir())
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "AGENT_VICTIM="+string(text))
	victim.Stderr = &printed
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	reap := func() { _ = victim.Process.Kill(); _ = victim.Wait() }
	t.Cleanup(reap)
	p.leader.Connected(1)
	id := p.running(map[string]string{"TEST_LINES": "before"})
	half := p.start(nil) // may be anywhere on its way
	before := p.seen(id)
	reap()
	p.reachable(before.Addr)
	a, _ := run(t, cfg)
	p.leader.Connected(2)
	if after := p.seen(id); after.Container != before.Container || after.Addr != before.Addr || after.Phase != model.PhaseRunning {
		t.Errorf("before %+v, after %+v\n%s", before, after, printed.String())
	}
	o := p.leader.Start(half)
	o.GetStart().Image = p.image
	p.leader.Order(o)
	p.leader.UntilPhase(half, model.PhaseRunning)
	out, err := exec.Command("docker", "ps", "-aq", "--filter", "label="+model.LabelNode+"="+a.NodeID()).Output()
	if n := len(strings.Fields(string(out))); err != nil || n != 2 {
		t.Errorf("%d containers, want 2 (%v)", n, err)
	}
}

func TestAgent_TwoOnOneEngine_KeepToTheirOwn(t *testing.T) {
	p, q := newPlatform(t), newPlatform(t)
	run(t, p.config(t.TempDir()))
	_, stop := run(t, q.config(t.TempDir()))
	p.leader.Connected(1)
	q.leader.Connected(1)
	mine, theirs := p.running(nil), q.running(nil)
	stop()
	run(t, q.config(t.TempDir())) // a third node: the second one's container is not its own
	q.leader.Connected(2)
	if o := q.seen(theirs); o.ID != "" {
		t.Errorf("another node's container was adopted: %+v", o)
	}
	p.leader.Order(p.leader.Stop(mine))
	p.leader.UntilPhase(mine, model.PhaseGone)
	out, err := exec.Command("docker", "inspect", "-f", "{{.State.Running}}", model.ContainerName(theirs)).Output()
	if err != nil || strings.TrimSpace(string(out)) != "true" {
		t.Errorf("the other node's container: %s, %v", out, err)
	}
}

func TestAgent_WithoutDocker_IsConnectedAndSaysSo(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	c := agent.Default()
	c.Servers, c.Data, c.Admin = []string{l.Addr}, t.TempDir(), "127.0.0.1:0"
	c.Identity = identity(t, c.Data)
	c.DockerHost = "unix:///nowhere/docker.sock"
	a, _ := run(t, c)
	l.Connected(1)
	l.Until("docker looks well", func() bool { return !l.Syncs[0].GetDockerOk() && l.Syncs[0].GetDockerError() != "" })
	code, body, err := get("http://" + a.AdminAddr() + "/readyz")
	if err != nil || code != http.StatusServiceUnavailable || !strings.Contains(body, "/nowhere/docker.sock") {
		t.Errorf("readyz: %d %q %v", code, body, err)
	}
}

func TestAgent_DiskShortOfRoom_IsTold(t *testing.T) {
	p := newPlatform(t)
	c := p.config(t.TempDir())
	c.Disk.MinFreeMiB = 1 << 40
	run(t, c)
	p.leader.Connected(1)
	p.leader.Until("the leader hears that the disk is short", func() bool {
		return strings.Contains(p.leader.Beat.GetDisk(), "MiB are free at")
	})
}

// The disk is as full as can be: what the leader says decides what goes, not what
// was used last.
func TestAgent_DiskFull_TheImageOfARollbackStaysOnTheEngine(t *testing.T) {
	p := newPlatform(t)
	engine, err := docker.New(docker.Options{Host: testenv.Docker(t), NodeID: uuid.NewString(), Registry: p.registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	images, used := []string{p.image}, map[string]time.Time{}
	for range 3 {
		images = append(images, dockertest.Push(t, p.registry, uuid.NewString()))
	}
	for n, image := range images {
		t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", p.registry+"/"+image).Run() }) // some are gone already
		if err := engine.EnsureImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
		used[image] = time.Now().Add(time.Duration(n-100) * time.Hour)
	}
	cfg := p.config(t.TempDir())
	cfg.Disk.CollectAbove, cfg.Disk.CollectTo = 1, 0
	text, err := json.Marshal(used)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Data, "images.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, cfg)
	p.leader.Connected(1)
	p.leader.Until("the leader is not asked", func() bool {
		return slices.Equal(p.leader.Unused.GetImages(), images) && p.leader.Unused.GetKeep() == 2
	})
	p.leader.Order(&pb.ServerMessage{Body: &pb.ServerMessage_Needed{Needed: &pb.Needed{Keep: images[:1], Free: images[1:]}}})
	has := func(image string) bool {
		return exec.Command("docker", "image", "inspect", p.registry+"/"+image).Run() == nil
	}
	testenv.Eventually(t, patience, func() error {
		for _, image := range images[1:] {
			if has(image) {
				return errors.New(image + " is still there")
			}
		}
		return nil
	})
	if !has(images[0]) {
		t.Error("what a rollback needs was removed")
	}
}

func TestAgent_Admin_TellsItsState(t *testing.T) {
	p := newPlatform(t)
	a, _ := run(t, p.config(t.TempDir()))
	p.leader.Connected(1)
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/metrics": "dinp_agent_docker_up 1", "/debug/state": `"node": "` + a.NodeID(),
	} {
		testenv.Eventually(t, patience, func() error {
			code, body, err := get("http://" + a.AdminAddr() + path)
			if err == nil && (code != 200 || !strings.Contains(body, want)) {
				err = fmt.Errorf("%s: %d %s", path, code, body)
			}
			return err
		})
	}
	p.leader.Lock()
	defer p.leader.Unlock()
	if h := p.leader.Hello; h.GetAddress() != "127.0.0.1" || h.GetMemoryMib() != 1000 || h.GetCpuMilli() == 0 || h.GetName() == "" || h.GetDockerVersion() == "" {
		t.Errorf("hello: %v", h)
	}
}

func TestListen_PortTaken_NamesTheSetting(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	c := agent.Default()
	c.Data, c.Admin = t.TempDir(), lis.Addr().String()
	c.Identity = identity(t, c.Data)
	err = agent.New(c, slog.New(slog.DiscardHandler)).Listen()
	if !model.IsCode(err, model.CodePortTaken) || !strings.Contains(err.Error(), lis.Addr().String()) {
		t.Errorf("listen: %v", err)
	}
	c.Admin = "127.0.0.1:0"
	if _, stop := run(t, c); stop != nil { // the failed one left nothing open
		stop()
	}
}
