package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/router/fast"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/test/testenv"
)

// both runs a test on both paths, and on the fast one in TLS.
func both(t *testing.T, f func(t *testing.T, full bool)) {
	t.Parallel()
	for _, path := range []string{"fast", "full", "tls"} {
		t.Run(path, func(t *testing.T) { t.Parallel(); f(t, path == "full") })
	}
}

func echo(m message) string {
	text := m.first + " " + m.body
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}

func (v *visitor) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(v, crlf(text)); err != nil {
		t.Fatal(err)
	}
}

func (v *visitor) hears(t *testing.T, want string) {
	t.Helper()
	m, err := v.answer("GET")
	if err != nil || m.body != want {
		t.Fatalf("got %q (%v), want %q", m.body, err, want)
	}
}

func TestPipelining_AnswersInOrder(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		d, a := open(t, options{full: full}), newApp(t, echo)
		d.route(a.addr())
		v := d.dial()
		text := ""
		for i := range 50 {
			text += fmt.Sprintf("GET /%d HTTP/1.1\nHost: shop.local\n\n", i)
			text += fmt.Sprintf("POST /%d HTTP/1.1\nHost: shop.local\nContent-Length: 3\n\nabc", i)
			text += fmt.Sprintf("PUT /%d HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n2\nde\n0\n\n", i)
		}
		v.say(t, text)
		for i := range 50 {
			v.hears(t, fmt.Sprintf("GET /%d HTTP/1.1 ", i))
			v.hears(t, fmt.Sprintf("POST /%d HTTP/1.1 abc", i))
			v.hears(t, fmt.Sprintf("PUT /%d HTTP/1.1 de", i))
		}
	})
}

func TestDrip_ByteByByteIsTheSame(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		d, a := open(t, options{full: full}), newApp(t, echo)
		d.route(a.addr())
		v := d.dial()
		const text = "POST /a HTTP/1.1\r\nHost: shop.local\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n0\r\nX-T: a\r\n\r\n"
		for range 3 {
			for i := range len(text) {
				v.say(t, "")
				if _, err := io.WriteString(v, text[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
			v.hears(t, "POST /a HTTP/1.1 hello!")
		}
	})
}

func TestHandedOver_BytesAreNeitherLostNorDoubled(t *testing.T) {
	t.Parallel()
	d, a := open(t, options{}), newApp(t, echo)
	d.route(a.addr())
	v := d.dial()
	v.say(t, "GET /1 HTTP/1.1\nHost: shop.local\n\nGET http://shop.local/2 HTTP/1.1\nHost: shop.local\n\nPOST /3 HTTP/1.1\nHost: shop.local\nContent-Length: 2\n\nhi")
	for _, want := range []string{"GET /1 HTTP/1.1 ", "GET /2 HTTP/1.1 ", "POST /3 HTTP/1.1 hi"} {
		v.hears(t, want)
	}
}

func TestStream_ArrivesAsItIsSent(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		more := make(chan string)
		addr := rawApp(t, func(c net.Conn) {
			buf := make([]byte, 4096)
			c.Read(buf)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			for s := range more {
				fmt.Fprintf(c, "%x\r\n%s\r\n", len(s), s)
			}
			io.WriteString(c, "0\r\n\r\n")
		})
		d := open(t, options{full: full})
		d.route(addr)
		v := d.dial()
		v.say(t, "GET / HTTP/1.1\nHost: shop.local\n\n")
		if _, err := readHead(v.r); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			more <- fmt.Sprintf("event %d", i)
			size, _ := readLine(v.r)
			text, err := readLine(v.r)
			if err != nil || text != fmt.Sprintf("event %d", i) {
				t.Fatalf("%q %q %v", size, text, err)
			}
		}
		close(more)
		if end, err := readLine(v.r); end != "0" || err != nil {
			t.Fatalf("%q %v", end, err)
		}
	})
}

