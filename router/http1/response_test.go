package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

var responseCases = []struct {
	name, head string
	bodiless   bool
	verdict    Verdict
	why        Reason
	body       Framing
	length     int64
	closes     bool
}{
	{"nothing", "", false, More, 0, 0, 0, false},
	{"half a status line", "HTTP/1.1 20", false, More, 0, 0, 0, false},
	{"half a blank line", "HTTP/1.1 200 OK\r\nA: b\r\n\r", false, More, 0, 0, 0, false},
	{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, OK, 0, ByLength, 5, false},
	{"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", false, OK, 0, ByLength, 5, false},
	{"a length of 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, OK, 0, NoBody, 0, false},
	{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", false, OK, 0, Chunked, -1, false},
	{"neither", "HTTP/1.1 200 OK\r\n\r\n", false, OK, 0, UntilClose, -1, true},
	{"both", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false, OK, 0, Chunked, 5, true},
	{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false, OK, 0, ByLength, 5, true},
	{"close", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: Close\r\n\r\n", false, OK, 0, ByLength, 5, true},
	{"the answer to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, OK, 0, NoBody, 5, false},
	{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, OK, 0, NoBody, 5, false},
	{"304", "HTTP/1.1 304 Not Modified\r\n\r\n", false, OK, 0, NoBody, -1, false},
	{"100", "HTTP/1.1 100 Continue\r\n\r\n", false, OK, 0, NoBody, -1, false},
	{"103", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", false, OK, 0, NoBody, -1, false},
	{"no reason", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", false, OK, 0, ByLength, 5, false},
	{"an odd status", "HTTP/1.1 799 x\r\nContent-Length: 5\r\n\r\n", false, OK, 0, ByLength, 5, false},
	{"bare line ends", "HTTP/1.1 200 OK\nContent-Length: 5\nA: b\n\n", false, OK, 0, ByLength, 5, false},
	{"a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 5\r\n\r\n", false, OK, 0, ByLength, 5, false},
	{"a folded length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\n", false, OK, 0, ByLength, 5, false},

	{"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false, Refuse, UnaskedSwitch, 0, 0, false},
	{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", false, Refuse, BadStatusLine, 0, 0, false},
	{"another protocol", "SSH-2.0", false, Refuse, BadStatusLine, 0, 0, false},
	{"a short status", "HTTP/1.1 20\r\n\r\n", false, Refuse, BadStatusLine, 0, 0, false},
	{"a long status", "HTTP/1.1 2000\r\n\r\n", false, Refuse, BadStatusLine, 0, 0, false},
	{"a status below 100", "HTTP/1.1 099 x\r\n\r\n", false, Refuse, BadStatusLine, 0, 0, false},
	{"a status of letters", "HTTP/1.1 nnn OK\r\n\r\n", false, Refuse, BadStatusLine, 0, 0, false},
	{"a version of letters", "HTTP/1.x 200 OK\r\n\r\n", false, Refuse, BadStatusLine, 0, 0, false},
	{"NUL in the reason", "HTTP/1.1 200 a\x00b\r\n\r\n", false, Refuse, BadStatusLine, 0, 0, false},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", false, Refuse, LengthTwice, 0, 0, false},
	{"a bad length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", false, Refuse, BadLength, 0, 0, false},
	{"an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, Refuse, CodingUnknown, 0, 0, false},
	{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", false, Refuse, CodingTwice, 0, 0, false},
	{"a space before the colon", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false, Refuse, SpaceBeforeColon, 0, 0, false},
	{"NUL in a value", "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", false, Refuse, ControlByte, 0, 0, false},
}

func TestResponse_FramingIsNeverInDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range responseCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r Response
			v, why := r.Parse([]byte(c.head), c.bodiless)
			if v != c.verdict || why != c.why {
				t.Fatalf("verdict %d, reason %q; want %d, %q", v, why, c.verdict, c.why)
			}
			if v == OK && (r.Body != c.body || r.Length != c.length && c.body == ByLength || r.Close != c.closes || r.Size != len(c.head)) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestResponse_OnlyWhatMayTravelGoesOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, want string }{
		{"hop-by-hop", "HTTP/1.0 404 Not here\r\nA: 1\r\nConnection: x-b, close\r\nX-B: 2\r\nKeep-Alive: 3\r\nx-b: 4\r\nC: 5\r\nUpgrade: h2c\r\n\r\n",
			"HTTP/1.1 404 Not here\r\nA: 1\r\nC: 5\r\n"},
		{"a length beside chunks", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nA: 1\r\n"},
		{"a repeated length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"},
		{"bare line ends", "HTTP/1.1 200 OK\nA: b\r\nConnection: x\nX: y\nB: c\n\n", "HTTP/1.1 200 OK\r\nA: b\r\nB: c\r\n"},
		{"folds", "HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n d\r\nB: e\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b  \tc   d\r\nB: e\r\n"},
		{"no reason", "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r Response
			b := []byte(c.from)
			if v, why := r.Parse(b, false); v != OK {
				t.Fatal(v, why)
			}
			if got := string(r.AppendHead(nil, b)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzResponse: what goes on to the client is strict, and framed as net/http
// and the parser itself read the app's answer.
func FuzzResponse(f *testing.F) {
	for _, c := range responseCases {
		f.Add([]byte(c.head), c.bodiless)
	}
	f.Fuzz(func(t *testing.T, b []byte, bodiless bool) {
		var r, again Response
		if v, _ := r.Parse(b, bodiless); v != OK {
			return
		}
		sent := r.AppendHead(nil, b)
		if r.Body == Chunked {
			sent = append(sent, "Transfer-Encoding: chunked\r\n"...)
		}
		sent = append(sent, "\r\n"...)
		if v, why := again.Parse(bytes.Clone(sent), bodiless); v != OK || again.bare || again.Body != r.Body || again.Status != r.Status {
			t.Fatalf("what goes on is not strict: %v %v %q", v, why, sent)
		}
		if r.Body == ByLength && again.Length != r.Length {
			t.Fatalf("length %d became %d", r.Length, again.Length)
		}
		if r.Status < 200 || bodiless || r.Status == 204 || r.Status == 304 {
			return
		}
		std, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(sent)), nil)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", sent, err)
		}
		if want := map[Framing]int64{ByLength: r.Length, Chunked: -1, UntilClose: -1}[r.Body]; std.ContentLength != want {
			t.Fatalf("net/http reads %d, not %d: %q", std.ContentLength, want, sent)
		}
	})
}
