package conformance

import (
	"fmt"
	"strings"
)

var yes, no = true, false

// requestCases are about what reaches the app of a request without a body.
var requestCases = append([]kase{
	{name: "a plain request", app: "GET /"},
	{name: "a query", send: "GET /a?b=c&d HTTP/1.1\nHost: shop.local\n\n", app: "GET /a?b=c&d"},
	{name: "fields go on", send: "GET / HTTP/1.1\nHost: shop.local\nAccept: */*\nX-Custom: a, b\n\n", app: "GET / | accept: */* | x-custom: a, b"},
	{name: "repeated fields stay apart", send: "GET / HTTP/1.1\nHost: shop.local\nX-A: 1\nX-A: 2\n\n", app: "GET / | x-a: 1 | x-a: 2"},
	{name: "an empty field", send: "GET / HTTP/1.1\nHost: shop.local\nX-A:\n\n", app: "GET / | x-a: "},
	{name: "no space behind the colon", send: "GET / HTTP/1.1\nHost:shop.local\nX-A:b\n\n", app: "GET / | x-a: b"},
	{name: "spaces around a value", send: "GET / HTTP/1.1\nHost: shop.local\nX-A: \t b \t\n\n", app: "GET / | x-a: b"},
	{name: "a tab within a value", send: "GET / HTTP/1.1\nHost: shop.local\nX-A: b\tc\n\n", app: "GET / | x-a: b\tc"},
	{name: "bytes above ASCII in a value", send: "GET / HTTP/1.1\nHost: shop.local\nX-A: \xe4\xbd\xa0\n\n", app: "GET / | x-a: \xe4\xbd\xa0"},
	{name: "odd characters in a name", send: "GET / HTTP/1.1\nHost: shop.local\nX!#$%&'*+.^_`|~9: b\n\n", app: "GET / | x!#$%&'*+.^_`|~9: b"},
	{name: "a host with a port", send: "GET / HTTP/1.1\nHost: shop.local:8080\n\n", app: "GET / | host: shop.local:8080 | x-forwarded-host: shop.local:8080"},
	{name: "a host in upper case", send: "GET / HTTP/1.1\nHost: SHOP.local\n\n", app: "GET / | host: SHOP.local | x-forwarded-host: SHOP.local"},
	{name: "a host with a dot", send: "GET / HTTP/1.1\nHost: shop.local.\n\n", app: "GET / | host: shop.local. | x-forwarded-host: shop.local."},
	{name: "a custom domain", send: "GET / HTTP/1.1\nHost: www.shop.example\n\n", app: "GET / | host: www.shop.example | x-forwarded-host: www.shop.example"},
	{name: "the host last", send: "GET / HTTP/1.1\nX-A: b\nHost: shop.local\n\n", app: "GET / | x-a: b"},
	{name: "names in lower case", send: "GET / HTTP/1.1\nhost: shop.local\naccept: a\n\n", app: "GET / | accept: a"},
	{name: "a blank line before the request", send: "\nGET / HTTP/1.1\nHost: shop.local\n\n", app: "GET /",
		fullApp: "-", fullBack: "400 Bad Request | content-type: text/plain; charset=utf-8 | close \"400 Bad Request\"", fullEnds: &yes,
		why: "RFC 9112 2.2 would have a server skip it; net/http does not"},
	{name: "close", send: "GET / HTTP/1.1\nHost: shop.local\nConnection: close\n\n", app: "GET /", ends: true},
	{name: "Close", send: "GET / HTTP/1.1\nHost: shop.local\nConnection: Close\n\n", app: "GET /", ends: true},
	{name: "keep-alive", send: "GET / HTTP/1.1\nHost: shop.local\nConnection: keep-alive\nKeep-Alive: timeout=5\n\n", app: "GET /"},
	{name: "keep-alive and close", send: "GET / HTTP/1.1\nHost: shop.local\nConnection: keep-alive, close\n\n", app: "GET /", ends: true},
	{name: "Proxy-Connection", send: "GET / HTTP/1.1\nHost: shop.local\nProxy-Connection: keep-alive\n\n", app: "GET /"},
	{name: "Proxy-Authorization", send: "GET / HTTP/1.1\nHost: shop.local\nProxy-Authorization: Basic x\n\n", app: "GET /"},
	{name: "Authorization goes on", send: "GET / HTTP/1.1\nHost: shop.local\nAuthorization: Basic x\n\n", app: "GET / | authorization: Basic x"},
	{name: "Cookie goes on", send: "GET / HTTP/1.1\nHost: shop.local\nCookie: a=b; c=d\n\n", app: "GET / | cookie: a=b; c=d"},
	{name: "Pragma: no-cache", send: "GET / HTTP/1.1\nHost: shop.local\nPragma: no-cache\n\n", app: "GET / | pragma: no-cache",
		fullApp: "GET / | cache-control: no-cache | pragma: no-cache", why: "net/http says in Cache-Control, too, what Pragma means without one (RFC 9111 5.4)"},
	{name: "Pragma and Cache-Control", send: "GET / HTTP/1.1\nHost: shop.local\nPragma: no-cache\nCache-Control: max-age=0\n\n", app: "GET / | cache-control: max-age=0 | pragma: no-cache"},
	{name: "Connection names a field", send: "GET / HTTP/1.1\nHost: shop.local\nConnection: X-Secret\nX-Secret: 1\nX-Open: 2\n\n", app: "GET / | x-open: 2"},
	{name: "Connection names a field behind it", send: "GET / HTTP/1.1\nHost: shop.local\nX-Secret: 1\nConnection: keep-alive, x-secret\n\n", app: "GET /"},
	{name: "TE: trailers", send: "GET / HTTP/1.1\nHost: shop.local\nTE: trailers\nConnection: TE\n\n", app: "GET / | te: trailers"},
	{name: "TE: gzip", send: "GET / HTTP/1.1\nHost: shop.local\nTE: gzip\n\n", app: "GET /"},
	{name: "TE with trailers and codings", send: "GET / HTTP/1.1\nHost: shop.local\nTE: trailers, deflate;q=0.5\n\n", app: "GET / | te: trailers"},
	{name: "TE: Trailers", send: "GET / HTTP/1.1\nHost: shop.local\nTE: Trailers\n\n", app: "GET / | te: trailers"},
	{name: "TE twice", send: "GET / HTTP/1.1\nHost: shop.local\nTE: trailers\nTE: trailers\n\n", app: "GET / | te: trailers"},
	{name: "Upgrade of h2c is not offered", send: "GET / HTTP/1.1\nHost: shop.local\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABk\n\n", app: "GET /"},
	{name: "HTTP/1.0", send: "GET / HTTP/1.0\nHost: shop.local\n\n", app: "GET /", ends: true, back: `HTTP/1.0 200 OK | content-length: 2 | length "ok"`},
	{name: "absolute-form", send: "GET http://shop.local/a HTTP/1.1\nHost: other\n\n", app: "GET /a"},
	{name: "OPTIONS *", send: "OPTIONS * HTTP/1.1\nHost: shop.local\n\n", app: "OPTIONS *"},
	{name: "HEAD", send: "HEAD / HTTP/1.1\nHost: shop.local\n\n", reply: "HTTP/1.1 200 OK\nContent-Length: 2\n\n", app: "HEAD /", back: "200 OK | content-length: 2"},
	{name: "a method of its own", send: "BREW /pot HTTP/1.1\nHost: shop.local\n\n", app: "BREW /pot"},
	{name: "a method in lower case", send: "get / HTTP/1.1\nHost: shop.local\n\n", app: "get /"},
	{name: "a head of 12 KiB", send: "GET / HTTP/1.1\nHost: shop.local\nX-A: " + long(12<<10) + "\n\n", app: "GET / | x-a: " + long(12<<10)},
	{name: "a head of 40 KiB", send: "GET / HTTP/1.1\nHost: shop.local\nX-A: " + long(40<<10) + "\n\n", app: "GET / | x-a: " + long(40<<10)},
	{name: "a target of 8 KiB", send: "GET /?" + long(8<<10) + " HTTP/1.1\nHost: shop.local\n\n", app: "GET /?" + long(8<<10)},
	{name: "a hundred fields", send: "GET / HTTP/1.1\nHost: shop.local\n" + hundred + "\n", app: "GET /" + hundredWant},
	{name: "thirty lines to drop", send: "GET / HTTP/1.1\nHost: shop.local\n" + thirty + "X-A: b\n\n", app: "GET / | x-a: b"},
}, methodCases()...)

