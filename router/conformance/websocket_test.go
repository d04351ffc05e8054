package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// The table stands in for Autobahn's suite, by its sections. Its cases judge an
// endpoint: what is valid is echoed, what is not ends the connection with 1002
// or 1007. Of a proxy they ask one thing alone: that it takes part in none of
// it, and that each side gets the other's bytes, valid or not, and its end.

// socket is one connection: what the client says, what the app says.
type socket struct {
	name     string
	up, down []byte // frames; the client's are masked unless the case says otherwise
	chop     int    // bytes a write; 0: all at once
	offer    string // further fields of the client's handshake
	accept   string // and of the app's
	early    bool   // frames go with the handshake, without waiting for the other's
}

// Opcodes of RFC 6455, 5.2.
const (
	continuation = 0x0
	text         = 0x1
	binaryData   = 0x2
	closeFrame   = 0x8
	ping         = 0x9
	pong         = 0xa
)

// fin ends a message. The bits rsv1 to rsv3 are an extension's, or a mistake.
const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

// frame is one frame with the shortest length; masked by a key, if there is one.
func frame(first byte, payload []byte, key ...byte) []byte {
	var b []byte
	mask := byte(0)
	if key != nil {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, first, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, first, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, mask|127), uint64(n))
	}
	b = append(b, key...)
	at := len(b)
	b = append(b, payload...)
	if key != nil {
		for i := range payload {
			b[at+i] ^= key[i%4]
		}
	}
	return b
}

var key = []byte{0x37, 0xfa, 0x21, 0x3d}

// pair is a case whose both sides say the same frames, masked and not.
func pair(name string, frames ...func(key ...byte) []byte) socket {
	s := socket{name: name}
	for _, f := range frames {
		s.up = append(s.up, f(key...)...)
		s.down = append(s.down, f()...)
	}
	return s
}

func one(first byte, payload string) func(key ...byte) []byte {
	return func(key ...byte) []byte { return frame(first, []byte(payload), key...) }
}

func code(n uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, n)) + reason
}

// noise is n bytes that nothing compresses or repeats.
func noise(n int) []byte {
	b, r := make([]byte, n), rand.NewChaCha8([32]byte{})
	r.Read(b)
	return b
}

// inPieces cuts a message into frames of n bytes.
func inPieces(opcode byte, whole []byte, n int, key ...byte) (b []byte) {
	for first := opcode; ; first = continuation {
		k := min(n, len(whole))
		if k == len(whole) {
			return append(b, frame(fin|first, whole, key...)...)
		}
		b = append(b, frame(first, whole[:k], key...)...)
		whole = whole[k:]
	}
}

