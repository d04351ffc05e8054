package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

const plain = "GET /a/b?c=d HTTP/1.1\r\nHost: shop.local\r\n"

// lines makes a head of the plain one and more lines.
func lines(more ...string) string { return plain + strings.Join(more, "\r\n") + "\r\n\r\n" }

var requestCases = []struct {
	name, head string
	verdict    Verdict
	why        Reason
}{
	{"nothing", "", More, 0},
	{"half a method", "GE", More, 0},
	{"half a version", "GET / HTTP/1.", More, 0},
	{"no blank line", plain, More, 0},
	{"half a blank line", plain + "\r", More, 0},
	{"plain", lines("Accept: */*"), OK, 0},
	{"another method", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", OK, 0},
	{"a method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", OK, 0},
	{"an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", OK, 0},
	{"a host with a port", "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n", OK, 0},
	{"an escaped path", "GET /%e4%BD%a0 HTTP/1.1\r\nHost: a\r\n\r\n", OK, 0},
	{"odd bytes in a query", "GET /?a=[1]{2}|\"%zz\" HTTP/1.1\r\nHost: a\r\n\r\n", OK, 0},
	{"two slashes", "GET //x HTTP/1.1\r\nHost: a\r\n\r\n", OK, 0},
	{"bytes above ASCII in a value", lines("X: \xe4\xbd\xa0"), OK, 0},
	{"a tab in a value", lines("X: a\tb"), OK, 0},
	{"a length of 0", lines("Content-Length: 0"), OK, 0},
	{"keep-alive", lines("Connection: keep-alive, TE"), OK, 0},
	{"trailers are taken", lines("TE: trailers"), OK, 0},
	{"waiting for 100", lines("Expect: 100-continue", "Content-Length: 3"), OK, 0},

	{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", HandOver, 0},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", HandOver, 0},
	{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HandOver, 0},
	{"a TLS hello", "\x16\x03\x01", HandOver, 0},
	{"a blank line first", "\r\nGET", HandOver, 0},
	{"a long method", strings.Repeat("A", 40), HandOver, 0},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"CONNECT with a path", "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"absolute-form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"a bad escape in the path", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"bytes above ASCII in the path", "GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"no target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", HandOver, 0},
	{"no version", "GET /\r\nHost: a\r\n\r\n", HandOver, 0},
	{"an upgrade", lines("Connection: Upgrade", "Upgrade: websocket"), HandOver, 0},
	{"trailers and codings are taken", lines("TE: trailers, deflate"), HandOver, 0},
	{"trailers are taken twice", lines("TE: trailers", "TE: trailers"), HandOver, 0},
	{"another expectation", lines("Expect: miracles"), HandOver, 0},
	{"Connection naming a field", lines("Connection: close, X-Secret", "X-Secret: 1"), HandOver, 0},
	{"odd bytes in the host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HandOver, 0},
	{"many lines to drop", lines(strings.Split(strings.Repeat("Keep-Alive: 1\n", 30)+"X: y", "\n")...), HandOver, 0},
	{"many lines of the family", lines(strings.Split(strings.Repeat("X-Forwarded-Port: 1\n", 5)+"X: y", "\n")...), HandOver, 0},

	{"a request line ended by LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", Refuse, BareLF},
	{"a field ended by LF", lines("X: a\nY: b"), Refuse, BareLF},
	{"a name ended by LF", lines("X\nY: b"), Refuse, BareLF},
	{"a blank line of LF", plain + "\n", Refuse, BareLF},
	{"a CR in a value", lines("X: a\rY: b"), Refuse, BareCR},
	{"a CR behind the version", "GET / HTTP/1.1\rHost: a\r\n\r\n", Refuse, BareCR},
	{"a CR for a line", plain + "\rX", Refuse, BareCR},
	{"a folded line", lines("X: a", " b"), Refuse, ObsFold},
	{"a line folded by a tab", lines("X: a", "\tb"), Refuse, ObsFold},
	{"a space behind the request line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refuse, ObsFold},
	{"a space before the colon", lines("Content-Length : 3"), Refuse, SpaceBeforeColon},
	{"a tab before the colon", lines("Transfer-Encoding\t: chunked"), Refuse, SpaceBeforeColon},
	{"no name", lines(": a"), Refuse, BadName},
	{"no colon", lines("abc"), Refuse, BadName},
	{"a name above ASCII", lines("\xe4: a"), Refuse, BadName},
	{"a name in brackets", lines("[X]: a"), Refuse, BadName},
	{"NUL in a value", lines("X: a\x00b"), Refuse, ControlByte},
	{"NUL in a name", lines("X\x00Y: b"), Refuse, ControlByte},
	{"a control byte in a value", lines("X: a\x0bb"), Refuse, ControlByte},
	{"DEL in a value", lines("X: 0123456789\x7fb"), Refuse, ControlByte},
	{"no host", "GET / HTTP/1.1\r\nX: y\r\n\r\n", Refuse, HostMissing},
	{"two hosts", lines("Host: other"), Refuse, HostTwice},
	{"the same host twice", lines("host: shop.local"), Refuse, HostTwice},
	{"a signed length", lines("Content-Length: +3"), Refuse, BadLength},
	{"a negative length", lines("Content-Length: -1"), Refuse, BadLength},
	{"an empty length", lines("Content-Length: "), Refuse, BadLength},
	{"a hexadecimal length", lines("Content-Length: 0x10"), Refuse, BadLength},
	{"a list of lengths", lines("Content-Length: 3, 3"), Refuse, BadLength},
	{"a length with spaces", lines("Content-Length: 1 2"), Refuse, BadLength},
	{"a length no integer holds", lines("Content-Length: 99999999999999999999"), Refuse, BadLength},
	{"two lengths", lines("Content-Length: 3", "Content-Length: 4"), Refuse, LengthTwice},
	{"the same length twice", lines("Content-Length: 3", "Content-Length: 3"), Refuse, LengthTwice},
	{"a length, then a coding", lines("Content-Length: 3", "Transfer-Encoding: chunked"), Refuse, LengthAndCoding},
	{"a coding, then a length", lines("Transfer-Encoding: chunked", "Content-Length: 3"), Refuse, LengthAndCoding},
	{"a coding twice", lines("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), Refuse, CodingTwice},
	{"a second coding", lines("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), Refuse, CodingTwice},
	{"an unknown coding", lines("Transfer-Encoding: xchunked"), Refuse, CodingUnknown},
	{"a list of codings", lines("Transfer-Encoding: gzip, chunked"), Refuse, CodingUnknown},
	{"identity", lines("Transfer-Encoding: identity"), Refuse, CodingUnknown},
	{"a quoted coding", lines("Transfer-Encoding: \"chunked\""), Refuse, CodingUnknown},
	{"an empty coding", lines("Transfer-Encoding:"), Refuse, CodingUnknown},
	{"a coding with a vertical tab", lines("Transfer-Encoding: \x0bchunked"), Refuse, ControlByte},
	{"a coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Refuse, CodingIn10},
	{"an upgrade that smuggles", lines("Upgrade: x", "Content-Length: 1", "Transfer-Encoding: chunked"), Refuse, LengthAndCoding},
}

func TestRequest_PlainHandedOverOrRefused(t *testing.T) {
	t.Parallel()
	for _, c := range requestCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r Request
			if v, why := r.Parse([]byte(c.head)); v != c.verdict || why != c.why {
				t.Errorf("verdict %d, reason %q; want %d, %q", v, why, c.verdict, c.why)
			}
		})
	}
}

func TestRequest_TellsWhatTheRouterNeeds(t *testing.T) {
	t.Parallel()
	head := "POST /p?q HTTP/1.1\r\nHOST:\t a.b:81 \r\nConnection: close\r\nX-request-ID: id\r\nX-Forwarded-For: 1.2.3.4\r\n" +
		"Expect: 100-Continue\r\nContent-Length: 0012\r\n\r\nbody"
	var r Request
	if v, why := r.Parse([]byte(head)); v != OK {
		t.Fatal(v, why)
	}
	if string(r.Method) != "POST" || string(r.Target) != "/p?q" || string(r.Host) != "a.b:81" || r.Body != ByLength || r.Length != 12 ||
		!r.Close || !r.Continue || string(r.RequestID) != "id" || string(r.ForwardedFor) != "1.2.3.4" || r.Size != len(head)-4 {
		t.Errorf("%+v", r)
	}
}

func TestRequest_OnlyWhatMayTravelGoesOn(t *testing.T) {
	t.Parallel()
	head := []byte("GET / HTTP/1.1\r\nHost: a\r\nconnection: keep-alive\r\nA: 1\r\nX-Forwarded-Port: 9\r\nForwarded: for=x\r\nTE: trailers\r\n" +
		"Proxy-Authorization: x\r\nb: 2\r\nX-Forwarded-For: y\r\nX-Real-IP: z\r\nKeep-Alive: 5\r\nX-Forwarded: k\r\n\r\n")
	var r Request
	r.Parse(head)
	const stranger = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nTE: trailers\r\nb: 2\r\nX-Forwarded: k\r\n"
	const proxy = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nX-Forwarded-Port: 9\r\nForwarded: for=x\r\nTE: trailers\r\nb: 2\r\nX-Forwarded: k\r\n"
	if got := string(r.AppendHead(nil, head, true)); got != proxy {
		t.Errorf("from a proxy: %q", got)
	}
	for range 2 { // as a retry does
		if got := string(r.AppendHead(nil, head, false)); got != stranger {
			t.Errorf("from a stranger: %q", got)
		}
	}
}

func TestRequest_ADripIsNotParsedPerDrop(t *testing.T) {
	t.Parallel()
	head := lines("A: b")
	for i := range len(head) {
		if HeadEnds([]byte(head[:i]), 0) {
			t.Errorf("ends after %d of %d bytes", i, len(head))
		}
	}
	for from := range len(head) {
		if !HeadEnds([]byte(head), from) {
			t.Errorf("the end is not seen from %d", from)
		}
	}
}

func TestFind_TheFirstOfThatName(t *testing.T) {
	t.Parallel()
	head := []byte(lines("accept: a", "Accept: b"))
	if got := string(Find(head, "accept")); got != "a" {
		t.Error(got)
	}
	if got := Find(head, "cookie"); got != nil {
		t.Error(string(got))
	}
}

// FuzzRequest: a head is judged the same however it arrives; what is found
// plain, net/http reads with the same framing, before and after the rewriting.
func FuzzRequest(f *testing.F) {
	for _, c := range requestCases {
		f.Add([]byte(c.head))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2<<10 { // every prefix is parsed
			return
		}
		var r, part Request
		v, why := r.Parse(b)
		for i := range len(b) {
			if pv, pwhy := part.Parse(b[:i]); pv != More && (pv != v || pwhy != why) {
				t.Fatalf("the first %d bytes: %d %v; all: %d %v", i, pv, pwhy, v, why)
			}
		}
		if v != OK {
			return
		}
		if !HeadEnds(b, 0) {
			t.Fatal("parsed, but its end is not seen")
		}
		sent := append(r.AppendHead(nil, b, false), "\r\n"...)
		var again Request
		if r.Body == Chunked {
			sent = append(sent[:len(sent)-2], "Transfer-Encoding: chunked\r\n\r\n"...)
		}
		if v, why := again.Parse(sent); v != OK || again.Body != r.Body || again.Length != r.Length {
			t.Fatalf("what goes on is not plain: %v %v %q", v, why, sent)
		}
		agree(t, &r, b[:r.Size])
		agree(t, &r, sent)
	})
}

func agree(t *testing.T, r *Request, head []byte) {
	std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", head, err)
	}
	length := r.Length
	if r.Body == Chunked {
		length = -1
	}
	if std.ContentLength != length || std.Method != string(r.Method) || std.RequestURI != string(r.Target) || std.Host != string(r.Host) {
		t.Fatalf("net/http reads %q otherwise: %+v", head, std)
	}
}

func TestRequest_ParsingAllocatesNothing(t *testing.T) {
	head := []byte(lines("Accept: */*", "Cookie: a=b", "X-Forwarded-For: 1.1.1.1", "Connection: keep-alive"))
	dst := make([]byte, 0, 4096)
	var r Request
	if n := testing.AllocsPerRun(100, func() {
		r.Parse(head)
		dst = r.AppendHead(dst[:0], head, false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// browser is the head of a page's request as browsers send it.
const browser = "GET /catalogue/items?page=2&sort=price HTTP/1.1\r\nHost: shop.local\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n" +
	"Referer: https://shop.local/catalogue/items?page=1&sort=price\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9,zh-CN;q=0.8\r\nCookie: JSESSIONID=0123456789ABCDEF0123456789ABCDEF; theme=dark; consent=yes\r\n\r\n"

func BenchmarkRequest_Browser(b *testing.B) {
	head := []byte(browser)
	dst := make([]byte, 0, 4096)
	var r Request
	for b.Loop() {
		r.Parse(head)
		dst = r.AppendHead(dst[:0], head, false)
	}
}