func long(n int) string { return strings.Repeat("7", n) }

var hundred, hundredWant, thirty = func() (send, want, drop string) {
	for i := range 100 {
		send += fmt.Sprintf("X-N%03d: v%d\n", i, i)
		want += fmt.Sprintf(" | x-n%03d: v%d", i, i)
	}
	for range 30 {
		drop += "Keep-Alive: 1\n"
	}
	return send, want, drop
}()

func methodCases() (out []kase) {
	for _, m := range []string{"DELETE", "OPTIONS", "TRACE", "PROPFIND", "SEARCH", "REPORT", "M-SEARCH", "PURGE"} {
		out = append(out, kase{name: "method " + m, send: m + " /x HTTP/1.1\nHost: shop.local\n\n", app: m + " /x"})
	}
	for _, m := range []string{"POST", "PUT", "PATCH"} {
		out = append(out, kase{name: "method " + m + " without a body", send: m + " /x HTTP/1.1\nHost: shop.local\n\n", app: m + " /x",
			fullApp: m + " /x | content-length: 0", why: "net/http says that there is none where one is usual"})
		out = append(out, kase{name: "method " + m + " with a body of nothing", send: m + " /x HTTP/1.1\nHost: shop.local\nContent-Length: 0\n\n", app: m + " /x | content-length: 0"})
	}
	return out
}

