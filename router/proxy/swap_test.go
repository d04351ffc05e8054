package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/test/testenv"
)

func TestSwap_LeavingEndpointFinishesWhatItHasAndGetsNothingNew(t *testing.T) {
	t.Parallel()
	started, finish := make(chan struct{}), make(chan struct{})
	var hits atomic.Int32
	old := app(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		close(started)
		<-finish
		io.WriteString(w, "finished")
	})
	f := newFront(t, Config{}, old)
	got := make(chan string, 1)
	go func() {
		resp, err := f.srv.Client().Do(f.request("GET", "/", nil))
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-started
	f.route(app(t, says("new")))
	for range 20 {
		if _, body := f.get("/"); body != "new" {
			t.Fatalf("answered by %q", body)
		}
	}
	close(finish)
	if s := <-got; s != "finished" || hits.Load() != 1 {
		t.Errorf("in-flight request got %q; %d requests at the old endpoint", s, hits.Load())
	}
}

func TestSwap_ClosesTheConnectionsOfALeavingEndpoint(t *testing.T) {
	t.Parallel()
	var open atomic.Int32
	s := httptest.NewUnstartedServer(says("old"))
	s.Config.ConnState = connCounter(&open)
	s.Start()
	t.Cleanup(s.Close)
	kept := app(t, says("kept"))
	f := newFront(t, Config{BackendIdle: time.Hour}, s.Listener.Addr().String())
	f.get("/")
	if open.Load() != 1 {
		t.Fatalf("%d connections open, want 1 idle", open.Load())
	}
	f.route(kept)
	testenv.Eventually(t, 20*time.Second, func() error {
		if n := open.Load(); n != 0 {
			return fmt.Errorf("%d connections still open", n)
		}
		return nil
	})
}

// Under steady swaps, every request is answered, and by an endpoint that was in
// a table when it was sent. When Swap has returned, a leaving one hears no more.
func TestSwap_NoRequestFailsOrComesLate(t *testing.T) {
	t.Parallel()
	var left [4]atomic.Bool
	var addrs [4]string
	f := newFront(t, Config{})
	for i := range addrs {
		addrs[i] = app(t, func(w http.ResponseWriter, r *http.Request) {
			if left[i].Load() {
				t.Errorf("endpoint %d got a request after it had left", i)
			}
			io.WriteString(w, "ok")
		})
	}
	f.route(addrs[0], addrs[1])
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var served atomic.Int64
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, body := f.get("/"); body != "ok" {
					t.Errorf("answer %q", body)
					return
				}
				served.Add(1)
			}
		})
	}
	for i := range 200 {
		out, in := i%4, (i+2)%4
		leaving := f.endpointAt(addrs[out])
		f.route(addrs[(i+1)%4], addrs[in])
		testenv.Eventually(t, 20*time.Second, func() error {
			if leaving.InFlight() > 0 {
				return errors.New("requests that began before are in flight")
			}
			return nil
		})
		left[out].Store(true)
		want := served.Load() + 3
		testenv.Eventually(t, 20*time.Second, func() error {
			if served.Load() < want {
				return errors.New("no requests served")
			}
			return nil
		})
		left[out].Store(false)
	}
	cancel()
	wg.Wait()
}

func (f *front) endpointAt(addr string) *balance.Endpoint {
	f.t.Helper()
	var tried []*balance.Endpoint
	for {
		at := f.set.Claim(host, balance.Ask{}, tried, f.set.Now())
		if at.Endpoint == nil {
			f.t.Fatalf("%s is not in the table", addr)
		}
		at.Endpoint.Done()
		if at.Endpoint.Addr == addr {
			return at.Endpoint
		}
		tried = append(tried, at.Endpoint)
	}
}

func connCounter(open *atomic.Int32) func(c net.Conn, s http.ConnState) {
	return func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
}

func TestSwap_StateSurvivesAChangeOfTheBackend(t *testing.T) {
	t.Parallel()
	live := app(t, says("a"))
	f := newFront(t, Config{}, deadAddr, live)
	ejected := func() bool { return f.set.States(f.set.Table().Lookup(host, "/"))[0].Ejected }
	// It lasts a second at first: on a busy machine it may be over before it is looked at.
	testenv.Eventually(t, 20*time.Second, func() error {
		f.route(deadAddr, live)
		if f.get("/"); !ejected() {
			return errors.New("not ejected yet")
		}
		if f.route(deadAddr, live, app(t, says("b"))); !ejected() {
			return errors.New("the ejection was forgotten when another endpoint joined")
		}
		return nil
	})
}

