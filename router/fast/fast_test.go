//go:build linux

package fast

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/limit"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/router/table"
	"github.com/dinp/dinp/test/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// rig is an engine before an app that says ok to everything.
type rig struct {
	*Engine
	t    testing.TB
	set  *balance.Set
	addr *net.TCPAddr
	seq  int64
}

func newRig(t testing.TB, app string, change ...func(*Config)) *rig {
	set := balance.New()
	log := slog.New(slog.DiscardHandler)
	p := proxy.New(proxy.Config{}, set, log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Set: set, Intake: intake.New(intake.Config{Sources: limit.New(limit.Config{})}, log), Answer: p.Answer, Loops: 2,
		HandOver: func(c net.Conn) { c.Close() }, Done: func(*proxy.Record) {},
		Timeouts: Timeouts{
			ReadHeader: time.Minute, ClientIdle: time.Minute, ClientStall: time.Minute, Dial: time.Minute,
			ResponseHeader: time.Minute, BackendIdle: time.Minute,
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Engine: e, t: t, set: set, addr: l.Addr().(*net.TCPAddr)}
	r.route(app)
	if err := e.Serve(l.(*net.TCPListener)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("accepting on the listener that was served: %v, want that it is closed", err)
	}
	t.Cleanup(func() { e.Close(); set.Close() })
	return r
}

func (r *rig) route(addrs ...string) {
	b := route.Backend{App: "shop"}
	for _, a := range addrs {
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: a, Instance: "i-" + a, Release: 1, Weight: 100})
	}
	r.seq++
	t, bad := table.Build(route.Version{Epoch: 1, Seq: r.seq}, map[string]string{"/rs/shop.local": route.EncodeBackend(b)}, r.set.Table())
	if len(bad) > 0 {
		r.t.Fatal(bad)
	}
	r.set.Swap(t)
}

func (r *rig) dial() net.Conn {
	c, err := net.DialTCP("tcp", nil, r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { c.Close() })
	return c
}

const ask = "GET /a?b HTTP/1.1\r\nHost: shop.local\r\nAccept: */*\r\nUser-Agent: test\r\nCookie: a=b\r\n\r\n"

const answer = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok"

// okApp answers every read with ok, and tells how many connections it has.
func okApp(t testing.TB) (addr string, conns func() int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	count := make(chan int, 1)
	count <- 0
	add := func(d int) { count <- <-count + d }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			add(1)
			ended := make(chan struct{})
			t.Cleanup(func() { c.Close(); <-ended })
			go func() {
				defer close(ended)
				defer add(-1)
				defer c.Close()
				buf, ok := make([]byte, 8192), []byte(answer)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					c.Write(ok)
				}
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), func() int { n := <-count; count <- n; return n }
}

// exchange asks once and reads the answer into buf.
func exchangeOn(c net.Conn, buf []byte) error {
	if _, err := io.WriteString(c, ask); err != nil {
		return err
	}
	n := 0
	for !bytes.HasSuffix(buf[:n], []byte("\r\n\r\nok")) {
		k, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		n += k
	}
	return nil
}

func TestServing_AllocatesNothing(t *testing.T) {
	addr, _ := okApp(t)
	r := newRig(t, addr)
	c, buf, text := r.dial(), make([]byte, 4096), []byte(ask)
	c.SetDeadline(time.Now().Add(5 * time.Minute)) // a thousand requests, on a machine that may be busy
	one := func() {
		if _, err := c.Write(text); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		one()
	}
	// The app's and the client's sides allocate nothing either; one in a
	// hundred is what the runtime itself may need meanwhile.
	if n := testing.AllocsPerRun(1000, one); n > 0.01 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestIdleConnections_CostLessThan4KiBEach(t *testing.T) {
	addr, _ := okApp(t)
	r := newRig(t, addr)
	const count = 2000
	var before, after runtime.MemStats
	measure := func(m *runtime.MemStats) { runtime.GC(); runtime.GC(); runtime.ReadMemStats(m) }
	measure(&before)
	sa := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: r.addr.Port}
	buf := make([]byte, 4096)
	for range count {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		if err := syscall.Connect(fd, sa); err != nil {
			t.Fatal(err)
		}
		if _, err := syscall.Write(fd, []byte(ask)); err != nil { // each has been served, and keeps what that leaves
			t.Fatal(err)
		}
		if _, err := syscall.Read(fd, buf); err != nil {
			t.Fatal(err)
		}
	}
	measure(&after)
	if n := r.Connections(); n != count {
		t.Fatalf("%d connections", n)
	}
	each := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) / count
	t.Logf("%d bytes each", each)
	if each > 4<<10 {
		t.Errorf("%d bytes each", each)
	}
}