func sockets() (all []socket) {
	bye := one(fin|closeFrame, code(1000, ""))
	for _, opcode := range []byte{text, binaryData} { // section 1: framing; 10.1: cut where nobody expects it
		for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536} {
			all = append(all, pair(fmt.Sprintf("1 opcode %d of %d bytes", opcode, n), one(fin|opcode, strings.Repeat("*", n)), bye))
		}
	}
	for _, chop := range []int{1, 2, 3, 7, 997} {
		s := pair(fmt.Sprintf("1 messages in writes of %d", chop), one(fin|text, strings.Repeat("a", 200)), one(fin|ping, "p"), one(fin|binaryData, "\x00\xff"), bye)
		s.chop = chop
		all = append(all, s)
	}
	all = append(all, // section 2: pings and pongs
		pair("2 an empty ping", one(fin|ping, ""), bye),
		pair("2 a ping of 125 bytes", one(fin|ping, strings.Repeat("\xfe", 125)), bye),
		pair("2 a ping of 126 bytes, which is too many", one(fin|ping, strings.Repeat("x", 126))),
		pair("2 a pong that nobody asked for", one(fin|pong, "unsolicited"), one(fin|ping, "and a ping"), bye),
		pair("2 ten pings", slices.Concat(slices.Repeat([]func(...byte) []byte{one(fin|ping, "payload")}, 10), []func(...byte) []byte{bye})...),
	)
	for _, bits := range []byte{rsv1, rsv2, rsv3, rsv1 | rsv2, rsv1 | rsv3, rsv2 | rsv3, rsv1 | rsv2 | rsv3} { // section 3: reserved bits
		all = append(all, pair(fmt.Sprintf("3 reserved bits %#x", bits), one(fin|text, "first"), one(fin|bits|text, "reserved"), one(fin|bits|closeFrame, "")))
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} { // section 4: reserved opcodes
		all = append(all, pair(fmt.Sprintf("4 opcode %d", opcode), one(fin|text, "first"), one(fin|opcode, "reserved"), one(fin|ping, "")))
	}
	all = append(all, // section 5: fragments
		pair("5 a ping in fragments", one(ping, "a"), one(fin|continuation, "b")),
		pair("5 a pong in fragments", one(pong, "a"), one(fin|continuation, "b")),
		pair("5 a text in two fragments", one(text, "frag"), one(fin|continuation, "ment"), bye),
		pair("5 a ping between fragments", one(text, "frag"), one(fin|ping, "in between"), one(fin|continuation, "ment"), bye),
		pair("5 a close between fragments", one(text, "frag"), bye, one(fin|continuation, "ment")),
		pair("5 pings between many fragments", one(text, "1"), one(fin|ping, "a"), one(continuation, "2"), one(fin|ping, "b"), one(continuation, ""), one(fin|continuation, "3"), bye),
		pair("5 a continuation of nothing", one(fin|continuation, "of nothing"), one(fin|text, "hi")),
		pair("5 a text within a text", one(text, "frag"), one(fin|text, "new"), one(fin|continuation, "ment")),
		pair("5 fragments of nothing", one(text, ""), one(continuation, ""), one(fin|continuation, ""), bye),
	)
	const greek = "κόσμε \U0001F600"
	for i := 1; i < len(greek); i++ { // section 6: UTF-8, valid or not, cut anywhere
		all = append(all, pair(fmt.Sprintf("6 a character cut at %d by fragments", i), one(text, greek[:i]), one(fin|continuation, greek[i:]), bye))
	}
	s := pair("6 a character cut by writes", one(fin|text, greek), bye)
	s.chop = 1
	all = append(all, s)
	for _, bad := range []string{"\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff\xfe", "a\x80b", "\xce", "\xf0\x9f\x98", "\x00", "\uFEFF", "\uFFFF"} {
		all = append(all, pair(fmt.Sprintf("6 the text %+q", bad), one(fin|text, bad), one(fin|text, "behind it")))
	}
	all = append(all, // section 7: closing
		pair("7 a close without a code", one(fin|closeFrame, "")),
		pair("7 a close of one byte", one(fin|closeFrame, "\x03")),
		pair("7 a close with a long reason", one(fin|closeFrame, code(1000, strings.Repeat("*", 123)))),
		pair("7 a close that is too long", one(fin|closeFrame, code(1000, strings.Repeat("*", 124)))),
		pair("7 a close whose reason is no UTF-8", one(fin|closeFrame, code(1000, "\xce\xba\xff"))),
		pair("7 two closes", bye, bye),
		pair("7 a ping behind a close", bye, one(fin|ping, "")),
		pair("7 a text behind a close", bye, one(fin|text, "late")),
		pair("7 256 KiB and a close", one(fin|text, strings.Repeat("b", 256<<10)), bye, one(fin|ping, "")),
		pair("7 no close", one(fin|text, "and away")),
	)
	for _, n := range []uint16{0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 1015, 1016, 1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535} {
		all = append(all, pair(fmt.Sprintf("7 a close with %d", n), one(fin|closeFrame, code(n, "why"))))
	}
	large := noise(16 << 20) // section 9: limits
	small := bytes.Repeat(frame(fin|text, []byte("0123456789abcdef"), key...), 10_000)
	all = append(all,
		socket{name: "9 a message of 16 MiB", up: frame(fin|binaryData, large, key...), down: frame(fin|binaryData, large)},
		socket{name: "9 a message of 16 MiB in fragments of 64 KiB", up: inPieces(binaryData, large, 64<<10, key...), down: inPieces(binaryData, large, 64<<10)},
		socket{name: "9 a message of 1 MiB in fragments of 64 bytes", up: inPieces(text, large[:1<<20], 64, key...), down: inPieces(text, large[:1<<20], 64)},
		socket{name: "9 a message of 1 MiB in writes of 1,000 bytes", up: frame(fin|binaryData, large[:1<<20], key...), down: frame(fin|binaryData, large[:1<<20]), chop: 1000},
		socket{name: "9 10,000 small messages", up: small, down: bytes.Repeat(frame(fin|text, []byte("0123456789abcdef")), 10_000)},
	)
	all = append(all, // 5.3 of the RFC: masks
		socket{name: "masks of zeros", up: frame(fin|text, []byte("plain"), 0, 0, 0, 0), down: frame(fin|text, []byte("plain"))},
		socket{name: "a mask each", up: slices.Concat(frame(fin|text, []byte("one"), 1, 2, 3, 4), frame(fin|text, []byte("two"), 255, 0, 255, 0)), down: frame(fin|text, nil)},
		socket{name: "no mask, which a client must have", up: frame(fin|text, []byte("bare")), down: frame(fin|text, []byte("hi"))},
		socket{name: "a mask, which an app must not have", up: frame(fin|text, []byte("hi"), key...), down: frame(fin|text, []byte("masked"), key...)},
		socket{name: "a length in more bytes than it needs", up: []byte{fin | text, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'a'}, down: []byte{fin | text, 126, 0, 1, 'a'}},
		socket{name: "a length with the first bit set", up: []byte{fin | text, 0x80 | 127, 255, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, down: []byte{fin | text, 127, 255, 0, 0, 0, 0, 0, 0, 1}},
		socket{name: "frames that go with the handshake", up: frame(fin|text, []byte("eager"), key...), down: frame(fin|text, []byte("eager, too")), early: true},
	)
	for _, n := range []struct{ offer, accept string }{ // 12 and 13: compression is for the two to negotiate
		{"permessage-deflate", "permessage-deflate"},
		{"permessage-deflate; client_max_window_bits; server_no_context_takeover", "permessage-deflate; server_no_context_takeover; client_max_window_bits=10"},
		{"permessage-deflate; server_max_window_bits=\"9\", permessage-deflate;client_no_context_takeover ,x-other", "x-other; a=b;c"},
		{"permessage-deflate", ""},
	} {
		s := pair("12 offered "+n.offer+", accepted "+n.accept, one(fin|rsv1|text, "\xf2\x48\xcd\xc9\xc9\x07\x00"), one(rsv1|text, "\xf2\x48"), one(fin|continuation, "\xcd\xc9\xc9\x07\x00"), bye)
		s.offer = "Sec-WebSocket-Extensions: " + n.offer + "\nSec-WebSocket-Protocol: chat, superchat;x\n"
		if n.accept != "" {
			s.accept = "Sec-WebSocket-Extensions: " + n.accept + "\nSec-WebSocket-Protocol: superchat;x\n"
		}
		all = append(all, s)
	}
	return all
}

