package conformance

// hostCases are names of hosts as clients write them.
var hostCases = []kase{
	served("a host with a dot and a port", "GET /a HTTP/1.1\nHost: SHOP.LOCAL.:80\n\n", "GET /a | host: SHOP.LOCAL.:80 | x-forwarded-host: SHOP.LOCAL.:80"),
	served("a host with a colon and no port", "GET /a HTTP/1.1\nHost: shop.local:\n\n", "GET /a | host: shop.local: | x-forwarded-host: shop.local:"),
	nobody("a host that is an IPv6 address", "[::1]"),
	nobody("a host that is an IPv6 address, with a port", "[::1]:80"),
	nobody("a host with a port that is no number", "shop.local:abc"),
	nobody("a host with two dots", "shop.local.."),
	nobody("a host with an escape", "sh%6fp.local"),
	nobody("a host with an underscore", "shop_local"),
	malformed("a host with a user", "user@shop.local"),
	malformed("a host with a path", "shop.local/evil"),
	malformed("a list of hosts", "shop.local, other"),
	malformed("a host with a blank", "shop .local"),
	malformed("a host with a query", "shop.local?x"),
	malformed("a host in quotes", `"shop.local"`),
	malformed("a host with a backslash", `shop.local\`),
	malformed("a URI as the host", "http://shop.local"),
}

// served is a request that the app gets, and answers plainly.
func served(name, send, app string) kase { return kase{name: name, send: send, app: app} }

// nobody is a name that might be somebody's, but is not.
func nobody(name, host string) kase {
	return kase{name: name, send: "GET /a HTTP/1.1\nHost: " + host + "\n\n", app: "-", back: "404 Not Found…"}
}

func malformed(name, host string) kase {
	return kase{name: name, send: "GET /a HTTP/1.1\nHost: " + host + "\n\n", app: "-", back: terse, ends: true}
}

// noTarget is a request for nothing that is served: the request's end is known,
// so its connection goes on.
func noTarget(name, line string) kase {
	return kase{name: name, send: line + "\nHost: shop.local\n\n", app: "-", back: terse}
}

// formCases are the forms of a target and of the request line.
var formCases = []kase{
	served("absolute-form with a port", "GET http://shop.local:8080/a HTTP/1.1\nHost: shop.local\n\n", "GET /a | host: shop.local:8080 | x-forwarded-host: shop.local:8080"),
	served("absolute-form in upper case", "GET HTTP://SHOP.local/a HTTP/1.1\nHost: shop.local\n\n", "GET /a | host: SHOP.local | x-forwarded-host: SHOP.local"),
	served("absolute-form of HTTPS", "GET https://shop.local/a HTTP/1.1\nHost: shop.local\n\n", "GET /a"),
	served("absolute-form without a path", "GET http://shop.local HTTP/1.1\nHost: shop.local\n\n", "GET /"),
	served("absolute-form with a query alone", "GET http://shop.local?a=b HTTP/1.1\nHost: shop.local\n\n", "GET /?a=b"),
	served("absolute-form with an empty host beside it", "GET http://shop.local/a HTTP/1.1\nHost:\n\n", "GET /a"),
	served("absolute-form byte by byte", "GET http://shop.local/a%2Fb;c|d//./?e=%zz HTTP/1.1\nHost: shop.local\n\n", "GET /a%2Fb;c|d//./?e=%zz"),
	served("absolute-form with two slashes", "GET http://shop.local//a HTTP/1.1\nHost: shop.local\n\n", "GET //a"),
	served("OPTIONS of a server in absolute-form", "OPTIONS http://shop.local HTTP/1.1\nHost: shop.local\n\n", "OPTIONS *"),
	served("OPTIONS in absolute-form with a path", "OPTIONS http://shop.local/ HTTP/1.1\nHost: shop.local\n\n", "OPTIONS /"),
	served("OPTIONS * with a body", "OPTIONS * HTTP/1.1\nHost: shop.local\nContent-Length: 2\n\nhi", `OPTIONS * | content-length: 2 | length "hi"`),
	{name: "absolute-form of nobody", send: "GET http://nobody.local/a HTTP/1.1\nHost: shop.local\n\n", app: "-", back: "404 Not Found…"},
	refused("absolute-form without a host field", "GET http://shop.local/a HTTP/1.1\n\n", terse, sameThing),
	noTarget("absolute-form with a user", "GET http://user:pw@shop.local/a HTTP/1.1"),
	noTarget("absolute-form of another scheme", "GET ftp://shop.local/a HTTP/1.1"),
	noTarget("authority-form of a GET", "GET shop.local:80 HTTP/1.1"),
	noTarget("* of a GET", "GET * HTTP/1.1"),
	{name: "a target without a slash", send: "GET a HTTP/1.1\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	{name: "a query alone", send: "GET ?a HTTP/1.1\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	{name: "a control byte in a target", send: "GET /a\x01 HTTP/1.1\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	{name: "DEL in a target", send: "GET /a\x7f HTTP/1.1\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	{name: "half an escape", send: "GET /a%2 HTTP/1.1\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	served("target with a fragment", "GET /a#b HTTP/1.1\nHost: shop.local\n\n", "GET /a#b"),
	served("target with bytes above ASCII", "GET /\xc3\xa4?\xc3\xa4 HTTP/1.1\nHost: shop.local\n\n", "GET /\xc3\xa4?\xc3\xa4"),
	served("target with bytes that URIs have not", "GET /{a}|\\\"b\"^`<> HTTP/1.1\nHost: shop.local\n\n", "GET /{a}|\\\"b\"^`<>"),
	{name: "target with two slashes and bytes that URIs have not", send: "GET //a|b HTTP/1.1\nHost: shop.local\n\n", app: "GET //a%7Cb"},
	{name: "a version in lower case", send: "GET / http/1.1\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	{name: "a version of two digits", send: "GET / HTTP/1.10\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	{name: "no version", send: "GET /\n\n", app: "-", back: terse, ends: true},
	{name: "tabs in the request line", send: "GET\t/\tHTTP/1.1\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	{name: "a bracket in a method", send: "G(T / HTTP/1.1\nHost: shop.local\n\n", app: "-", back: terse, ends: true},
	{name: "HTTP/2.0 without its preface", send: "GET / HTTP/2.0\nHost: shop.local\n\n", app: "-", back: "505 HTTP…", ends: true},
	served("HTTP/1.2 is HTTP/1.1", "GET / HTTP/1.2\nHost: shop.local\n\n", "GET /"),
}

// oldCases are about clients that speak HTTP/1.0.
var oldCases = []kase{
	{name: "HTTP/1.0 that stays", send: "GET / HTTP/1.0\nHost: shop.local\nConnection: keep-alive\n\n", app: "GET /", back: `HTTP/1.0 200 OK | connection: keep-alive | content-length: 2 | length "ok"`},
	{name: "HTTP/1.0 with a body", send: "POST / HTTP/1.0\nHost: shop.local\nContent-Length: 2\n\nhi", app: `POST / | content-length: 2 | length "hi"`, back: `HTTP/1.0 200 OK | content-length: 2 | length "ok"`, ends: true},
	{name: "HTTP/1.0 without a host", send: "GET / HTTP/1.0\n\n", app: "-", back: "HTTP/1.0 404 Not Found…", ends: true},
	{name: "HTTP/1.0 is sent no chunks", send: "GET / HTTP/1.0\nHost: shop.local\nConnection: keep-alive\n\n", reply: "HTTP/1.1 200 OK\nTrailer: X-S\nTransfer-Encoding: chunked\n\n2\nok\n0\nX-S: 1\n\n",
		app: "GET /", back: `HTTP/1.0 200 OK | trailer: X-S | close "ok"`, ends: true},
	{name: "HTTP/1.0 is sent no interim answer", send: "GET / HTTP/1.0\nHost: shop.local\n\n", reply: "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		app: "GET /", back: `HTTP/1.0 200 OK | content-length: 2 | length "ok"`, ends: true},
}

// hopCases are fields of this hop, and what passes for fields of the router.
var hopCases = []kase{
	field("Connection names X-Forwarded-For", "Connection: X-Forwarded-For", "GET /a"),
	field("Connection names Host", "Connection: Host", "GET /a"),
	field("Connection names what the router adds", "Connection: X-Real-Ip, X-Request-Id, X-Forwarded-Host, X-Forwarded-Proto", "GET /a"),
	field("an empty Connection", "Connection:", "GET /a"),
	field("Connection: Upgrade without Upgrade", "Connection: Upgrade", "GET /a"),
	field("Upgrade without Connection", "Upgrade: websocket", "GET /a"),
	field("Upgrade that the app does not take up", "Connection: Upgrade\nUpgrade: foo/1", "GET /a | connection: Upgrade | upgrade: foo/1"),
	field("Upgrade of h2c beside another is not offered", "Connection: Upgrade\nUpgrade: h2c, websocket", "GET /a"),
	field("an empty TE", "TE:", "GET /a"),
	field("Via goes on", "Via: 1.1 x", "GET /a | via: 1.1 x"),
	field("Cookies on two lines stay apart", "Cookie: a=b\nCookie: c=d", "GET /a | cookie: a=b | cookie: c=d"),
	field("names that pass for ours", "X_Forwarded_For: 1.2.3.4\nX-Forwarded_Proto: https\nx_forwarded-host: evil\nX-Real_IP: 1.2.3.4\nX_Request_Id: a\nX_A: b", "GET /a | x_a: b"),
	{name: "Connection: close before keep-alive", send: "GET /a HTTP/1.1\nHost: shop.local\nConnection: close\nConnection: keep-alive\n\n", app: "GET /a", ends: true},
	{name: "Connection: keep-alive before close", send: "GET /a HTTP/1.1\nHost: shop.local\nConnection: keep-alive\nConnection: ,, close\n\n", app: "GET /a", ends: true},
	{name: "Upgrade and a body that the app does not take up", send: "POST /a HTTP/1.1\nHost: shop.local\nConnection: Upgrade\nUpgrade: foo\nContent-Length: 2\n\nhi", app: `POST /a | connection: Upgrade | content-length: 2 | upgrade: foo | length "hi"`},
	{name: "Upgrade and chunks that the app does not take up", send: "POST /a HTTP/1.1\nHost: shop.local\nConnection: Upgrade\nUpgrade: foo\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n", app: `POST /a | connection: Upgrade | upgrade: foo | chunks "hi"`},
	refused("DEL in a value", "GET / HTTP/1.1\nHost: shop.local\nX-A: \x7f\n\n", terse, sameThing),
	refused("a byte above ASCII in a name", "GET / HTTP/1.1\nHost: shop.local\nX-\xe4: b\n\n", terse, sameThing),
	refused("a CR more behind a value", "GET / HTTP/1.1\nHost: shop.local\nX-A: b \r\n\n", terse, sameThing),
	refused("an underscore in a length", "POST / HTTP/1.1\nHost: shop.local\nContent-Length: 1_0\n\n0123456789", terse, sameThing),
	refused("what comes behind a refused request", "GET /a HTTP/1.1\nHost: shop.local\nX-A : b\n\nGET /evil HTTP/1.1\nHost: shop.local\n\n", terse, sameThing),
	{name: "what comes behind a body of nothing is a request", send: "POST /a HTTP/1.1\nHost: shop.local\nContent-Length: 0\n\nhi there\n\n", app: "POST /a | content-length: 0", ends: true},
	{name: "a length between blanks", send: "POST / HTTP/1.1\nHost: shop.local\nContent-Length: \t 2 \t\n\nhi", app: `POST / | content-length: 2 | length "hi"`},
	{name: "chunks of a GET", send: "GET / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n", app: `GET / | chunks "hi"`},
	{name: "a body of a HEAD", send: "HEAD / HTTP/1.1\nHost: shop.local\nContent-Length: 2\n\nhi", reply: "HTTP/1.1 200 OK\nContent-Length: 2\n\n", app: `HEAD / | content-length: 2 | length "hi"`, back: "200 OK | content-length: 2"},
	{name: "a quoted extension with escapes", send: chunked + "5;a=\"\\\"\\;\"\nhello\n0\n\n", app: `POST / | chunks "hello"`},
	{name: "trailers that authenticate", send: chunked + "5\nhello\n0\nSet-Cookie: a\nAuthorization: x\nX-Real-Ip: 1\n\n", app: `POST / | chunks "hello"`},
	badChunk("2 GiB", "80000000\n"),
	badChunk("an extension of 5 KiB", "5;"+long(5000)+"\nhello\n0\n\n"),
	badChunk("blanks before an extension", "5 ; a = b\nhello\n0\n\n"),
	badChunk("a trailer without a name", "5\nhello\n0\n: a\n\n"),
	badChunk("a trailer that ends in a bare LF", "5\nhello\n0\nX-T: a¶\n"),
	badChunk("a trailer of 20 KB", "5\nhello\n0\nX-T: "+long(20000)+"\n\n"),
	badChunk("NUL in a trailer", "5\nhello\n0\nX-T: a\x00\n\n"),
}

const chunked = "POST / HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n"

func field(name, lines, app string) kase {
	return served(name, "GET /a HTTP/1.1\nHost: shop.local\n"+lines+"\n\n", app)
}

// bodilessCases are answers that have no body, or should not.
var bodilessCases = []kase{
	{name: "response: 304 with a length", reply: "HTTP/1.1 304 Not Modified\nContent-Length: 1000\nContent-Type: text/x\nETag: \"a\"\n\n", app: "GET /", back: `304 Not Modified | content-length: 1000 | content-type: text/x | etag: "a"`,
		fullBack: `304 Not Modified | etag: "a"`, why: "net/http leaves out what a 304 need not say (RFC 9110 15.4.5)"},
	{name: "response: 304 with a body", reply: "HTTP/1.1 304 Not Modified\nContent-Length: 4\n\nevil", app: "GET /", back: "304 Not Modified | content-length: 4",
		fullBack: "304 Not Modified", why: "net/http leaves out what a 304 need not say (RFC 9110 15.4.5)"},
	response("304 in chunks", "HTTP/1.1 304 Not Modified\nTransfer-Encoding: chunked\n\n0\n\n", "304 Not Modified"),
	response("204 with a length", "HTTP/1.1 204 No Content\nContent-Length: 5\n\n", "204 No Content"),
	response("204 in chunks", "HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n0\n\n", "204 No Content"),
	response("205", "HTTP/1.1 205 Reset Content\nContent-Length: 0\n\n", "205 Reset Content | content-length: 0"),
	response("102", "HTTP/1.1 102 Processing\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", "102 Processing & "+plainBack),
	response("100 nobody asked for", "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", "100 Continue & "+plainBack),
	response("103 with a length", "HTTP/1.1 103 Early Hints\nContent-Length: 5\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", "103 Early Hints | link: </a> & "+plainBack),
	response("103 in chunks that closes", "HTTP/1.1 103 Early Hints\nTransfer-Encoding: chunked\nLink: </a>\nConnection: close\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", "103 Early Hints | link: </a> & "+plainBack),
	response("103 a thousand times", many("HTTP/1.1 103 Early Hints\n\n", 1000)+"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", many("103 Early Hints & ", 1000)+plainBack),
	response("103 and the end", "HTTP/1.1 103 Early Hints\nLink: </a>\n\n"+closes, "103 Early Hints | link: </a> & "+broken),
	{name: "HEAD answered with a body", send: "HEAD / HTTP/1.1\nHost: shop.local\n\n", app: "HEAD /", reply: "HTTP/1.1 200 OK\nContent-Length: 4\n\nevil", back: "200 OK | content-length: 4"},
	{name: "HEAD answered without a length", send: "HEAD / HTTP/1.1\nHost: shop.local\n\n", app: "HEAD /", reply: "HTTP/1.1 200 OK\n\n", back: "200 OK"},
}

// answerCases are heads and bodies of answers that are unusual.
var answerCases = []kase{
	response("more than the last chunk", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\nHTTP/1.1 200 OK\nContent-Length: 4\n\nevil", `200 OK | chunks "ok"`),
	response("trailers that would rewrite the head", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nContent-Length: 5\nSet-Cookie: a=b\nTransfer-Encoding: x\nX-S: 1\n\n", `200 OK | chunks "ok" | x-s: 1`),
	response("trailers that are not announced", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nX-S: 1\n\n", `200 OK | chunks "ok" | x-s: 1`),
	response("chunks and the end of the connection", "HTTP/1.1 200 OK\nConnection: close\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n"+closes, `200 OK | chunks "ok"`),
	response("a length that begins with 0", "HTTP/1.1 200 OK\nContent-Length: 02\n\nok", `200 OK | content-length: 02 | length "ok"`),
	response("HTTP/1.2", "HTTP/1.2 200 OK\nContent-Length: 2\n\nok", plainBack),
	response("a status past 599", "HTTP/1.1 600 OK\nContent-Length: 2\n\nok", "600 …"),
	response("no reason", "HTTP/1.1 200\nContent-Length: 2\n\nok", "200 …"),
	response("a reason above ASCII", "HTTP/1.1 200 \xe4\xbd\xa0\nContent-Length: 2\n\nok", "200 …"),
	response("fields of the server's", "HTTP/1.1 200 OK\nX-Powered-By: x\nVia: 1.1 y\nContent-Length: 2\n\nok", `200 OK | content-length: 2 | via: 1.1 y | x-powered-by: x | length "ok"`),
	{name: "response: chunks of HTTP/1.0", reply: "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n" + closes, app: "GET /", back: `200 OK | chunks "ok"`,
		fullBack: `200 OK | chunks "2\r\nok\r\n0\r\n\r\n"`, why: "net/http knows no codings in HTTP/1.0, and RFC 9112 6.1 no chunks there"},
	{name: "response: thirty lines to drop", reply: "HTTP/1.1 200 OK\n" + many("Keep-Alive: 5\n", 30) + "Content-Length: 2\n\nok", app: "GET /", back: broken,
		fullBack: plainBack, why: "the fast path keeps note of two dozen, more than any app says"},
	fails("a head of 100 KiB", "HTTP/1.1 200 OK\nX-A: "+long(100<<10)+"\nContent-Length: 2\n\nok"+closes),
	fails("a status below 100", "HTTP/1.1 099 OK\nContent-Length: 2\n\nok"+closes),
	fails("a status of four digits", "HTTP/1.1 1000 OK\nContent-Length: 2\n\nok"+closes),
	fails("no space behind the status", "HTTP/1.1 200OK\nContent-Length: 2\n\nok"+closes),
	fails("a blank line in front", "\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
	fails("a folded first line", "HTTP/1.1 200 OK\n X-A: b\nContent-Length: 2\n\nok"),
	fails("no name", "HTTP/1.1 200 OK\n: b\nContent-Length: 2\n\nok"),
	fails("a bare CR in a value", "HTTP/1.1 200 OK\nX-A: b\rc\nContent-Length: 2\n\nok"),
	fails("NUL in a value", "HTTP/1.1 200 OK\nX-A: b\x00c\nContent-Length: 2\n\nok"),
	fails("a control byte in a value", "HTTP/1.1 200 OK\nX-A: b\x01c\nContent-Length: 2\n\nok"),
	fails("a bracket in a name", "HTTP/1.1 200 OK\nX(A): b\nContent-Length: 2\n\nok"),
	fails("two codings", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n"),
	fails("codings in a list", "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n2\nok\n0\n\n"),
	fails("a signed length", "HTTP/1.1 200 OK\nContent-Length: +2\n\nok"+closes),
	fails("a negative length", "HTTP/1.1 200 OK\nContent-Length: -1\n\nok"+closes),
	fails("a list of lengths", "HTTP/1.1 200 OK\nContent-Length: 2, 2\n\nok"+closes),
	fails("an empty length", "HTTP/1.1 200 OK\nContent-Length:\n\nok"+closes),
	fails("an endless length", "HTTP/1.1 200 OK\nContent-Length: 99999999999999999999\n\nok"+closes),
	cutOff("an answer until a reset", "HTTP/1.1 200 OK\n\nhello"+resets, "*"),
	cutOff("a chunk that is too long", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nokk\n0\n\n", "*"),
	cutOff("half a chunk's size", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0"+closes, "*"),
	cutOff("a bad trailer", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n: a\n\n", "*"),
}