// rawApp is a backend below HTTP: f gets each accepted connection.
func rawApp(t *testing.T, f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			ended := make(chan struct{})
			t.Cleanup(func() { c.Close(); <-ended })
			go func() { defer close(ended); defer c.Close(); f(c) }()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestTrustedProxy_IsBelieved(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	both(t, func(t *testing.T, full bool) {
		d, a := open(t, options{full: full, trusted: loopback}), newApp(t, func(message) string { return plainReply })
		d.route(a.addr())
		for _, c := range []struct{ sent, want string }{
			{"", "x-forwarded-for: 127.0.0.1 | x-forwarded-host: shop.local | x-forwarded-proto: http | x-real-ip: 127.0.0.1"},
			{"X-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\nX-Forwarded-Host: www.example\nX-Forwarded-Port: 443\n",
				"x-forwarded-for: 1.2.3.4, 127.0.0.1 | x-forwarded-host: www.example | x-forwarded-port: 443 | x-forwarded-proto: https | x-real-ip: 1.2.3.4"},
			{"X-Forwarded-For: 6.6.6.6, 1.2.3.4 , 10.0.0.1\n",
				"x-forwarded-for: 6.6.6.6, 1.2.3.4 , 10.0.0.1, 127.0.0.1 | x-forwarded-host: shop.local | x-forwarded-proto: http | x-real-ip: 1.2.3.4"},
			{"X-Forwarded-For: nonsense\n", "x-forwarded-for: nonsense, 127.0.0.1 | x-forwarded-host: shop.local | x-forwarded-proto: http | x-real-ip: 127.0.0.1"},
			{"X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 1.2.3.4\n",
				"x-forwarded-for: 6.6.6.6, 1.2.3.4, 127.0.0.1 | x-forwarded-host: shop.local | x-forwarded-proto: http | x-real-ip: 1.2.3.4"},
			{"Forwarded: for=1.2.3.4;proto=https, for=\"[2001:db8::1]\"\nX-Forwarded-For: 1.2.3.4\n",
				"forwarded: for=1.2.3.4;proto=https, for=\"[2001:db8::1]\" | forwarded: for=127.0.0.1;proto=http | " +
					"x-forwarded-for: 1.2.3.4, 127.0.0.1 | x-forwarded-host: shop.local | x-forwarded-proto: http | x-real-ip: 1.2.3.4"},
		} {
			v := d.dial()
			v.say(t, "GET / HTTP/1.1\nHost: shop.local\n"+c.sent+"\n")
			v.hears(t, "ok")
			got, _ := a.messages()
			var fields []string
			for _, f := range got[len(got)-1].fields {
				if strings.HasPrefix(f, "forwarded") || strings.HasPrefix(f, "x-forwarded") || strings.HasPrefix(f, "x-real") {
					fields = append(fields, f)
				}
			}
			want := c.want
			if d.tls {
				want = strings.NewReplacer("proto: http ", "proto: https ", "proto=http ", "proto=https ").Replace(want)
			}
			if s := strings.Join(fields, " | "); s != want {
				t.Errorf("%q:\n got %s\nwant %s", c.sent, s, want)
			}
		}
	})
}

// deadAddr refuses connections. A port that was free a moment ago may be somebody
// else's by now; nobody is given this one.
const deadAddr = "127.0.0.1:1"

func TestRetry_ARefusedConnectionCostsNobodyARequest(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		d, a := open(t, options{full: full}), newApp(t, echo)
		d.route(deadAddr, a.addr())
		v := d.dial()
		for i := range 20 {
			v.say(t, fmt.Sprintf("POST /%d HTTP/1.1\nHost: shop.local\nContent-Length: 2\n\nhi", i))
			v.hears(t, fmt.Sprintf("POST /%d HTTP/1.1 hi", i))
		}
	})
}

func TestRetry_AKeptConnectionThatTheAppHasClosedIsReplaced(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		d, a := open(t, options{full: full}), newApp(t, func(m message) string { return echo(m) + closes })
		d.route(a.addr())
		v := d.dial()
		for range 50 {
			v.say(t, "GET /a HTTP/1.1\nHost: shop.local\n\n")
			v.hears(t, "GET /a HTTP/1.1 ")
		}
	})
}

func TestRetry_APostThatMayHaveBeenCarriedOutIsNotRepeated(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		d, a := open(t, options{full: full}), newApp(t, func(message) string { return closes })
		d.route(a.addr())
		v := d.dial()
		v.say(t, "POST /a HTTP/1.1\nHost: shop.local\nContent-Length: 2\n\nhi")
		if m, err := v.answer("POST"); err != nil || !strings.HasPrefix(m.first, "HTTP/1.1 502") {
			t.Fatal(m, err)
		}
		if got, _ := a.messages(); len(got) != 1 {
			t.Errorf("the app was asked %d times", len(got))
		}
		r := d.last(t)
		if r.Why != "died" || r.Attempts != 1 || r.Status != 502 {
			t.Errorf("%+v", r)
		}
	})
}

// last waits for a record and returns the latest.
func (d *door) last(t *testing.T) (r proxy.Record) {
	t.Helper()
	testenv.Eventually(t, patience, func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.records) == 0 {
			return errors.New("no request has ended")
		}
		r = d.records[len(d.records)-1]
		return nil
	})
	return r
}