func TestCustomDomain_IsServedUntilUnbound(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, says("hi")))
	r := f.request("GET", "/", nil)
	r.Host = "WWW.shop.example:8080"
	if resp, _ := f.do(r); resp.StatusCode != 200 {
		t.Errorf("bound: %d", resp.StatusCode)
	}
	next, _ := f.set.Table().Apply(route.Batch{Changes: []route.Change{{Key: "/cname/www.shop.example"}}})
	f.set.Swap(next)
	if resp, _ := f.do(r); resp.StatusCode != 404 {
		t.Errorf("unbound: %d", resp.StatusCode)
	}
}

func TestUpgrade_WebSocketEchoes(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, echo))
	ws := f.dialWebSocket()
	for i := range 5 {
		want := fmt.Sprint("message ", i)
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ws.Read(t.Context()); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
	}
	ws.Close(websocket.StatusNormalClosure, "bye")
	if r := f.record(0); r.Status != 101 || r.Instance == "" {
		t.Errorf("record %+v", r)
	}
}

func (f *front) dialWebSocket() *websocket.Conn {
	f.t.Helper()
	ws, _, err := websocket.Dial(f.t.Context(), f.srv.URL+"/ws", &websocket.DialOptions{Host: host, HTTPClient: f.srv.Client()})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { ws.CloseNow() })
	return ws
}

func echo(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	for {
		kind, b, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		ws.Write(r.Context(), kind, b)
	}
}

func TestDrain_WaitsForRequestsAndCutsUpgradesAtTheDeadline(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, echo))
	ws := f.dialWebSocket()
	f.LastCall()
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan int64)
	go func() { drained <- f.Drain(ctx) }()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.Read(t.Context()); err != nil {
		t.Fatalf("cut before the deadline: %v", err)
	}
	cancel()
	if left := <-drained; left != 1 {
		t.Errorf("%d left at the deadline, want 1", left)
	}
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the upgraded connection outlived the deadline")
	}
	f.record(0)
	if left := f.Drain(t.Context()); left != 0 {
		t.Errorf("%d left after all have ended", left)
	}
}

func TestSwap_UpgradedConnectionsOfALeavingEndpointEndAtTheDrainDeadline(t *testing.T) {
	t.Parallel()
	old, fresh := app(t, echo), app(t, echo)
	put := func(f *front, drain time.Duration, addr string) {
		f.put(route.Backend{App: "shop", Drain: model.Duration(drain), Endpoints: []route.Endpoint{{Addr: addr, Instance: "i-" + addr, Release: 7, Weight: 100}}})
	}
	says := func(ws *websocket.Conn) error {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte("still here")); err != nil {
			return err
		}
		_, _, err := ws.Read(t.Context())
		return err
	}
	f := newFront(t, Config{}, "")
	put(f, time.Hour, old)
	stays := f.dialWebSocket()
	put(f, time.Second, fresh)
	leaves := f.dialWebSocket()
	put(f, time.Hour, old)
	last := f.dialWebSocket()
	if _, _, err := leaves.Read(t.Context()); err == nil {
		t.Error("a message came from an endpoint that has left")
	}
	if r := f.record(0); r.Why != "drained" || r.Status != http.StatusSwitchingProtocols {
		t.Errorf("the record is %+v", r)
	}
	for name, ws := range map[string]*websocket.Conn{"whose drain lasts longer": stays, "to the endpoint that came": last} {
		if err := says(ws); err != nil {
			t.Errorf("a connection %s was cut: %v", name, err)
		}
	}
}

func TestUpgrades_AreForgottenWithTheirRequests(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, echo), deadAddr)
	for range 20 {
		f.dialWebSocket().CloseNow()
	}
	f.record(19)
	testenv.Eventually(t, 20*time.Second, func() error {
		f.upgrades.mu.Lock()
		defer f.upgrades.mu.Unlock()
		if n := len(f.upgrades.of); n > 0 {
			return fmt.Errorf("%d are kept", n)
		}
		return nil
	})
}

func TestLastCall_EndsKeepAliveConnectionsWithTheirAnswer(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, says("hi")))
	if resp, _ := f.get("/"); resp.Close {
		t.Error("closed while serving")
	}
	f.LastCall()
	if resp, body := f.get("/"); !resp.Close || body != "hi" {
		t.Errorf("after the last call: close %v, body %q", resp.Close, body)
	}
}
