package instance

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
	"github.com/dinp/dinp/common/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a Set over a fake engine and a journal on disk, inside a synctest
// bubble. It can be killed and started again over the same two.
type node struct {
	t      *testing.T
	dir    string
	engine *fake.Engine
	*Set
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	hook   func(fake.Op, string) fake.Fault
	seen   map[string][]model.Phase // every phase reported, in order
	stream []string                 // calls of the engine
}

func newNode(t *testing.T) *node {
	n := &node{t: t, dir: t.TempDir(), engine: fake.NewEngine(), seen: map[string][]model.Phase{}}
	n.engine.Program = fake.ByEnv
	n.up()
	t.Cleanup(func() { n.kill() })
	return n
}

// up starts the agent's core.
func (n *node) up() {
	n.t.Helper()
	j, err := journal.Open(n.dir, "n1", slog.New(slog.DiscardHandler))
	if err != nil {
		n.t.Fatal(err)
	}
	d := NewDriver(&fake.Faulty{Runtime: n.engine.Node("n1", "10.0.0.1"), Hook: n.fault})
	n.Set = New(Config{MemoryMiB: 1000, CPUMilli: 4000}, d, j, n.note, slog.New(slog.DiscardHandler))
	if err := n.Load(); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.done = cancel, make(chan struct{})
	go func() {
		_ = n.Run(ctx) // ends with the context, that is all it can say
		_ = j.Close()
		close(n.done)
	}()
}

// kill drops the agent's core as kill -9 would: nothing is written any more.
func (n *node) kill() {
	n.cancel()
	<-n.done
}

// restart kills the agent's core and starts it, again if that is cut short too.
func (n *node) restart() {
	n.t.Helper()
	for again := true; again; {
		n.kill()
		n.up()
		again = n.reconcile() != nil
	}
}

func (n *node) relist() {
	n.t.Helper()
	if err := n.reconcile(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) reconcile() error {
	list, err := n.driver.Runtime.List(n.t.Context())
	if err != nil {
		return err
	}
	defer synctest.Wait()
	return n.Reconcile(n.t.Context(), list)
}

func (n *node) fault(op fake.Op, id string) fake.Fault {
	n.mu.Lock()
	n.stream = append(n.stream, string(op)+" "+id)
	hook := n.hook
	n.mu.Unlock()
	if hook == nil {
		return fake.Fault{}
	}
	return hook(op, id)
}

func (n *node) setHook(hook func(fake.Op, string) fake.Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = hook
}

// note is called with the Set's mutex held.
func (n *node) note(id string) {
	if e := n.Set.entries[id]; e != nil {
		n.seen[id] = append(n.seen[id], e.rec.Status.Phase)
	}
}

func (n *node) start(id string, env ...string) {
	n.Start(spec(id, env...), time.Now())
	synctest.Wait()
}

func (n *node) stop(id string, drain, grace time.Duration) {
	n.Stop(id, drain, grace, "scaled down", time.Now())
	synctest.Wait()
}

// settle lets retries and timers pass.
func (n *node) settle(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (n *node) want(id string, phase model.Phase) model.Observed {
	n.t.Helper()
	o, ok := n.Find(id)
	if !ok || o.Phase != phase {
		n.t.Fatalf("instance %s: %+v (known: %v), want phase %s", id, o, ok, phase)
	}
	return o
}

func (n *node) wantGone(id string, gone model.Gone, code model.Code) model.Observed {
	n.t.Helper()
	o := n.want(id, model.PhaseGone)
	if o.Gone != gone || o.Code != code || o.Message == "" || o.Addr != "" {
		n.t.Fatalf("instance %s: %+v, want gone %s, code %q and a message", id, o, gone, code)
	}
	return o
}

func (n *node) wantContainers(running, all int) {
	n.t.Helper()
	if r, a := n.engine.Count("n1"); r != running || a != all {
		n.t.Fatalf("%d containers, %d running; want %d and %d", a, r, all, running)
	}
}

func spec(id string, env ...string) runtime.Spec {
	s := runtime.Spec{
		InstanceID: id, AppID: "a1", AppName: "shop", ReleaseID: "r1", Release: 1, Image: "img", Port: 8080,
		MemoryMiB: 100, Hash: "h", Env: map[string]string{},
	}
	for i := 0; i+1 < len(env); i += 2 {
		s.Env[env[i]] = env[i+1]
	}
	return s
}

// bubble runs a test with virtual time.
func bubble(t *testing.T, f func(*testing.T, *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newNode(t)) })
}

func times(n int, f fake.Fault) func(fake.Fault) fake.Fault {
	return func(fake.Fault) fake.Fault {
		if n == 0 {
			return fake.Fault{}
		}
		n--
		return f
	}
}

// failing makes the first count calls of op fail.
func (n *node) failing(op fake.Op, count int, f fake.Fault) {
	var mu sync.Mutex
	next := times(count, f)
	n.setHook(func(o fake.Op, _ string) fake.Fault {
		if o != op {
			return fake.Fault{}
		}
		mu.Lock()
		defer mu.Unlock()
		return next(f)
	})
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return out
}