const (
	handshake = "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\nOrigin: http://shop.local\n"
	switched  = "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n"
)

// enough is how long a connection of the table may take on a busy machine: some
// carry 32 MiB.
const enough = 3 * patience

// TestWebSocket_PassesEveryByteBothWays runs the table on both paths and in TLS.
func TestWebSocket_PassesEveryByteBothWays(t *testing.T) {
	all := sockets()
	if len(all) < 100 {
		t.Errorf("%d cases", len(all))
	}
	both(t, func(t *testing.T, full bool) {
		heard := make(chan error, 1)
		d := open(t, options{full: full})
		d.route(rawApp(t, func(c net.Conn) { heard <- socketApp(c, all) }))
		for i, s := range all {
			t.Run(s.name, func(t *testing.T) {
				v := d.dial()
				v.SetDeadline(time.Now().Add(enough))
				if err := s.client(v, i); err != nil {
					t.Errorf("the client: %v", err)
				}
				v.Close()
				select {
				case err := <-heard:
					if err != nil {
						t.Errorf("the app: %v", err)
					}
				case <-time.After(2 * enough):
					t.Error("the app has heard nothing")
				}
			})
		}
	})
}

// client opens the i-th connection, says what the case says, and hears the app.
// Every second connection is ended by the client, the others by the app.
func (s socket) client(v *visitor, i int) error {
	up := s.up
	head := crlf(fmt.Sprintf("GET /%d HTTP/1.1\nHost: shop.local\n%s%s\n", i, handshake, s.offer))
	if s.early {
		head, up = head+string(up), nil
	}
	if _, err := io.WriteString(v, head); err != nil {
		return err
	}
	m, err := readHead(v.r)
	if err != nil {
		return err
	}
	if want := fields(switched + s.accept); !slices.Equal(m.fields, want) {
		return fmt.Errorf("got the handshake %q %q, want %q", m.first, m.fields, want)
	}
	if err := s.talk(v, v.r, up, s.down); err != nil {
		return err
	}
	return over(i%2 == 0, v, v.r)
}

// fields are those of a head in text, as readHead tells them.
func fields(head string) (f []string) {
	m, _ := readHead(bufio.NewReader(strings.NewReader(crlf(head + "\n"))))
	return m.fields
}

