package router

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/dinp/dinp/test/testenv"
)

// rude is a client of HTTP/2 that sends frames as it likes.
type rude struct {
	*h2.Framer
	conn net.Conn
}

func dialRude(t *testing.T, addr string) rude {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, h2.ClientPreface)
	f := h2.NewFramer(c, c)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return rude{f, c}
}

// head is the compressed head of a GET.
func head(host string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", host}, {":path", "/"}} {
		e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return b.Bytes()
}

func TestRouter_RapidResetsAreHandledNoFasterThanStreamsMayBeOpen(t *testing.T) {
	t.Parallel()
	const streams = 20
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })), backend("other", app(t, says("well"))))
	c := config(t, l.c.Options().Addr)
	c.Limits.ConcurrentStreams = streams
	r := start(t, c)
	l.acknowledged("r1")
	attacker := dialRude(t, r.Addr())
	go io.Copy(io.Discard, attacker.conn)
	block, most := head("shop.local"), r.proxy.InFlight()
	for n := range uint32(5000) {
		id := 2*n + 1
		if attacker.WriteHeaders(h2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}) != nil ||
			attacker.WriteRSTStream(id, h2.ErrCodeCancel) != nil {
			break // the router has had enough
		}
		most = max(most, r.proxy.InFlight())
	}
	if most > streams {
		t.Errorf("%d requests at once, of a connection that may have %d", most, streams)
	}
	if status, body, err := r.get("other.local", "/"); err != nil || status != 200 || body != "well" {
		t.Errorf("meanwhile another app answers %d %q %v", status, body, err)
	}
	attacker.conn.Close()
	testenv.Eventually(t, 20*time.Second, func() error {
		if n := r.proxy.InFlight(); n > 0 {
			return fmt.Errorf("%d requests of a client that has left", n)
		}
		return nil
	})
}

// field is a header field that needs no state of the compression.
func field(name, value string) []byte {
	var b bytes.Buffer
	hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
	return b.Bytes()
}

func TestRouter_EndlessHeadersOfHTTP2AreCutOff(t *testing.T) {
	t.Parallel()
	r := start(t, config(t, "127.0.0.1:1"))
	a := dialRude(t, r.Addr())
	go io.Copy(io.Discard, a.conn)
	if err := a.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: head("shop.local"), EndStream: true}); err != nil {
		t.Fatal(err)
	}
	const most = 64 << 20 // what lies in socket buffers counts as sent
	fragment, sent := field("x", strings.Repeat("a", 8000)), 0
	for sent < most && a.WriteContinuation(1, false, fragment) == nil {
		sent += len(fragment)
	}
	if sent >= most {
		t.Errorf("%d bytes of a head were taken", sent)
	}
}
