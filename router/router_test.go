package router

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/coder/websocket"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/test/testenv"
)

func TestRouter_PublishedRouteServesAndWithdrawnOneDoesNot(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	r := start(t, config(t, l.c.Options().Addr))
	domain, target := "/cname/www.shop.example", "shop.local"
	l.publish(shop(app(t, says("hello"))), route.Change{Key: domain, Value: &target})
	r.answers("shop.local", 200, "hello")
	r.answers("www.shop.example", 200, "hello")
	l.publish(route.Change{Key: domain})
	r.answers("www.shop.example", 404, "D160")
	l.publish(shop())
	r.answers("shop.local", 503, "D161")
	l.publish(route.Change{Key: "/rs/shop.local"})
	r.answers("shop.local", 404, "D160")
}

// The leader stops an instance once every router has acknowledged the
// un-route: a request sent after that must never reach it.
func TestRouter_AcknowledgesOnlyWhatIsDone(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"embedded": miniredis.RunT(t).Addr(), "real": testenv.Redis(t)} {
		t.Run(name, func(t *testing.T) {
			l := newLeader(t, addr)
			r := start(t, config(t, addr))
			fresh := app(t, says("ok"))
			for round := range 10 {
				old := app(t, func(w http.ResponseWriter, req *http.Request) {
					if req.URL.Path == "/late" {
						t.Errorf("round %d: a request sent after the acknowledgement came", round)
					}
					io.WriteString(w, "ok")
				})
				l.publish(shop(old, fresh))
				l.acknowledged("r1")
				before := newLoad(r, 4, "/")
				before.wait(t, 20)
				l.publish(shop(fresh))
				l.acknowledged("r1")
				late := newLoad(r, 4, "/late")
				late.wait(t, 20)
				before.stop(t)
				late.stop(t)
			}
		})
	}
}

// load is clients that ask shop.local for a path, one request after the other.
type load struct {
	served  atomic.Int64
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	mu      sync.Mutex
	failure string
}

func newLoad(r *running, clients int, path string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for range clients {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				if status, body, err := r.get("shop.local", path); err != nil || status != 200 || body != "ok" {
					l.mu.Lock()
					l.failure = fmt.Sprintf("%d %s %v", status, body, err)
					l.mu.Unlock()
				}
				l.served.Add(1)
			}
		})
	}
	return l
}

func (l *load) failed() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// wait lets n more requests be served.
func (l *load) wait(t *testing.T, n int64) {
	t.Helper()
	want := l.served.Load() + n
	testenv.Eventually(t, 30*time.Second, func() error {
		if got := l.served.Load(); got < want {
			return fmt.Errorf("%d of %d requests served", got, want)
		}
		return nil
	})
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.wg.Wait()
	if f := l.failed(); f != "" {
		t.Errorf("a request failed: %s", f)
	}
}

func TestRouter_FlushedRedisFailsNoRequest(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	r := start(t, config(t, l.c.Options().Addr))
	here := shop(app(t, says("ok")))
	l.publish(here)
	l.acknowledged("r1")
	load := newLoad(r, 2, "/")
	l.c.FlushAll(context.Background())
	load.wait(t, 100)
	l.publish(here)
	l.acknowledged("r1")
	load.wait(t, 50)
	load.stop(t)
}

func TestRouter_StartsFromDiskWithRedisAway(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	c := config(t, l.c.Options().Addr)
	r := start(t, c)
	if status, body := r.adminGet("/readyz"); status != 503 {
		t.Errorf("ready without any table: %d %s", status, body)
	}
	l.publish(shop(app(t, says("ok"))))
	l.acknowledged("r1")
	if status, _ := r.adminGet("/readyz"); status != 200 {
		t.Error("unready with a table")
	}
	r.end()
	c.Redis.Addr = "127.0.0.1:1"
	again := start(t, c)
	if status, body, err := again.get("shop.local", "/"); err != nil || status != 200 {
		t.Errorf("the first request after the start: %d %s %v", status, body, err)
	}
	if status, _ := again.adminGet("/readyz"); status != 200 {
		t.Error("unready with the table on disk")
	}
}

func TestRouter_StopSaysSoAndFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	started, finish := make(chan struct{}), make(chan struct{})
	l.publish(shop(app(t, func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-finish
		io.WriteString(w, "finished")
	})))
	r := start(t, config(t, l.c.Options().Addr))
	l.acknowledged("r1")
	got := make(chan string, 1)
	go func() {
		req, _ := http.NewRequest("GET", "http://"+r.Addr()+"/", nil)
		req.Host = "shop.local"
		resp, err := http.DefaultTransport.RoundTrip(req)
		status, body, err := answer(resp, err)
		got <- fmt.Sprintln(status, body, err, resp != nil && resp.Close)
	}()
	<-started
	r.stop()
	testenv.Eventually(t, 10*time.Second, func() error {
		if status, body := r.adminGet("/readyz"); status != 503 || !strings.Contains(body, "stopping") {
			return fmt.Errorf("readyz while draining: %d %s", status, body)
		}
		return nil
	})
	if line, err := l.line("r1"); err != nil || line.Stopped {
		t.Errorf("says stopped while it still serves: %+v %v", line, err)
	}
	close(finish)
	if s := <-got; s != "200 finished <nil> true\n" {
		t.Errorf("the request in flight got %s", s)
	}
	r.end()
	if line, err := l.line("r1"); err != nil || !line.Stopped || line.Requests != 1 {
		t.Errorf("last line %+v %v", line, err)
	}
	if c, err := net.Dial("tcp", r.Addr()); err == nil {
		c.Close()
		t.Error("still listening")
	}
}

func TestRouter_UpgradedConnectionEndsAtTheDrainDeadline(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, func(w http.ResponseWriter, req *http.Request) {
		ws, err := websocket.Accept(w, req, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ws.Read(req.Context())
	})))
	c := config(t, l.c.Options().Addr)
	c.Timeouts.Drain = 200 * time.Millisecond
	log := &buffer{}
	c.AccessWriter = log
	r := start(t, c)
	l.acknowledged("r1")
	ws, _, err := websocket.Dial(t.Context(), "ws://"+r.Addr()+"/", &websocket.DialOptions{Host: "shop.local"})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	r.end()
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the connection is still open")
	}
	if !strings.Contains(log.String(), `"status":101`) {
		t.Errorf("not in the access log: %s", log)
	}
}

func TestRouter_TakenPortIsNamed(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	for _, admin := range []bool{false, true} {
		c := config(t, "127.0.0.1:1")
		if c.Listen = busy.Addr().String(); admin {
			c.Listen, c.Admin = c.Admin, c.Listen
		}
		err := New(c, slog.New(slog.DiscardHandler)).Listen()
		if !model.IsCode(err, model.CodePortTaken) || !strings.Contains(err.Error(), port) {
			t.Errorf("admin %v: %v", admin, err)
		}
	}
}
