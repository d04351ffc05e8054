package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/table"
	"github.com/dinp/dinp/test/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "shop.local"

// front is a proxy behind a real server, with what it recorded.
type front struct {
	*Proxy
	set *balance.Set
	t   *testing.T
	srv *httptest.Server
	seq int64

	mu      sync.Mutex
	records []Record
}

func newFront(t *testing.T, cfg Config, backends ...string) *front {
	f := &front{t: t, set: balance.New()}
	cfg.Done = func(r Record) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.records = append(f.records, r)
	}
	f.Proxy = New(cfg, f.set, slog.New(slog.DiscardHandler))
	f.route(backends...)
	f.srv = httptest.NewUnstartedServer(f.Proxy)
	f.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	f.srv.Start()
	t.Cleanup(func() { f.srv.Close(); f.set.Close() })
	return f
}

// route swaps in a table in which shop has exactly these endpoints.
func (f *front) route(addrs ...string) {
	b := route.Backend{App: "shop"}
	for _, a := range slices.DeleteFunc(addrs, func(a string) bool { return a == "" }) {
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: a, Instance: "i-" + a, Release: 7, Weight: 100})
	}
	f.put(b)
}

func (f *front) put(b route.Backend) {
	f.t.Helper()
	f.seq++
	t, bad := table.Build(route.Version{Epoch: 1, Seq: f.seq}, map[string]string{
		"/rs/" + host: route.EncodeBackend(b), "/cname/www.shop.example": host,
	}, f.set.Table())
	if len(bad) > 0 {
		f.t.Fatal(bad)
	}
	f.set.Swap(t)
}

func (f *front) request(method, path string, body io.Reader) *http.Request {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.srv.URL+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Host = host
	return r
}

// do sends a request and returns the answer with its body read.
func (f *front) do(r *http.Request) (*http.Response, string) {
	f.t.Helper()
	resp, err := f.srv.Client().Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp, string(b)
}

func (f *front) get(path string) (*http.Response, string) {
	f.t.Helper()
	return f.do(f.request("GET", path, nil))
}

// statusOf is what a request is answered. The answer counts also where the rest of
// the body is not taken any more: net/http's client may tell of that alone.
func (f *front) statusOf(r *http.Request) int {
	f.t.Helper()
	c, err := net.Dial("tcp", f.srv.Listener.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.Close()
	wg.Go(func() { r.Write(c) })
	resp, err := http.ReadResponse(bufio.NewReader(c), r)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode
}

// record waits for the n-th request to have ended.
func (f *front) record(n int) Record {
	f.t.Helper()
	var out Record
	testenv.Eventually(f.t, 20*time.Second, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.records) <= n {
			return fmt.Errorf("%d requests have ended", len(f.records))
		}
		out = f.records[n]
		return nil
	})
	return out
}

// app starts a backend and returns its address.
func app(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// deadAddr refuses connections. A port that was free a moment ago may be somebody
// else's by now; nobody is given this one.
const deadAddr = "127.0.0.1:1"

// rawApp is a backend below HTTP: f gets each accepted connection.
func rawApp(t *testing.T, f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}