// socketApp is the app's side of one connection.
func socketApp(c net.Conn, all []socket) error {
	c.SetDeadline(time.Now().Add(enough))
	r := bufio.NewReader(c)
	m, err := readHead(r)
	if err != nil {
		return err
	}
	i, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(m.first, "GET /"), " HTTP/1.1"))
	if err != nil {
		return err
	}
	s, got := all[i], slices.DeleteFunc(m.fields, usual.MatchString)
	if want := fields("GET / HTTP/1.1\n" + handshake + s.offer); !slices.Equal(got, want) {
		return fmt.Errorf("got the handshake %q, want %q", got, want)
	}
	head, down := crlf(switched+s.accept+"\n"), s.down
	if s.early {
		head, down = head+string(down), nil
	}
	if _, err := io.WriteString(c, head); err != nil {
		return err
	}
	if err := s.talk(c, r, down, s.up); err != nil {
		return err
	}
	return over(i%2 == 1, c, r)
}

// talk says and hears at the same time, and compares what came.
func (s socket) talk(c net.Conn, r io.Reader, says, hears []byte) error {
	said := make(chan error, 1)
	go func() {
		for len(says) > 0 {
			n := len(says)
			if s.chop > 0 {
				n = min(n, s.chop)
			}
			if _, err := c.Write(says[:n]); err != nil {
				said <- err
				return
			}
			says = says[n:]
		}
		said <- nil
	}()
	got := make([]byte, len(hears))
	n, err := io.ReadFull(r, got)
	if !bytes.Equal(got[:n], hears[:n]) {
		err = errors.New("other bytes came")
	}
	if err != nil {
		err = fmt.Errorf("after %d of %d bytes: %w", n, len(hears), err)
	}
	return errors.Join(err, <-said)
}

// over ends the connection, or waits for the other side's end, behind which
// nothing may come.
func over(mine bool, c net.Conn, r io.Reader) error {
	if mine {
		return c.Close()
	}
	if n, err := io.Copy(io.Discard, r); n > 0 || err != nil {
		return fmt.Errorf("%d bytes more, and %w", n, err)
	}
	return nil
}

// TestWebSocket_LibrariesUnderstandEachOther has a real client and a real server
// talk through the router: with and without compression, pings, many messages
// and large ones, and an end with a code and a reason.
func TestWebSocket_LibrariesUnderstandEachOther(t *testing.T) {
	both(t, func(t *testing.T, full bool) {
		srv := httptest.NewServer(http.HandlerFunc(echoSocket))
		t.Cleanup(srv.Close)
		d := open(t, options{full: full})
		d.route(srv.Listener.Addr().String())
		for _, mode := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover} {
			t.Run(fmt.Sprint("compression ", mode), func(t *testing.T) { d.converse(t, mode) })
		}
	})
}

func echoSocket(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ws.SetReadLimit(-1)
	for {
		kind, b, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		if string(b) == "end" {
			ws.Close(4321, "as you wish")
			return
		}
		ws.Write(r.Context(), kind, b)
	}
}

func (d *door) converse(t *testing.T, mode websocket.CompressionMode) {
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		v := d.dial()
		return v.Conn, v.SetDeadline(time.Now().Add(enough))
	}}
	defer tr.CloseIdleConnections()
	ws, _, err := websocket.Dial(ctx, "ws://"+host+"/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}, CompressionMode: mode})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(-1)
	var sent [][]byte
	for i := range 100 {
		sent = append(sent, fmt.Appendf(nil, "message %d: %s", i, strings.Repeat("κόσμε", 10*i)))
	}
	sent = append(sent, noise(256<<10), []byte("end"))
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i, b := range sent {
			kind := websocket.MessageText
			if i == len(sent)-2 {
				kind = websocket.MessageBinary
			}
			if err := ws.Write(ctx, kind, b); err != nil {
				t.Errorf("message %d: %v", i, err)
				return
			}
		}
	})
	wg.Go(func() {
		if err := ws.Ping(ctx); err != nil && ctx.Err() == nil && websocket.CloseStatus(err) != 4321 {
			t.Errorf("ping: %v", err)
		}
	})
	for i, want := range sent[:len(sent)-1] {
		if _, got, err := ws.Read(ctx); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("message %d: %d bytes, want %d: %v", i, len(got), len(want), err)
		}
	}
	_, _, err = ws.Read(ctx)
	if e := (websocket.CloseError{}); !errors.As(err, &e) || e.Code != 4321 || e.Reason != "as you wish" {
		t.Errorf("the end: %v", err)
	}
}
