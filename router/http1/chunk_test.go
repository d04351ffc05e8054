package http1

import (
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

var chunkCases = []struct {
	name, body, want string // want: what goes on; "-": broken; "…": incomplete
}{
	{"empty", "0\r\n\r\n", "0\r\n\r\n"},
	{"one", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"},
	{"upper case and zeros", "00A\r\n0123456789\r\n000\r\n\r\n", "00A\r\n0123456789\r\n000\r\n\r\n"},
	{"an extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"},
	{"a quoted extension", "1;a=\"x;y\"\r\nh\r\n0\r\n\r\n", "1\r\nh\r\n0\r\n\r\n"},
	{"spaces behind the size", "5 \t\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"},
	{"trailers", "0\r\nA: b\r\nC: d\r\n\r\n", "0\r\nA: b\r\nC: d\r\n\r\n"},
	{"trailers that rewrite the head", "0\r\nA: b\r\nContent-Length: 3\r\nHost: x\r\nX-Forwarded-For: y\r\nC: d\r\n\r\n", "0\r\nA: b\r\nC: d\r\n\r\n"},
	{"unfinished", "5\r\nhel", "…"},
	{"unfinished trailers", "0\r\nA: b", "…"},
	{"no size", "\r\nhello", "-"},
	{"no number", "x\r\n", "-"},
	{"a sign", "+5\r\nhello\r\n0\r\n\r\n", "-"},
	{"0x", "0x5\r\nhello\r\n0\r\n\r\n", "-"},
	{"a space before the size", " 5\r\nhello\r\n0\r\n\r\n", "-"},
	{"two sizes", "5 5\r\nhello\r\n0\r\n\r\n", "-"},
	{"a space before an extension", "5 ;a\r\nhello\r\n0\r\n\r\n", "-"},
	{"17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n", "-"},
	{"more than 31 bits", "100000005\r\nhello\r\n0\r\n\r\n", "-"},
	{"a bare LF behind the size", "5\nhello\r\n0\r\n\r\n", "-"},
	{"a bare CR behind the size", "5\rhello\r\n0\r\n\r\n", "-"},
	{"a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n", "-"},
	{"a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", "-"},
	{"NUL in an extension", "5;\x00\r\nhello\r\n0\r\n\r\n", "-"},
	{"an endless extension", "5;" + strings.Repeat("a", 5000) + "\r\nhello\r\n0\r\n\r\n", "-"},
	{"a chunk longer than its size", "5\r\nhelloo\r\n0\r\n\r\n", "-"},
	{"a bare LF behind the data", "5\r\nhello\n0\r\n\r\n", "-"},
	{"a trailer ended by LF", "0\r\nA: b\n\r\n", "-"},
	{"a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", "-"},
	{"a trailer without a name", "0\r\n: b\r\n\r\n", "-"},
	{"endless trailers", "0\r\n" + strings.Repeat("A: b\r\n", 2000) + "\r\n", "-"},
	{"an endless trailer", "0\r\nA: " + strings.Repeat("b", 9000), "-"},
}

// walk shows a body to Chunks in pieces of n bytes, keeping what must wait.
func walk(body []byte, n int) (kept string, used int, c Chunks) {
	c = Chunks{Limit: RequestChunk}
	var held []byte
	for len(body) > 0 && !c.Done() {
		piece := body[:min(n, len(body))]
		body = body[len(piece):]
		held = append(held, piece...)
		out, took, p := c.Filter(held)
		kept += string(out)
		used += took
		held = append([]byte(nil), held[took:]...)
		if p == Broken {
			return "-", used, c
		}
	}
	if !c.Done() {
		return "…", used, c
	}
	return kept, used, c
}

func TestChunks_GoOnWithoutExtensionsOrBreak(t *testing.T) {
	t.Parallel()
	for _, c := range chunkCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{1, 2, 3, 7, 1 << 20} {
				got, used, _ := walk([]byte(c.body+"NEXT"), n)
				if c.want == "…" {
					got, used, _ = walk([]byte(c.body), n)
				}
				if got != c.want {
					t.Fatalf("in pieces of %d: %q, want %q", n, got, c.want)
				}
				if len(c.want) > 3 && used != len(c.body) {
					t.Fatalf("in pieces of %d: ends after %d of %d bytes", n, used, len(c.body))
				}
			}
		})
	}
}

// FuzzChunks: however a body arrives, the same goes on; and that is what
// net/http decodes to the same content.
func FuzzChunks(f *testing.F) {
	for _, c := range chunkCases {
		f.Add([]byte(c.body), 3)
	}
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		if n < 1 || len(body) > 2<<10 {
			return
		}
		whole, used, c := walk(body, len(body)+1)
		pieces, usedPieces, _ := walk(body, n)
		if whole != pieces || whole != "-" && whole != "…" && used != usedPieces {
			t.Fatalf("whole %q (%d), in pieces of %d %q (%d)", whole, used, n, pieces, usedPieces)
		}
		if !c.Done() || whole == "-" {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body[:used])))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", body[:used], err)
		}
		got, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(whole)))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q became %q (%v)", want, got, err)
		}
	})
}