func TestTimeout_ASilentAppIsAnswered504(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		d := open(t, options{full: full, times: fast.Timeouts{ResponseHeader: 50 * time.Millisecond}})
		d.route(rawApp(t, func(c net.Conn) { io.Copy(io.Discard, c) }))
		v := d.dial()
		v.say(t, "GET / HTTP/1.1\nHost: shop.local\n\n")
		if m, err := v.answer("GET"); err != nil || !strings.HasPrefix(m.first, "HTTP/1.1 504") {
			t.Fatal(m, err)
		}
		if r := d.last(t); r.Why != "timeout" || r.Code == "" || r.Status != 504 {
			t.Errorf("%+v", r)
		}
	})
}

func TestTimeout_ASlowHeadAndASilentConnectionEnd(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		d, a := open(t, options{full: full, times: fast.Timeouts{ReadHeader: 50 * time.Millisecond, ClientIdle: 50 * time.Millisecond}}), newApp(t, echo)
		d.route(a.addr())
		for _, begin := range []string{"", "GET / HTTP/1.1\nHost: sh", "GET / HTTP/1.1\nHost: shop.local\n\n"} {
			v := d.dial()
			io.WriteString(v, begin) // on a slow machine the handshake may be cut off already
			if _, err := io.ReadAll(v.r); err != nil && !errors.Is(err, net.ErrClosed) && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%q: %v", begin, err)
			}
		}
	})
}

func TestHalfClose_IsAnswered(t *testing.T) {
	t.Parallel() // net/http takes the end of a client's stream for the end of its interest
	for _, path := range []string{"fast", "tls"} {
		t.Run(path, func(t *testing.T) {
			d, a := open(t, options{}), newApp(t, echo)
			d.route(a.addr())
			v := d.dial()
			v.say(t, "POST /a HTTP/1.1\nHost: shop.local\nContent-Length: 2\n\nhi")
			v.Conn.(interface{ CloseWrite() error }).CloseWrite()
			v.hears(t, "POST /a HTTP/1.1 hi")
			if _, err := v.r.ReadByte(); err != io.EOF {
				t.Error(err)
			}
		})
	}
}

func TestClientGone_IsRecordedAndTheAppIsToldByTheEndOfItsConnection(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		asked, ended := make(chan struct{}), make(chan struct{})
		d := open(t, options{full: full})
		d.route(rawApp(t, func(c net.Conn) {
			buf := make([]byte, 4096)
			c.Read(buf)
			close(asked)
			io.Copy(io.Discard, c)
			close(ended)
		}))
		v := d.dial()
		v.say(t, "GET / HTTP/1.1\nHost: shop.local\n\n")
		<-asked
		v.tcp.SetLinger(0)
		v.Close()
		<-ended
		if r := d.last(t); r.Status != proxy.StatusClientGone || r.Why != proxy.WhyClientGone {
			t.Errorf("%+v", r)
		}
	})
}

func TestSlowReader_HoldsTheAppBackAndGetsEverything(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		const size = 64 << 20
		d := open(t, options{full: full})
		d.route(rawApp(t, func(c net.Conn) {
			buf := make([]byte, 4096)
			c.Read(buf)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
			block := make([]byte, 1<<20)
			for i := range size >> 20 {
				block[0] = byte(i)
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		}))
		v := d.dial()
		v.say(t, "GET / HTTP/1.1\nHost: shop.local\n\n")
		if _, err := readHead(v.r); err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 1<<20)
		for i := range size >> 20 {
			if _, err := io.ReadFull(v.r, block); err != nil || block[0] != byte(i) {
				t.Fatalf("block %d: %v, begins with %d", i, err, block[0])
			}
		}
	})
}

func TestRecord_TellsTheSameOnBothPaths(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		d, a := open(t, options{full: full}), newApp(t, func(message) string { return plainReply })
		d.route(a.addr())
		v := d.dial()
		v.say(t, "PUT /a/b?secret HTTP/1.1\nHost: www.shop.example:80\nX-Request-Id: r1\nContent-Length: 2\n\nhi")
		v.hears(t, "ok")
		r := d.last(t)
		if since := time.Since(r.Ended); since < 0 || since > time.Minute {
			t.Errorf("it ended %v ago", since)
		}
		r.Ended, r.Duration = time.Time{}, 0
		want := proxy.Record{Host: "www.shop.example", App: "shop", Release: 1, Instance: "i-" + a.addr(), Client: "127.0.0.1", Method: "PUT", Path: "/a/b",
			Proto: "HTTP/1.1", Status: 200, Attempts: 1, Bytes: 2, RequestID: "r1"}
		if r != want {
			t.Errorf("\n got %+v\nwant %+v", r, want)
		}
	})
}
