package router

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/test/testenv"
)

// TestMain looks for goroutines left behind. go-redis asks every second whether a
// Redis that it could not reach is back, and notices only then that its client was closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// running is a router in its full life, fed by a Redis.
type running struct {
	*Router
	t    testing.TB
	stop context.CancelFunc
	done chan error
	once sync.Once
}

// config of a router that stops without a pause.
func config(t testing.TB, redisAddr string) Config {
	c := Default()
	c.ID, c.Listen, c.Admin, c.Redis.Addr = "r1", "127.0.0.1:0", "127.0.0.1:0", redisAddr
	c.Snapshot = filepath.Join(t.TempDir(), "routes")
	c.Timeouts.LameDuck = 0
	return c
}

func start(t testing.TB, c Config) *running {
	t.Helper()
	r := &running{Router: New(c, slog.New(slog.NewTextHandler(testLog{t}, nil))), t: t, done: make(chan error, 1)}
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(r.end)
	return r
}

// end stops the router and waits until it has stopped.
func (r *running) end() {
	r.once.Do(func() {
		r.stop()
		if err := <-r.done; err != nil {
			r.t.Errorf("run: %v", err)
		}
	})
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if os.Getenv("DINP_TEST_VERBOSE") != "" {
		l.t.Logf("%s", b)
	}
	return len(b), nil
}

// get asks the router for a host, each time on a connection of its own.
func (r *running) get(host, path string) (status int, body string, err error) {
	req, err := http.NewRequest("GET", "http://"+r.Addr()+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host, req.Close = host, true
	return answer(http.DefaultTransport.RoundTrip(req))
}

func answer(resp *http.Response, err error) (int, string, error) {
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (r *running) adminGet(path string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest("GET", "http://"+r.AdminAddr()+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Close = true
	status, body, err := answer(http.DefaultTransport.RoundTrip(req))
	if err != nil {
		r.t.Fatal(err)
	}
	return status, body
}

// answers waits until a host answers with a text.
func (r *running) answers(host string, status int, text string) {
	r.t.Helper()
	testenv.Eventually(r.t, 20*time.Second, func() error {
		got, body, err := r.get(host, "/")
		if err != nil || got != status || !strings.Contains(body, text) {
			return fmt.Errorf("%s: %d %q %v", host, got, body, err)
		}
		return nil
	})
}

// leader publishes routes as the leader does.
type leader struct {
	t  testing.TB
	c  *redis.Client
	at route.Version
}

func newLeader(t testing.TB, addr string) *leader {
	c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	t.Cleanup(func() { c.Close() })
	return &leader{t: t, c: c, at: route.Version{Epoch: 100}}
}

func (l *leader) publish(changes ...route.Change) {
	l.t.Helper()
	l.at.Seq++
	b := route.Batch{Version: l.at, Changes: changes}
	_, err := l.c.TxPipelined(context.Background(), func(p redis.Pipeliner) error {
		ctx := context.Background()
		for _, ch := range changes {
			if ch.Value == nil {
				p.Del(ctx, ch.Key)
			} else {
				p.Set(ctx, ch.Key, *ch.Value, 0)
			}
		}
		p.HSet(ctx, route.VersionKey, "epoch", b.Epoch, "seq", b.Seq)
		p.XAdd(ctx, &redis.XAddArgs{Stream: route.ChangesKey, Values: []any{"batch", route.EncodeBatch(b)}})
		return nil
	})
	if err != nil {
		l.t.Fatalf("publish: %v", err)
	}
}

// line is the router's own line in Redis.
func (l *leader) line(id string) (route.RouterLine, error) {
	text, err := l.c.HGet(context.Background(), route.RoutersKey, id).Result()
	if err != nil {
		return route.RouterLine{}, err
	}
	return route.DecodeRouterLine(text)
}

// acknowledged waits until the router says that it serves what was published.
func (l *leader) acknowledged(id string) {
	l.t.Helper()
	testenv.Eventually(l.t, 20*time.Second, func() error {
		line, err := l.line(id)
		if err != nil || line.Serves != l.at {
			return fmt.Errorf("want %v: %+v, %v", l.at, line, err)
		}
		return nil
	})
}

func shop(addrs ...string) route.Change { return backend("shop", addrs...) }

func backend(app string, addrs ...string) route.Change {
	b := route.Backend{App: app}
	for _, a := range addrs {
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: a, Instance: "i-" + a, Release: 3, Weight: 100})
	}
	v := route.EncodeBackend(b)
	return route.Change{Key: route.BackendPrefix + app + ".local", Value: &v}
}

func app(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// buffer is an io.Writer that may be read meanwhile.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