func TestControl_ReachesTheListeningSocketWhileItAccepts(t *testing.T) {
	addr, _ := okApp(t)
	r := newRig(t, addr)
	port := 0
	if err := r.Control(func(fd uintptr) {
		if sa, err := syscall.Getsockname(int(fd)); err == nil {
			port = sa.(*syscall.SockaddrInet4).Port
		}
	}); err != nil || port != r.addr.Port {
		t.Errorf("the socket's port is %d, %v; want %d", port, err, r.addr.Port)
	}
	r.StopAccepting()
	for _, then := range []func(){func() {}, r.Close} {
		then()
		if err := r.Control(func(uintptr) { t.Error("there is a socket, want none") }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	}
}

func TestShutdown_AnswersWhatHasCome(t *testing.T) {
	t.Parallel()
	addr, _ := okApp(t)
	r := newRig(t, addr)
	buf := make([]byte, 4096)
	idle, busy := r.dial(), r.dial()
	for _, c := range []net.Conn{idle, busy} {
		if err := exchangeOn(c, buf); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(busy, ask)
	arrived(t, busy)
	if left := r.Shutdown(t.Context()); left != 0 {
		t.Errorf("%d requests left", left)
	}
	got, err := io.ReadAll(busy)
	if err != nil || !bytes.HasSuffix(got, []byte("\r\n\r\nok")) {
		t.Errorf("the busy one got %q, %v", got, err)
	}
	if got, err := io.ReadAll(idle); err != nil || len(got) > 0 {
		t.Errorf("the idle one got %q, %v", got, err)
	}
}

// arrived waits until all that was written to c has been acknowledged by the
// other end: a write may return before.
func arrived(t *testing.T, c net.Conn) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() error {
		left, err := -1, error(nil)
		if e := raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); e != nil || err != nil || left > 0 {
			return fmt.Errorf("%d bytes have not arrived: %v, %v", left, err, e)
		}
		return nil
	})
}

func TestShutdown_AClientThatHasJustConnectedMayStillAsk(t *testing.T) {
	t.Parallel()
	addr, _ := okApp(t)
	r := newRig(t, addr)
	kept, fresh, buf := r.dial(), r.dial(), make([]byte, 4096)
	if err := exchangeOn(kept, buf); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() error {
		if n := r.Connections(); n != 2 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	left := make(chan int64)
	go func() { left <- r.Shutdown(t.Context()) }()
	if n, err := kept.Read(buf); err != io.EOF {
		t.Errorf("the connection that had been of use got %d bytes, %v", n, err)
	}
	io.WriteString(fresh, ask)
	got, err := io.ReadAll(fresh)
	if err != nil || !bytes.HasSuffix(got, []byte("ok")) {
		t.Errorf("%q, %v", got, err)
	}
	if n := <-left; n != 0 {
		t.Errorf("%d requests left", n)
	}
}

func TestShutdown_ReportsWhatIsLeftAtItsEnd(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRig(t, l.Addr().String())
	io.WriteString(r.dial(), ask)
	testenv.Eventually(t, patience, func() error {
		if r.InFlight() != 1 {
			return errors.New("not in flight")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if left := r.Shutdown(ctx); left != 1 {
		t.Errorf("%d requests left", left)
	}
}

func TestLastCall_EndsConnectionsWithTheirNextAnswer(t *testing.T) {
	t.Parallel()
	addr, _ := okApp(t)
	r := newRig(t, addr)
	c, buf := r.dial(), make([]byte, 4096)
	if err := exchangeOn(c, buf); err != nil {
		t.Fatal(err)
	}
	r.LastCall()
	io.WriteString(c, ask)
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Contains(got, []byte("\r\nConnection: close\r\n")) || !bytes.HasSuffix(got, []byte("ok")) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestEndpoint_ThatLeavesLosesItsConnections(t *testing.T) {
	t.Parallel()
	old, conns := okApp(t)
	next, _ := okApp(t)
	r := newRig(t, old)
	buf := make([]byte, 4096)
	for range 4 {
		if err := exchangeOn(r.dial(), buf); err != nil {
			t.Fatal(err)
		}
	}
	if conns() == 0 {
		t.Fatal("no connection is kept")
	}
	r.route(next)
	testenv.Eventually(t, patience, func() error {
		if n := conns(); n > 0 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	if err := exchangeOn(r.dial(), buf); err != nil {
		t.Fatal(err)
	}
}

// The wait for an answer is of the connection that has the request, not of the
// one that could not be made.
func TestEndpoint_ThatRefusesLeavesNothingToWaitFor(t *testing.T) {
	t.Parallel()
	const answerWithin = time.Second
	app, conns := okApp(t)
	r := newRig(t, app, func(c *Config) { c.Timeouts.ResponseHeader = answerWithin })
	buf := make([]byte, 4096)
	clients := make([]net.Conn, 4)
	for i := range clients {
		clients[i] = r.dial()
		if err := exchangeOn(clients[i], buf); err != nil {
			t.Fatal(err)
		}
	}
	if conns() == 0 {
		t.Fatal("no connection is kept")
	}
	for i := range 16 { // each is asked first as likely as not
		r.route(app, fmt.Sprintf("127.0.1.%d:1", i+1))
		for _, c := range clients {
			if err := exchangeOn(c, buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	for began := time.Now(); time.Since(began) < 2*answerWithin; {
		if err := exchangeOn(clients[0], buf); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSwap_UnderLoadCutsNothing(t *testing.T) {
	t.Parallel()
	a, _ := okApp(t)
	b, _ := okApp(t)
	r := newRig(t, a)
	done := make(chan error)
	for range 8 {
		go func() {
			c, buf := r.dial(), make([]byte, 4096)
			for range 100 {
				if err := exchangeOn(c, buf); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	left := 8
	for i := 0; left > 0; i++ {
		select {
		case err := <-done:
			left--
			if err != nil {
				t.Error(err)
			}
		default:
			r.route([]string{a, b}[i%2])
			runtime.Gosched()
		}
	}
}
