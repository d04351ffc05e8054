// Package stage is a small theatre for tests of dash: a real dash on a real
// database, and one goroutine that plays builder, leader and router around it,
// without Docker. Tests of the dashboard use it; it must never be used to prove
// anything about the parts it plays.
package stage

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"google.golang.org/grpc"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/pki/pkitest"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

// cluster signs for the stage's dash and leader.
var cluster = pkitest.New()

// Filenames that make the played parts fail.
const (
	BrokenBuild = "broken.zip" // its build fails with D135
	SilentApp   = "silent.zip" // it is built, and never becomes ready: D142
)

// Stage is a running dash with a played platform.
type Stage struct {
	Dash     *dash.Dash
	Store    *store.Store
	URL      string      // of dash
	User     string      // an admin
	Password string      // of that user
	Away     atomic.Bool // true: no server leads
	Frozen   atomic.Bool // true: builds and rollouts stand still
	port     string      // of the played router
	lease    store.Lease // of the played leader
	done     sync.WaitGroup
}

// Open sets the stage up; it is taken down with the test.
func Open(t testing.TB) *Stage {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &Stage{User: "admin"}
	var err error
	s.Store, err = store.Open(ctx, storetest.SQLite(t))
	must(t, err)
	t.Cleanup(func() {
		stop()
		s.done.Wait() // dash and the play use the store until then
		must(t, s.Store.Close())
	})
	s.lease, err = s.Store.TakeLease(ctx, store.Lease{Name: "leader"}, "stage", "stage", time.Now().UnixMilli())
	must(t, err)
	node := model.Node{ID: "node", Name: "stage-node", Address: "10.9.9.9", MemoryMiB: 8192, CPUMilli: 4000, CreatedAt: time.Now(), SeenAt: time.Now()}
	must(t, s.Store.Apply(ctx, s.lease, store.Control{Nodes: []model.Node{node}}))
	images := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelError))))
	t.Cleanup(images.Close)
	router := httptest.NewServer(s.router())
	t.Cleanup(router.Close)
	u, err := url.Parse(router.URL)
	must(t, err)
	s.port = u.Port()
	s.openDash(ctx, t, strings.TrimPrefix(images.URL, "http://"), s.openLeader(t))
	s.done.Go(func() { s.play(ctx, t) })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Stage) openLeader(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := grpc.NewServer(cluster.Server()...)
	pb.RegisterPlatformServer(srv, &leader{s: s})
	s.done.Go(func() { _ = srv.Serve(l) }) // ends with Stop
	t.Cleanup(srv.Stop)
	return l.Addr().String()
}

func (s *Stage) openDash(ctx context.Context, t testing.TB, images, server string) {
	cfg := dash.Default()
	cfg.Listen, cfg.Admin, cfg.Identity, cfg.Registry, cfg.Servers = "127.0.0.1:0", "", cluster.Part(pki.RoleDash, "stage"), images, []string{server}
	cfg.Data, cfg.MaxUploadMiB, cfg.Version, cfg.Secret = t.TempDir(), 8, "stage", "the secret of the stage"
	var err error
	cfg.PublicPort, err = strconv.Atoi(s.port)
	must(t, err)
	s.Dash, err = dash.New(cfg, s.Store, slog.New(slog.DiscardHandler))
	must(t, err)
	s.Password, _, err = s.Dash.Bootstrap(ctx)
	must(t, err)
	must(t, s.Dash.Listen())
	s.URL = "http://" + s.Dash.Addr()
	s.done.Go(func() {
		if err := s.Dash.Run(ctx); err != nil {
			t.Error("dash:", err)
		}
	})
}

// play builds what is queued and rolls out what is wanted, a step at a time, so
// that a test can see the steps.
func (s *Stage) play(ctx context.Context, t testing.TB) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.Frozen.Load() {
			continue
		}
		for _, act := range []func(context.Context) error{s.build, s.rollOut} {
			if err := act(ctx); err != nil && ctx.Err() == nil {
				t.Error("stage:", err)
			}
		}
	}
}

// appsOf reads every app there is.
func (s *Stage) appsOf(ctx context.Context) ([]model.App, error) {
	return s.Store.Apps(ctx, nil, "", 500)
}
