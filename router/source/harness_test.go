package source

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
	"github.com/dinp/dinp/test/testenv"
)

// TestMain looks for goroutines left behind. go-redis asks every second whether a
// Redis that it could not reach is back, and notices only then that its client was closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// onBoth runs a test against the embedded and the real Redis.
func onBoth(t *testing.T, f func(t *testing.T, newRedis func() string)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		f(t, func() string { return miniredis.RunT(t).Addr() })
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		f(t, func() string { return testenv.Redis(t) })
	})
}

// leader publishes as the leader does: keys, version and stream entry at once.
type leader struct {
	t       *testing.T
	c       *redis.Client
	entries map[string]string
	at      route.Version
	base    route.Version // of the beginning of its term
}

func newLeader(t *testing.T, addr string) *leader {
	c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	t.Cleanup(func() { c.Close() })
	return &leader{t: t, c: c, entries: map[string]string{}, at: ver(100, 0)}
}

// on is the same leader writing to another Redis.
func (l *leader) on(addr string) *leader {
	m := newLeader(l.t, addr)
	m.entries, m.at = maps.Clone(l.entries), l.at
	return m
}

func (l *leader) publish(meant bool, changes ...route.Change) {
	l.t.Helper()
	l.at.Seq++
	for _, ch := range changes {
		if delete(l.entries, ch.Key); ch.Value != nil {
			l.entries[ch.Key] = *ch.Value
		}
	}
	l.write(route.Batch{Version: l.at, Changes: changes, Meant: meant}, true)
}

// republish writes everything under the next version, as the leader does every 30 s.
func (l *leader) republish() {
	l.t.Helper()
	var all []route.Change
	for k, v := range l.entries {
		all = append(all, set(k, v))
	}
	l.publish(false, all...)
}

func (l *leader) write(b route.Batch, stream bool) {
	l.t.Helper()
	_, err := l.c.TxPipelined(l.t.Context(), func(p redis.Pipeliner) error {
		ctx := l.t.Context()
		for _, ch := range b.Changes {
			if ch.Value == nil {
				p.Del(ctx, ch.Key)
			} else {
				p.Set(ctx, ch.Key, *ch.Value, 0)
			}
		}
		p.HSet(ctx, route.VersionKey, "epoch", b.Epoch, "seq", b.Seq)
		if p.HDel(ctx, route.VersionKey, "partial", "base"); b.Partial {
			p.HSet(ctx, route.VersionKey, "partial", b.Epoch, "base", l.base.String())
		}
		if stream {
			p.XAdd(ctx, &redis.XAddArgs{Stream: route.ChangesKey, MaxLen: route.ChangesLength, Approx: true, Values: []any{"batch", route.EncodeBatch(b)}})
		}
		return nil
	})
	if err != nil {
		l.t.Fatalf("publish: %v", err)
	}
}

// watched is a running Source and the tables it served.
type watched struct {
	*Source
	t    *testing.T
	stop func()
	mu   sync.Mutex
	all  []*table.Table
}

func fastConfig(addr, snapshot string) Config {
	return Config{Redis: RedisConfig{Addr: addr}, Snapshot: snapshot, Relist: time.Hour, Idle: 30 * time.Millisecond, Debounce: 5 * time.Millisecond}
}

func watch(t *testing.T, cfg Config) *watched { return watchWith(t, cfg, func(*Source) {}) }

// watchWith is watch of a source that was changed before it runs.
func watchWith(t *testing.T, cfg Config, change func(*Source)) *watched {
	w := &watched{t: t}
	w.Source = New(cfg, testLogger(t), func(tb *table.Table) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = append(w.all, tb)
	})
	change(w.Source)
	w.Load()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	if os.Getenv("DINP_TEST_VERBOSE") != "" {
		l.t.Logf("%s", b)
	}
	return len(b), nil
}

func (w *watched) table() *table.Table {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return table.Empty()
	}
	return w.all[len(w.all)-1]
}

// eventually waits for a condition on the source.
func (w *watched) eventually(what string, ok func() bool) {
	w.t.Helper()
	testenv.Eventually(w.t, 20*time.Second, func() error {
		if ok() {
			return nil
		}
		return fmt.Errorf("%s: table %s, status %+v", what, table.EncodeSnapshot(w.table()), w.Status())
	})
}

// serves waits until exactly what the leader last published is served.
func (w *watched) serves(l *leader) {
	w.t.Helper()
	want, _ := table.Build(l.at, l.entries, table.Empty())
	w.eventually(fmt.Sprintf("want %s", l.at), func() bool { return w.table().Version() == l.at && table.Equal(w.table(), want) })
}

// relay is a TCP relay that can be cut and pointed elsewhere: a Redis behind it
// can go away and be replaced.
type relay struct {
	l    net.Listener
	mu   sync.Mutex
	to   string
	open map[net.Conn]bool
}

func newRelay(t *testing.T, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l, to: to, open: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() { r.accept(&wg) })
	t.Cleanup(func() { l.Close(); r.point(""); wg.Wait() })
	return r
}

func (r *relay) addr() string { return r.l.Addr().String() }

// point cuts every connection and sends later ones elsewhere, or nowhere.
func (r *relay) point(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	for c := range r.open {
		c.Close()
	}
	clear(r.open)
}

func (r *relay) accept(wg *sync.WaitGroup) {
	for {
		in, err := r.l.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		out, err := net.Dial("tcp", r.to)
		if err == nil {
			r.open[in], r.open[out] = true, true
			wg.Go(func() { io.Copy(out, in); out.Close() })
			wg.Go(func() { io.Copy(in, out); in.Close() })
		} else {
			in.Close()
		}
		r.mu.Unlock()
	}
}

func snapshotPath(t *testing.T) string { return filepath.Join(t.TempDir(), "deep", "routes") }
