package logs

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
)

// host is a Store over a fake engine with one running container, i1.
type host struct {
	t      *testing.T
	dir    string
	engine *fake.Engine
	faulty *fake.Faulty
	*Store
	max    int64 // of a file; 0: the default
	cancel context.CancelFunc
	done   chan struct{}
}

func newHost(t *testing.T) *host {
	t.Helper()
	e := fake.NewEngine()
	rt := e.Node("n1", "10.0.0.1")
	for _, err := range []error{
		rt.EnsureImage(t.Context(), "img"),
		func() error {
			_, err := rt.Create(t.Context(), runtime.Spec{InstanceID: "i1", Image: "img"})
			return err
		}(),
		rt.Start(t.Context(), "i1"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h := &host{t: t, dir: filepath.Join(t.TempDir(), "logs"), engine: e}
	h.faulty = &fake.Faulty{Runtime: rt, Hook: func(fake.Op, string) fake.Fault { return fake.Fault{} }}
	h.up()
	t.Cleanup(func() { h.down() })
	return h
}

func (h *host) up() {
	h.Store = New(h.dir, h.faulty, slog.New(slog.DiscardHandler))
	if h.max > 0 {
		h.maxFile = h.max
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan struct{})
	go func() {
		_ = h.Run(ctx) // ends with the context
		close(h.done)
	}()
	h.Follow("i1")
	h.Follow("i1")
	synctest.Wait()
}

func (h *host) down() {
	h.cancel()
	<-h.done
}

func (h *host) print(texts ...string) {
	for _, text := range texts {
		h.engine.Print("i1", text)
	}
	synctest.Wait()
}

func (h *host) kept(q Request) []string {
	h.t.Helper()
	var out []string
	q.ID = "i1"
	err := h.Stream(h.t.Context(), q, func(lines []runtime.Line) error {
		for _, l := range lines {
			out = append(out, l.Text)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func bubble(t *testing.T, f func(*testing.T, *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newHost(t)) })
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
