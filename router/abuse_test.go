package router

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

// guarded is a router that loses its patience soon, with one app.
func guarded(t *testing.T, h http.HandlerFunc) *running {
	l := newLeader(t, testenv.Redis(t))
	c := config(t, l.c.Options().Addr)
	c.Timeouts.ReadHeader, c.Timeouts.ClientStall, c.Timeouts.Drain = time.Second, time.Second, 5*time.Second
	r := start(t, c)
	l.publish(shop(app(t, h)))
	l.acknowledged("r1")
	return r
}

func (r *running) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// isCut waits until the router has ended a connection.
func isCut(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err := io.Copy(io.Discard, c)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("the connection is still open after 30 s")
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestRouter_UnknownHostsTakeNoMemory(t *testing.T) {
	r := guarded(t, says("ok"))
	c := r.dial()
	in := bufio.NewReader(c)
	flood := func(n int) {
		for range n {
			fmt.Fprintf(c, "GET /%x HTTP/1.1\r\nHost: %s%x.example\r\nUser-Agent: %x\r\n\r\n", rand.Uint64(), strings.Repeat("a", 40), rand.Uint64(), rand.Uint64())
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != http.StatusNotFound {
				t.Fatalf("%v %v", resp, err)
			}
			io.Copy(io.Discard, resp.Body)
		}
	}
	flood(200)
	_, before := r.adminGet("/metrics")
	kept := heap()
	flood(1000)
	if grown := heap() - kept; grown > 1<<20 {
		t.Errorf("1,000 unknown hosts left %d KiB behind", grown>>10)
	}
	if _, after := r.adminGet("/metrics"); strings.Count(after, "\n") > strings.Count(before, "\n")+5 {
		t.Errorf("unknown hosts are labels of metrics:\n%s", after)
	}
	r.answers("shop.local", 200, "ok")
}

func TestRouter_ClientsThatAreSlowOnPurposeAreCutAndOthersServed(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/read":
			io.Copy(io.Discard, req.Body)
		case "/write":
			for chunk := bytes.Repeat([]byte("x"), 64<<10); req.Context().Err() == nil; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
		io.WriteString(w, "ok")
	}
	r := guarded(t, endless)
	var senders []net.Conn
	for range 20 {
		for _, begin := range []string{ // heads and bodies that never end
			"GET / HTTP/1.1\r\nHost: shop.lo",
			"POST /read HTTP/1.1\r\nHost: shop.local\r\nContent-Length: 9\r\n\r\nab",
			"POST /read HTTP/1.1\r\nHost: shop.local\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		} {
			c := r.dial()
			io.WriteString(c, begin)
			senders = append(senders, c)
		}
		io.WriteString(r.dial(), "GET /write HTTP/1.1\r\nHost: shop.local\r\n\r\n") // an answer that nobody reads
	}
	r.answers("shop.local", 200, "ok")
	for _, c := range senders {
		isCut(t, c)
	}
	testenv.Eventually(t, 30*time.Second, func() error {
		if n := r.proxy.InFlight(); n > 0 {
			return fmt.Errorf("%d slow requests still occupy the router", n)
		}
		return nil
	})
	r.answers("shop.local", 200, "ok")
}

func TestRouter_EndlessBodyPassesThroughInBoundedMemory(t *testing.T) {
	const total = 96 << 20
	r := guarded(t, func(w http.ResponseWriter, req *http.Request) {
		n, err := io.Copy(io.Discard, req.Body)
		fmt.Fprintf(w, "%d %v", n, err)
	})
	r.answers("shop.local", 200, "0 <nil>")
	before, most := heap(), int64(0)
	c := r.dial()
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: shop.local\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk := []byte("100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n")
	for i := range total >> 20 {
		if _, err := c.Write(chunk); err != nil {
			t.Fatal(err)
		}
		if i%32 == 31 {
			most = max(most, heap()-before)
		}
	}
	fmt.Fprint(c, "0\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if want := fmt.Sprintf("%d <nil>", total); err != nil || string(body) != want {
		t.Errorf("the app read %q, %v; want %s", body, err, want)
	}
	if most > 16<<20 {
		t.Errorf("the router held %d MiB of a body on its way", most>>20)
	}
}