// bodyCases are about requests' bodies.
var bodyCases = []kase{
	{name: "a body by length", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 5\n\nhello", app: `POST / | content-length: 5 | length "hello"`},
	{name: "a body by length with zeros in front", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 005\n\nhello", app: `POST / | content-length: 005 | length "hello"`,
		fullApp: `POST / | content-length: 5 | length "hello"`, why: "the fast path leaves the line as it is: digits say the same"},
	{name: "a body of a GET", send: "GET / HTTP/1.1\nHost: shop.local\nContent-Length: 5\n\nhello", app: `GET / | content-length: 5 | length "hello"`},
	{name: "a body of a DELETE", send: "DELETE / HTTP/1.1\nHost: shop.local\nContent-Length: 2\n\nhi", app: `DELETE / | content-length: 2 | length "hi"`},
	{name: "a body with line ends", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 9\n\na\nb\nc\n", app: `POST / | content-length: 9 | length "a\r\nb\r\nc\r\n"`},
	{name: "a body of 3 MB", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 3000000\n\n" + long(3000000), app: "POST / | content-length: 3000000 | length \"" + long(3000000) + "\""},
	{name: "a body in chunks", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n5\nhello\n6\n world\n0\n\n", app: `POST / | chunks "hello world"`},
	{name: "chunks by another case", send: "POST / HTTP/1.1\nHost: shop.local\ntransfer-encoding: CHUNKED\n\n5\nhello\n0\n\n", app: `POST / | chunks "hello"`},
	{name: "no chunk", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n0\n\n", app: `POST / | chunks ""`},
	{name: "a chunk of 1 MB", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n100000\n" + long(1<<20) + "\n0\n\n", app: `POST / | chunks "` + long(1<<20) + `"`},
	{name: "many chunks", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n" + many("1\na\n", 3000) + "0\n\n", app: `POST / | chunks "` + many("a", 3000) + `"`},
	{name: "zeros before a size", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n0005\nhello\n000\n\n", app: `POST / | chunks "hello"`},
	{name: "sizes in upper case", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\nA\n0123456789\n0\n\n", app: `POST / | chunks "0123456789"`},
	{name: "an extension", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n5;a=b\nhello\n0;c\n\n", app: `POST / | chunks "hello"`},
	{name: "a quoted extension", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n5;a=\"b;c\"\nhello\n0\n\n", app: `POST / | chunks "hello"`},
	{name: "spaces behind a size", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n5  \nhello\n0\n\n", app: `POST / | chunks "hello"`},
	{name: "trailers that are not announced", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Sum: 9\nx-b: c\n\n", app: `POST / | chunks "hello" | x-b: c | x-sum: 9`},
	{name: "trailers that would rewrite the head", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n5\nhello\n0\nHost: evil\nX-Forwarded-For: 1.1.1.1\nX-Sum: 9\n\n", app: `POST / | chunks "hello" | x-sum: 9`},
	{name: "trailers", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\nTrailer: X-Sum\n\n5\nhello\n0\nX-Sum: 9\n\n", app: `POST / | trailer: X-Sum | chunks "hello" | x-sum: 9`},
	{name: "a trailer announced by what is no name", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\nTrailer: X Y, X-Sum\n\n5\nhello\n0\nX-Sum: 9\n\n", app: `POST / | trailer: X Y, X-Sum | chunks "hello" | x-sum: 9`,
		fullApp: `POST / | trailer: X-Sum | chunks "hello" | x-sum: 9`, why: "net/http announces what are names"},
	{name: "100-continue", send: "POST / HTTP/1.1\nHost: shop.local\nExpect: 100-continue\nContent-Length: 5\n\nhello",
		reply: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok" + closes, app: "-",
		fullBack: "*", why: "net/http may ask for the body before the app has answered"},
}

func many(s string, n int) (out string) {
	for range n {
		out += s
	}
	return out
}

// targetCases are targets that must reach the app byte by byte.
var targetCases = func() (out []kase) {
	for _, target := range []string{
		"/a/b/c", "/a//b", "//a", "///", "/./a/../b", "/..", "/a;b=c", "/a,b", "/a=b", "/a@b", "/a:b", "/a!b$c&d'e(f)g*h+i", "/~user", "/%20", "/%2F", "/%2f",
		"/a%2Fb", "/%E4%BD%A0", "/%00", "/%25", "/a?", "/?", "/?a=b&c=d", "/?a=%zz", "/?a;b", "/??", "/?a=/../b", "/?a=[1]", "/?q={x}", "/?a|b", "/?\"a\"", "/?a=b?c",
		"/a.b-c_d", "/index.html", "/?%", "/a%20b?c%20d", "/?a=b%", "/?`^", "/?<>", "/?\\",
	} {
		out = append(out, kase{name: "target " + target, send: "GET " + target + " HTTP/1.1\nHost: shop.local\n\n", app: "GET " + target})
	}
	return out
}()

// forwardCases are what a stranger cannot say.
var forwardCases = []kase{
	{name: "X-Forwarded-For of a stranger", send: "GET / HTTP/1.1\nHost: shop.local\nX-Forwarded-For: 1.2.3.4\n\n", app: "GET /"},
	{name: "X-Forwarded-For of a stranger, twice", send: "GET / HTTP/1.1\nHost: shop.local\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-For: 5.6.7.8\n\n", app: "GET /"},
	{name: "x-forwarded-for in lower case", send: "GET / HTTP/1.1\nHost: shop.local\nx-forwarded-for: 1.2.3.4\n\n", app: "GET /"},
	{name: "X-Forwarded-Proto of a stranger", send: "GET / HTTP/1.1\nHost: shop.local\nX-Forwarded-Proto: https\n\n", app: "GET /"},
	{name: "X-Forwarded-Host of a stranger", send: "GET / HTTP/1.1\nHost: shop.local\nX-Forwarded-Host: evil\n\n", app: "GET /"},
	{name: "X-Forwarded-Port of a stranger", send: "GET / HTTP/1.1\nHost: shop.local\nX-Forwarded-Port: 1\n\n", app: "GET /"},
	{name: "X-Forwarded-Anything of a stranger", send: "GET / HTTP/1.1\nHost: shop.local\nX-Forwarded-Prefix: /a\nX-Forwarded-Ssl: on\n\n", app: "GET /"},
	{name: "Forwarded of a stranger", send: "GET / HTTP/1.1\nHost: shop.local\nForwarded: for=1.2.3.4\n\n", app: "GET /"},
	{name: "X-Real-Ip of a stranger", send: "GET / HTTP/1.1\nHost: shop.local\nX-Real-IP: 1.2.3.4\n\n", app: "GET /"},
	{name: "a harmless X-Request-Id", send: "GET / HTTP/1.1\nHost: shop.local\nX-Request-Id: abc-1\n\n", app: "GET / | x-request-id: abc-1"},
	{name: "a harmful X-Request-Id", send: "GET / HTTP/1.1\nHost: shop.local\nX-Request-Id: <a>\n\n", app: "GET /"},
	{name: "a long X-Request-Id", send: "GET / HTTP/1.1\nHost: shop.local\nX-Request-Id: " + long(129) + "\n\n", app: "GET /"},
	{name: "two X-Request-Ids", send: "GET / HTTP/1.1\nHost: shop.local\nX-Request-Id: a\nX-Request-Id: b\n\n", app: "GET / | x-request-id: a"},
}

const badRequest = `400 Bad Request | content-length: 13 | content-type: text/plain; charset=utf-8 | length "bad request.\n"`

// refused is a case that gets through to nobody.
func refused(name, send, full, why string) kase {
	return kase{name: name, send: send, app: "-", back: badRequest, ends: true, fullBack: full, why: why}
}

const (
	terse     = "400 Bad Request…"
	sameThing = "net/http words it otherwise"
)

// refusedCases are heads and bodies that servers could read in two ways. Where
// the full path serves one, it is alone with the app: it writes the message anew.
var refusedCases = []kase{
	refused("no host", "GET / HTTP/1.1\n\n", terse, sameThing),
	refused("two hosts", "GET / HTTP/1.1\nHost: shop.local\nHost: shop.local\n\n", terse, sameThing),
	refused("a space before the colon", "GET / HTTP/1.1\nHost: shop.local\nX-A : b\n\n", terse, sameThing),
	refused("no name", "GET / HTTP/1.1\nHost: shop.local\n: b\n\n", terse, sameThing),
	refused("no colon", "GET / HTTP/1.1\nHost: shop.local\nabc\n\n", terse, sameThing),
	refused("NUL in a value", "GET / HTTP/1.1\nHost: shop.local\nX-A: a\x00b\n\n", terse, sameThing),
	refused("a control byte in a value", "GET / HTTP/1.1\nHost: shop.local\nX-A: a\x01b\n\n", terse, sameThing),
	refused("a bracket in a name", "GET / HTTP/1.1\nHost: shop.local\nX(A): b\n\n", terse, sameThing),
	refused("a negative length", "POST / HTTP/1.1\nHost: shop.local\nContent-Length: -1\n\n", terse, sameThing),
	refused("a signed length", "POST / HTTP/1.1\nHost: shop.local\nContent-Length: +1\n\na", terse, sameThing),
	refused("a length in hexadecimal", "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 0x1\n\na", terse, sameThing),
	refused("a length that is no number", "POST / HTTP/1.1\nHost: shop.local\nContent-Length: a\n\na", terse, sameThing),
	refused("a list of lengths", "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 1, 1\n\na", terse, sameThing),
	refused("two lengths", "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 1\nContent-Length: 2\n\nab", terse, sameThing),
	refused("an endless length", "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 99999999999999999999\n\na", terse, sameThing),
	refused("two codings", "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n", "501 Not Implemented…", sameThing),
	{name: "an unknown coding", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: gzip\n\n", app: "-", ends: true,
		back:     `501 Not Implemented | content-length: 13 | content-type: text/plain; charset=utf-8 | length "bad request.\n"`,
		fullBack: "501 Not Implemented…", why: sameThing},
	{name: "codings in a list", send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: gzip, chunked\n\n0\n\n", app: "-", ends: true,
		back:     `501 Not Implemented | content-length: 13 | content-type: text/plain; charset=utf-8 | length "bad request.\n"`,
		fullBack: "501 Not Implemented…", why: sameThing},
	{name: "the same length twice", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 1\nContent-Length: 1\n\na", app: "-", back: badRequest, ends: true,
		fullApp: `POST / | content-length: 1 | length "a"`, fullBack: plainBack, fullEnds: &no, why: "net/http takes it, and sends one length"},
	{name: "a length and a coding", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 1\nTransfer-Encoding: chunked\n\n0\n\n", app: "-", back: badRequest, ends: true,
		fullApp: `POST / | chunks ""`, fullBack: plainBack, fullEnds: &no, why: "net/http takes the coding, and sends no length"},
	refusedOrServed("a bare LF in the request line", "GET / HTTP/1.1¶Host: shop.local\n\n", "GET /"),
	refusedOrServed("a bare LF behind a field", "GET / HTTP/1.1\nHost: shop.local\nX-A: b¶X-C: d\n\n", "GET / | x-a: b | x-c: d"),
	refusedOrServed("a blank line of a bare LF", "GET / HTTP/1.1\nHost: shop.local\n¶", "GET /"),
	refusedOrServed("a folded line", "GET / HTTP/1.1\nHost: shop.local\nX-A: b\n c\n\n", "GET / | x-a: b c"),
	refusedOrServed("a length hidden by a fold", "GET / HTTP/1.1\nHost: shop.local\nX-A: b\n Content-Length: 5\n\n", "GET / | x-a: b Content-Length: 5"),
	refused("a bare CR in a value", "GET / HTTP/1.1\nHost: shop.local\nX-A: b\rX-C: d\n\n", terse, sameThing),
	refused("a coding behind a vertical tab", "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: \x0bchunked\n\n0\n\n", terse, sameThing),
	{name: "CONNECT", send: "CONNECT shop.local:443 HTTP/1.1\nHost: shop.local:443\n\n", app: "-", back: "405 Method Not Allowed…"},
	{name: "nobody's host", send: "GET / HTTP/1.1\nHost: nobody.local\n\n", app: "-", back: "404 Not Found…"},
	{name: "an empty host", send: "GET / HTTP/1.1\nHost:\n\n", app: "-", back: "404 Not Found…"},
	{name: "an app in maintenance", send: "GET / HTTP/1.1\nHost: closed.local\n\n", app: "-", back: "503 Service Unavailable…"},
	{name: "an app without instances", send: "GET / HTTP/1.1\nHost: empty.local\n\n", app: "-", back: "503 Service Unavailable…"},
	{name: "a head of 80 KiB", send: "GET / HTTP/1.1\nHost: shop.local\nX-A: " + long(80<<10) + "\n\n", app: "-", back: "431 Request Header Fields Too Large…", ends: true},
	{name: "a version to come", send: "GET / HTTP/3.1\nHost: shop.local\n\n", app: "-", back: "505 HTTP Version Not Supported…", ends: true},
	{name: "another expectation", send: "GET / HTTP/1.1\nHost: shop.local\nExpect: miracles\n\n", app: "-", back: "417 Expectation Failed…", ends: true},
	{name: "TLS on the clear port", send: "\x16\x03\x01\x00\x05hello\n\n", app: "-", back: "400 Bad Request…", ends: true},
	{name: "a bad escape in the path", send: "GET /%zz HTTP/1.1\nHost: shop.local\n\n", app: "-", back: "400 Bad Request…", ends: true},
	{name: "a space in the target", send: "GET /a b HTTP/1.1\nHost: shop.local\n\n", app: "-", back: "400 Bad Request…", ends: true},
	badChunk("no size", "hello\n0\n\n"),
	badChunk("a sign before a size", "+5\nhello\n0\n\n"),
	badChunk("0x before a size", "0x5\nhello\n0\n\n"),
	badChunk("a size of 17 digits", "00000000000000005\nhello\n0\n\n"),
	badChunk("data longer than its size", "5\nhelloo\n0\n\n"),
	badChunk("a bare LF behind a size", "5¶hello\n0\n\n"),
	badChunk("a bare LF in an extension", "5;a¶hello\n0\n\n"),
	badChunk("a bare LF behind the data", "5\nhello¶0\n\n"),
	badChunk("a negative size", "-5\nhello\n0\n\n"),
}

// refusedOrServed is what the fast path refuses, and net/http reads leniently.
func refusedOrServed(name, send, app string) kase {
	return kase{name: name, send: send, app: "-", back: badRequest, ends: true, fullApp: app, fullBack: plainBack, fullEnds: &no,
		why: "net/http is lenient, and writes the head anew: its app sees one reading"}
}

// badChunk is a request that the app began to get, or not: it must not have got
// a whole one.
func badChunk(name, body string) kase {
	return kase{name: "chunks: " + name, send: "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n" + body, app: "-", ends: true,
		back: badRequest, fullBack: "*", why: "the full path has begun the request when it sees the chunk"}
}

// response is a case about what the app answers.
func response(name, reply, back string) kase {
	return kase{name: "response: " + name, reply: reply, app: "GET /", back: back}
}

const broken = "502 Bad Gateway…"

// responseCases are about what the client gets of the app's answer.
var responseCases = append([]kase{
	response("a length", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", `200 OK | content-length: 5 | length "hello"`),
	response("nothing", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "200 OK | content-length: 0"),
	response("chunks", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", `200 OK | chunks "hello"`),
	response("chunks with extensions", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5;a=b\nhello\n0\n\n", `200 OK | chunks "hello"`),
	response("chunks with padding", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5   \nhello\n0\n\n", `200 OK | chunks "hello"`),
	response("chunks with trailers", "HTTP/1.1 200 OK\nTrailer: X-Sum\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Sum: 9\n\n", `200 OK | trailer: X-Sum | chunks "hello" | x-sum: 9`),
	response("until the connection closes", "HTTP/1.1 200 OK\n\nhello"+closes, `200 OK | chunks "hello"`),
	{name: "response: nothing until the connection closes", reply: "HTTP/1.1 200 OK\n\n" + closes, back: `200 OK | chunks ""`, app: "GET /",
		fullBack: "200 OK | c…", why: "net/http says the length if the app is gone before the head was sent"},
	response("a large one until the connection closes", "HTTP/1.1 200 OK\n\n"+long(300000)+closes, `200 OK | chunks "`+long(300000)+`"`),
	response("HTTP/1.0", "HTTP/1.0 200 OK\nContent-Length: 5\n\nhello"+closes, `200 OK | content-length: 5 | length "hello"`),
	response("HTTP/1.0 without a length", "HTTP/1.0 200 OK\n\nhello"+closes, `200 OK | chunks "hello"`),
	response("Connection: close", "HTTP/1.1 200 OK\nConnection: close\nContent-Length: 5\n\nhello"+closes, `200 OK | content-length: 5 | length "hello"`),
	response("a length and chunks", "HTTP/1.1 200 OK\nContent-Length: 99\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", `200 OK | chunks "hello"`),
	response("the same length twice", "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5\n\nhello", `200 OK | content-length: 5 | length "hello"`),
	response("hop-by-hop fields", "HTTP/1.1 200 OK\nConnection: X-B\nX-B: 1\nKeep-Alive: 5\nX-C: 2\nProxy-Connection: x\nContent-Length: 0\n\n", "200 OK | content-length: 0 | x-c: 2"),
	response("repeated fields", "HTTP/1.1 200 OK\nSet-Cookie: a=b\nSet-Cookie: c=d\nContent-Length: 0\n\n", "200 OK | content-length: 0 | set-cookie: a=b | set-cookie: c=d"),
	response("no content type", "HTTP/1.1 200 OK\nContent-Length: 6\n\n<html>", `200 OK | content-length: 6 | length "<html>"`),
	response("an encoding", "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 3\n\n\x1f\x8b\x08", `200 OK | content-encoding: gzip | content-length: 3 | length "\x1f\x8b\b"`),
	response("204", "HTTP/1.1 204 No Content\n\n", "204 No Content"),
	response("304", "HTTP/1.1 304 Not Modified\nETag: \"a\"\n\n", `304 Not Modified | etag: "a"`),
	response("a status of its own", "HTTP/1.1 299 OK\nContent-Length: 0\n\n", "299…"),
	response("500 of the app", "HTTP/1.1 500 Internal Server Error\nContent-Length: 4\n\noops", `500 Internal Server Error | content-length: 4 | length "oops"`),
	response("502 of the app", "HTTP/1.1 502 Bad Gateway\nContent-Length: 4\n\noops", `502 Bad Gateway | content-length: 4 | length "oops"`),
	response("a redirect", "HTTP/1.1 302 Found\nLocation: http://shop.local/x\nContent-Length: 0\n\n", "302 Found | content-length: 0 | location: http://shop.local/x"),
	response("103", "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", `103 Early Hints | link: </a> & `+plainBack),
	response("103 twice", "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 103 Early Hints\nLink: </b>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", `103 Early Hints | link: </a> & 103 Early Hints | link: </b> & `+plainBack),
	response("a head of 40 KiB", "HTTP/1.1 200 OK\nX-A: "+long(40<<10)+"\nContent-Length: 0\n\n", "200 OK | content-length: 0 | x-a: "+long(40<<10)),
	response("3 MB", "HTTP/1.1 200 OK\nContent-Length: 3000000\n\n"+long(3000000), `200 OK | content-length: 3000000 | length "`+long(3000000)+`"`),
	{name: "response: a folded line", reply: "HTTP/1.1 200 OK\nX-A: b\n c\nContent-Length: 0\n\n", app: "GET /", back: "200 OK | content-length: 0 | x-a: b   c",
		fullBack: "200 OK | content-length: 0 | x-a: b c", why: "RFC 9112 5.2 allows any number of spaces for a fold"},
	response("bare line ends", "HTTP/1.1 200 OK¶X-A: b¶Content-Length: 2¶¶ok", `200 OK | content-length: 2 | x-a: b | length "ok"`),
	response("more than it said", "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 4\n\nevil", plainBack),
	response("a body of a 204", "HTTP/1.1 204 No Content\nContent-Length: 0\n\nevil", "204 No Content…"),
}, headCases...)

var headCases = []kase{
	{name: "HEAD with a length", send: "HEAD / HTTP/1.1\nHost: shop.local\n\n", app: "HEAD /", reply: "HTTP/1.1 200 OK\nContent-Length: 1000000\n\n", back: "200 OK | content-length: 1000000"},
	{name: "HEAD in chunks", send: "HEAD / HTTP/1.1\nHost: shop.local\n\n", app: "HEAD /", reply: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", back: "200 OK"},
	{name: "HEAD of a 404", send: "HEAD / HTTP/1.1\nHost: shop.local\n\n", app: "HEAD /", reply: "HTTP/1.1 404 Not Found\nContent-Length: 9\n\n", back: "404 Not Found | content-length: 9"},
	{name: "an early answer", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 4000000\nX-Early: 1\n\n" + long(4000000), app: "*", back: "413…", may: true,
		reply: "HTTP/1.1 413 Payload Too Large\nContent-Length: 0\n\n"},
	{name: "100 and then a final answer", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 2\n\nhi", app: `POST / | content-length: 2 | length "hi"`,
		reply: "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", back: "100 Continue & " + plainBack},
}

// fails is a case whose answer cannot be used.
func fails(name, reply string) kase {
	return kase{name: "response: " + name, reply: reply, app: "*", back: broken}
}

// cutOff is a case whose answer breaks off.
func cutOff(name, reply, back string) kase {
	return kase{name: "response: " + name, reply: reply, app: "*", back: back, ends: true}
}

// brokenCases are about apps that fail.
var brokenCases = []kase{
	fails("nothing but the end", closes),
	fails("nothing but a reset", resets),
	fails("another protocol", "SSH-2.0-OpenSSH_9.2\n"+closes),
	fails("half a status line", "HTTP/1.1 20"+closes),
	fails("half a head", "HTTP/1.1 200 OK\nContent-Le"+closes),
	fails("no status", "HTTP/1.1 abc OK\n\n"+closes),
	fails("two lengths", "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nab"+closes),
	fails("a length that is no number", "HTTP/1.1 200 OK\nContent-Length: x\n\nab"+closes),
	fails("an unknown coding", "HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\nab"+closes),
	fails("a field without a colon", "HTTP/1.1 200 OK\nabc\n\nab"+closes),
	fails("101 nobody asked for", "HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: Upgrade\n\n"+closes),
	fails("an endless head", "HTTP/1.1 200 OK\nX-A: "+long(400<<10)+"\n\n"+closes),
	cutOff("a body that is too short", "HTTP/1.1 200 OK\nContent-Length: 9\n\nhello"+closes, "*"),
	cutOff("a body that is reset", "HTTP/1.1 200 OK\nContent-Length: 9\n\nhello"+resets, "*"),
	cutOff("chunks without an end", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n"+closes, "*"),
	cutOff("a chunk that is too short", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n9\nhello"+closes, "*"),
	cutOff("a bad chunk", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nx\nhello"+closes, "*"),
}
