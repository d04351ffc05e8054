package proxyproto

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const v2 = "\r\n\r\n\x00\r\nQUIT\n"

var (
	four = Header{netip.MustParseAddrPort("203.0.113.9:5000"), netip.MustParseAddrPort("192.0.2.1:80")}
	six  = Header{netip.MustParseAddrPort("[2001:db8::9]:5000"), netip.MustParseAddrPort("[2001:db8::1]:80")}
)

const (
	fourV2 = v2 + "\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x13\x88\x00\x50"
	sixV2  = v2 + "\x21\x21\x00\x24" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x13\x88\x00\x50"
)

func TestParse_ReadsBothVersionsAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     Header
		ok       bool
	}{
		{"version 1, IPv4", "PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n", four, true},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::9 2001:db8::1 5000 80\r\n", six, true},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", Header{}, true},
		{"version 1, unknown with addresses", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Header{}, true},
		{"version 2, IPv4", fourV2, four, true},
		{"version 2, IPv6", sixV2, six, true},
		{"version 2, with a TLV", v2 + "\x21\x11\x00\x10\xcb\x00\x71\x09\xc0\x00\x02\x01\x13\x88\x00\x50\x04\x00\x01a", four, true},
		{"version 2, local", v2 + "\x20\x00\x00\x00", Header{}, true},
		{"version 2, unix socket", v2 + "\x21\x31\x00\x01a", Header{}, true},
		{"version 1, mixed families", "PROXY TCP4 2001:db8::9 192.0.2.1 5000 80\r\n", Header{}, false},
		{"version 1, port too large", "PROXY TCP4 1.2.3.4 1.2.3.4 65536 80\r\n", Header{}, false},
		{"version 1, port with a zero in front", "PROXY TCP4 1.2.3.4 1.2.3.4 080 80\r\n", Header{}, false},
		{"version 1, no port", "PROXY TCP4 1.2.3.4 1.2.3.4  80\r\n", Header{}, false},
		{"version 1, two blanks", "PROXY TCP4  1.2.3.4 1.2.3.4 1 80\r\n", Header{}, false},
		{"version 1, a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 80\r\n", Header{}, false},
		{"version 1, bare line feed", "PROXY TCP4 1.2.3.4 1.2.3.4 1 80\n" + strings.Repeat("x", 107), Header{}, false},
		{"version 1, too long", "PROXY UNKNOWN " + strings.Repeat("x", 100), Header{}, false},
		{"version 3", v2 + "\x31\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x13\x88\x00\x50", Header{}, false},
		{"version 2, unknown command", v2 + "\x22\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x13\x88\x00\x50", Header{}, false},
		{"version 2, addresses too short", v2 + "\x21\x11\x00\x02\x01\x02", Header{}, false},
		{"version 2, endless", v2 + "\x21\x11\xff\xff", Header{}, false},
		{"HTTP", "GET / HTTP/1.1\r\n", Header{}, false},
		{"HTTP with a method of that name", "PROXY / HTTP/1.1\r\nHost: a\r\n", Header{}, false},
		{"TLS", "\x16\x03\x01\x02\x00", Header{}, false},
	} {
		got, n, err := Parse([]byte(c.in))
		if (err == nil) != c.ok || err == ErrShort || got != c.want || c.ok && n != len(c.in) {
			t.Errorf("%s: %v, %d of %d bytes, %v", c.name, got, n, len(c.in), err)
		}
	}
}

func TestParse_AsksForMoreUntilTheHeaderIsWhole(t *testing.T) {
	t.Parallel()
	for _, whole := range []string{"PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n", fourV2, sixV2} {
		for n := range len(whole) {
			if _, _, err := Parse([]byte(whole[:n])); err != ErrShort {
				t.Fatalf("%d bytes of %q: %v", n, whole, err)
			}
		}
		if _, n, err := Parse([]byte(whole + "GET /")); err != nil || n != len(whole) {
			t.Errorf("%q with a request behind: %d %v", whole, n, err)
		}
	}
}

func TestRead_LeavesTheRestOfTheStream(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		header := rapid.SampledFrom([]string{"PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n", fourV2}).Draw(rt, "header")
		rest := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "rest")
		cut := rapid.IntRange(0, len(header)).Draw(rt, "cut")
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		sent := make(chan error, 1)
		go func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err == nil {
				_, err = c.Write([]byte(header[:cut]))
				_, _ = c.Write(append([]byte(header[cut:]), rest...))
				c.Close()
			}
			sent <- err
		}()
		c, err := l.Accept()
		if err != nil {
			rt.Fatal(err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		h, err := Read(c.(*net.TCPConn))
		if err != nil || h != four {
			rt.Fatalf("%v %v", h, err)
		}
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, rest) {
			rt.Fatalf("the rest is %q, want %q: %v", got, rest, err)
		}
		if err := <-sent; err != nil {
			rt.Fatal(err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{fourV2, sixV2, "PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n", "PROXY UNKNOWN\r\n", "PROXY TCP6 ::1 ::2 1 2\r\n", v2, "GET / HTTP/1.1\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b)
		if err != nil {
			if h != (Header{}) && err != ErrShort && n == 0 {
				t.Errorf("%v with an error: %v", h, err)
			}
			return
		}
		if n > len(b) || n > MaxBytes || h.Source.IsValid() != h.Destination.IsValid() {
			t.Fatalf("%d of %d bytes, %v", n, len(b), h)
		}
		if again, m, err := Parse(b[:n]); err != nil || m != n || again != h {
			t.Errorf("the header alone: %v %d %v, want %v %d", again, m, err, h, n)
		}
		if _, _, err := Parse(b[:n-1]); err == nil {
			t.Error("a shorter header is whole, too")
		}
	})
}
