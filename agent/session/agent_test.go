package session

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/logs"
	"github.com/dinp/dinp/agent/runtime/fake"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/pki/pkitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 20 * time.Second
)

// cluster signs for the agents and leaders of these tests.
var cluster = pkitest.New()

// agent is a client with a real Set over a fake engine.
type agent struct {
	*follow.Client
	t      *testing.T
	dir    string
	engine *fake.Engine
	set    *instance.Set
	store  *logs.Store
	docker Docker
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newAgent(t *testing.T, servers ...string) *agent {
	t.Helper()
	a := &agent{t: t, dir: t.TempDir(), engine: fake.NewEngine(), docker: Docker{OK: true}}
	a.engine.Program = fake.ByEnv
	a.up(cluster, servers...)
	t.Cleanup(a.down)
	return a
}

func (a *agent) up(c *pkitest.Cluster, servers ...string) {
	a.t.Helper()
	a.upAs(c.Agent("n1"), servers...)
}

func (a *agent) upAs(identity *pki.Keeper, servers ...string) {
	a.t.Helper()
	log := slog.New(slog.DiscardHandler)
	j, err := journal.Open(a.dir, "n1", log)
	if err != nil {
		a.t.Fatal(err)
	}
	rt := a.engine.Node("n1", "10.0.0.1")
	out := follow.NewOutbox()
	d := instance.NewDriver(rt)
	a.store = logs.New(filepath.Join(a.dir, "logs"), rt, log)
	d.Follow, d.Finish = a.store.Follow, a.store.Finish
	a.set = instance.New(instance.Config{MemoryMiB: 1000, CPUMilli: 1000}, d, j, out.Note, log)
	if err := a.set.Load(); err != nil {
		a.t.Fatal(err)
	}
	a.Client = New(follow.Config{Servers: servers, Identity: identity}, Node{
		Set: a.set, Journal: j, Logs: a.store, Outbox: out,
		Hello: func() *pb.Hello {
			return &pb.Hello{NodeId: j.NodeID(), MaxEpoch: j.Epoch().Max, LeaderId: j.Epoch().Leader}
		},
		Docker:  func() Docker { return a.docker },
		Refresh: func(context.Context) {},
	}, log)
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	for _, run := range []func(context.Context) error{a.set.Run, a.store.Run, a.Run} {
		a.wg.Go(func() { _ = run(ctx) }) // ends with the context
	}
	a.wg.Go(func() {
		<-ctx.Done()
		_ = j.Close()
	})
}

func (a *agent) down() {
	a.cancel()
	a.wg.Wait()
}
