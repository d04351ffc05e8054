package hm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/hm"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/pki/pkitest"
	"github.com/dinp/dinp/test/testenv"
)

// cluster signs for the monitors and leaders of these tests.
var cluster = pkitest.New()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 30 * time.Second
)

// leader plays a server: it hands out targets and keeps the verdicts.
type leader struct {
	pb.UnimplementedHealthServer
	t      *testing.T
	addr   string
	moved  string // not "": answers NotLeader with it
	server *grpc.Server

	mu       sync.Mutex // guards all below
	sessions int
	monitor  string
	targets  []*pb.HealthTarget
	deltas   chan *pb.HealthTargets // of the last session
	verdicts map[string]*pb.HealthVerdict
	told     int // verdicts in the last session
}

func newLeader(t *testing.T, targets ...*pb.HealthTarget) *leader {
	t.Helper()
	l := &leader{t: t, addr: "127.0.0.1:0", targets: targets, verdicts: map[string]*pb.HealthVerdict{}}
	l.serve()
	t.Cleanup(func() { l.server.Stop() })
	return l
}

func (l *leader) serve() {
	l.t.Helper()
	lis, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.addr = lis.Addr().String()
	l.server = grpc.NewServer(cluster.Server()...)
	pb.RegisterHealthServer(l.server, l)
	go func() { _ = l.server.Serve(lis) }()
}

// Watch implements pb.HealthServer.
func (l *leader) Watch(s grpc.BidiStreamingServer[pb.HealthMessage, pb.HealthTargets]) error {
	hello, err := s.Recv()
	if err != nil {
		return err
	}
	if l.moved != "" {
		return s.Send(&pb.HealthTargets{NotLeader: &pb.NotLeader{Address: l.moved}})
	}
	deltas := l.welcome(hello)
	ended := make(chan error, 1)
	go func() { ended <- l.listen(s) }()
	for {
		select {
		case d := <-deltas:
			if err := s.Send(d); err != nil {
				return err
			}
		case err := <-ended:
			return err
		}
	}
}

func (l *leader) welcome(hello *pb.HealthMessage) chan *pb.HealthTargets {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions++
	l.told, l.monitor = 0, hello.GetMonitorId()
	l.deltas = make(chan *pb.HealthTargets, 10)
	l.deltas <- &pb.HealthTargets{Full: true, Set: l.targets}
	return l.deltas
}

func (l *leader) listen(s grpc.BidiStreamingServer[pb.HealthMessage, pb.HealthTargets]) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, v := range m.GetVerdicts() {
			l.told++
			l.verdicts[v.GetInstanceId()] = v
		}
		if m.GetMonitorId() != l.monitor {
			l.t.Errorf("monitor %q, was %q", m.GetMonitorId(), l.monitor)
		}
		l.mu.Unlock()
	}
}

func (l *leader) until(what string, f func() bool) {
	l.t.Helper()
	testenv.Eventually(l.t, patience, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if f() {
			return nil
		}
		return fmt.Errorf("%s: %v", what, l.verdicts)
	})
}

func (l *leader) untilHealthy(id string, want bool) {
	l.t.Helper()
	l.until(fmt.Sprintf("%s is not %v", id, want), func() bool {
		v := l.verdicts[id]
		return v != nil && v.GetHealthy() == want && v.GetEvidence() != "" && v.GetSinceMs() > 0
	})
}

func run(t *testing.T, c *pkitest.Cluster, servers ...string) *hm.HM {
	t.Helper()
	h := hm.New(hm.Config{Servers: servers, Admin: "127.0.0.1:0", Identity: c.Part(pki.RoleMonitor, "hm")}, slog.New(slog.DiscardHandler))
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return h
}

// app is an instance that can be broken.
type app struct {
	*httptest.Server
	broken atomic.Bool
}

func newApp(t *testing.T) *app {
	a := &app{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if a.broken.Load() {
			w.WriteHeader(500)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *app) target(id string) *pb.HealthTarget {
	return &pb.HealthTarget{InstanceId: id, Addr: a.Listener.Addr().String(), Host: "shop.example", Path: "/up"}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestHM_TellsVerdictsAndTheirChanges(t *testing.T) {
	a, dead := newApp(t), newApp(t)
	dead.Close()
	l := newLeader(t, a.target("up"), dead.target("down"))
	h := run(t, cluster, l.addr)
	l.untilHealthy("up", true)
	l.untilHealthy("down", false)
	if e := l.verdicts["down"].GetEvidence(); e != "GET /up: connect: refused" {
		t.Errorf("evidence %q", e)
	}
	late := newApp(t)
	l.deltas <- &pb.HealthTargets{Set: []*pb.HealthTarget{late.target("late")}, Remove: []string{"down"}}
	l.untilHealthy("late", true)
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/metrics": "dinp_hm_targets 2", "/debug/state": `"InstanceID": "late"`,
	} {
		if code, body := get(t, "http://"+h.AdminAddr()+path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestHM_LeaderRestarts_ProbesOnAndTellsAllAgain(t *testing.T) {
	a := newApp(t)
	l := newLeader(t, a.target("a"), a.target("b"))
	run(t, cluster, l.addr)
	l.untilHealthy("a", true)
	l.untilHealthy("b", true)
	l.server.Stop()
	l.serve()
	l.until("not told again", func() bool { return l.sessions == 2 && l.told >= 2 })
}

func TestHM_Follower_SendsItToTheLeader(t *testing.T) {
	a := newApp(t)
	l, f, dead := newLeader(t, a.target("a")), newLeader(t), newLeader(t)
	f.moved = l.addr
	dead.server.Stop()
	run(t, cluster, dead.addr, f.addr)
	l.untilHealthy("a", true)
}

func TestHM_WrongSecret_SaysSo(t *testing.T) {
	l := newLeader(t)
	h := run(t, pkitest.New(), l.addr)
	testenv.Eventually(t, patience, func() error {
		if code, body := get(t, "http://"+h.AdminAddr()+"/readyz"); code != 503 || !strings.Contains(body, "not a server of our cluster") {
			return errors.New(body)
		}
		return nil
	})
}

func TestListen_PortTaken_NamesTheSetting(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	c := hm.Default()
	c.Identity, c.Admin = cluster.Part(pki.RoleMonitor, "hm"), lis.Addr().String()
	if err := hm.New(c, slog.New(slog.DiscardHandler)).Listen(); !model.IsCode(err, model.CodePortTaken) {
		t.Errorf("listen: %v", err)
	}
}

func TestConfig_Validate_ListsAllThatIsWrong(t *testing.T) {
	text := hm.Config{Servers: []string{"x"}, Admin: "y"}.Validate().Error()
	for _, want := range []string{"servers", "certificate", "admin"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing about %s in %q", want, text)
		}
	}
}
