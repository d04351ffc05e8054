package conformance

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/test/testenv"
)

// trick is what a smuggler sends on one connection; behind it comes GET /after.
// In send a line break stands for CRLF, and ¶ for a bare LF. GET /evil stands
// where only a server that mistakes the message's end finds a request.
type trick struct {
	name  string
	send  string
	never bool // the message, to /never, has no end: nobody answers
}

func tricks() []trick {
	const post = "POST /t HTTP/1.1\nHost: shop.local\n"
	const never = "POST /never HTTP/1.1\nHost: shop.local\n"
	const evil = "GET /evil HTTP/1.1\nHost: shop.local\n\n"
	size := func(n int) string { return fmt.Sprintf("Content-Length: %d\n", n) }
	all := []trick{
		{name: "CL.TE", send: post + size(6) + "Transfer-Encoding: chunked\n\n0\n\n" + evil},
		{name: "CL.TE with the request in the length", send: post + size(5+len(crlf(evil))) + "Transfer-Encoding: chunked\n\n0\n\n" + evil},
		{name: "TE.CL", send: post + "Transfer-Encoding: chunked\n" + size(4) + "\n" + chunk(evil) + "0\n\n"},
		{name: "TE alone, a request in a chunk", send: post + "Transfer-Encoding: chunked\n\n" + chunk(evil) + "0\n\n"},
		{name: "CL alone, a request in the body", send: post + size(len(crlf(evil))) + "\n" + evil},
		{name: "CL.CL, the first shorter", send: post + size(0) + size(len(crlf(evil))) + "\n" + evil},
		{name: "CL.CL, the first longer", send: post + size(len(crlf(evil))) + size(0) + "\n" + evil},
		{name: "the same CL twice", send: post + size(len(crlf(evil))) + size(len(crlf(evil))) + "\n" + evil},
		{name: "a list of CLs", send: post + fmt.Sprintf("Content-Length: 0, %d\n\n", len(crlf(evil))) + evil},
		{name: "a CL behind a fold", send: post + fmt.Sprintf("X-A: b\n Content-Length: %d\n\n", len(crlf(evil))) + evil},
		{name: "a CL behind a bare LF", send: post + fmt.Sprintf("X-A: b¶Content-Length: %d\n\n", len(crlf(evil))) + evil},
		{name: "a CL behind a bare CR", send: post + fmt.Sprintf("X-A: b\rContent-Length: %d\n\n", len(crlf(evil))) + evil},
		{name: "a TE behind a bare LF", send: post + size(6) + "X-A: b¶Transfer-Encoding: chunked\n\n0\n\n" + evil},
		{name: "a GET with a body", send: "GET /t HTTP/1.1\nHost: shop.local\n" + size(len(crlf(evil))) + "\n" + evil},
		{name: "a GET in chunks", send: "GET /t HTTP/1.1\nHost: shop.local\nTransfer-Encoding: chunked\n\n" + chunk(evil) + "0\n\n"},
		{name: "Connection names Content-Length", send: post + "Connection: Content-Length\n" + size(len(crlf(evil))) + "\n" + evil},
		{name: "Connection names Transfer-Encoding", send: post + "Connection: Transfer-Encoding\nTransfer-Encoding: chunked\n\n" + chunk(evil) + "0\n\n"},
		{name: "HTTP/1.0 with TE", send: "POST /t HTTP/1.0\nHost: shop.local\nTransfer-Encoding: chunked\n\n0\n\n" + evil},
		{name: "HTTP/1.0 with CL and keep-alive", send: "POST /t HTTP/1.0\nHost: shop.local\nConnection: keep-alive\n" + size(len(crlf(evil))) + "\n" + evil},
		{name: "an extension that ends in a bare LF", send: post + "Transfer-Encoding: chunked\n\n2;¶xx\n26\nxx\n0\n\n" + evil},
		{name: "an extension with a quoted line break", send: post + "Transfer-Encoding: chunked\n\n2;a=\"\n\"\nxx\n0\n\n" + evil},
		{name: "a long extension", send: post + "Transfer-Encoding: chunked\n\n2;" + strings.Repeat("a", 200) + "\nxx\n0\n\n"},
		{name: "a trailer that is a length", send: post + "Transfer-Encoding: chunked\n\n2\nxx\n0\n" + size(len(crlf(evil))) + "\n" + evil},
		{name: "a trailer that is a coding", send: post + "Transfer-Encoding: chunked\n\n2\nxx\n0\nTransfer-Encoding: chunked\n\n" + evil},
		{name: "a harmless trailer", send: post + "Transfer-Encoding: chunked\nTrailer: X-T\n\n2\nxx\n0\nX-T: y\n\n"},
		{name: "a chunk in front of a bare LF", send: post + "Transfer-Encoding: chunked\n\n2\nxx¶0\n\n" + evil},
		{name: "a size behind spaces", send: post + "Transfer-Encoding: chunked\n\n 2\nxx\n0\n\n" + evil},
		{name: "a size before spaces", send: post + "Transfer-Encoding: chunked\n\n2 \nxx\n0\n\n"},
		{name: "a size in front of a tab", send: post + "Transfer-Encoding: chunked\n\n2\t\nxx\n0\n\n"},
		{name: "a size with a sign", send: post + "Transfer-Encoding: chunked\n\n+2\nxx\n0\n\n" + evil},
		{name: "a size with 0x", send: post + "Transfer-Encoding: chunked\n\n0x2\nxx\n0\n\n" + evil},
		{name: "a size that overflows", send: post + "Transfer-Encoding: chunked\n\n10000000000000002\nxx\n0\n\n" + evil},
		{name: "a size that is a comment", send: post + "Transfer-Encoding: chunked\n\n2#\nxx\n0\n\n" + evil},
		{name: "an underscore in a size", send: post + "Transfer-Encoding: chunked\n\n0_2\nxx\n0\n\n" + evil},
		{name: "many zeros in a size", send: post + "Transfer-Encoding: chunked\n\n000002\nxx\n0000\n\n"},
		{name: "a last chunk without its line", send: never + "Transfer-Encoding: chunked\n\n2\nxx\n0\n", never: true},
		{name: "a body that does not come", send: never + size(1000) + "\n" + evil, never: true},
		{name: "a NUL in a name", send: post + "Content-Length\x00: 5\n\n" + evil},
		{name: "a NUL behind a length", send: post + "Content-Length: 5\x00\n\n" + evil},
		{name: "a length in quotes", send: post + "Content-Length: \"5\"\n\n" + evil},
		{name: "a length with a fraction", send: post + "Content-Length: 5.0\n\n" + evil},
		{name: "a length with a blank", send: post + "Content-Length: 3 7\n\n" + evil},
		{name: "an empty length", send: post + "Content-Length:\n\n" + evil},
		{name: "leading zeros in a length", send: post + "Content-Length: 0002\n\nxx"},
		{name: "a length behind an underscore", send: post + fmt.Sprintf("Content_Length: %d\n\n", len(crlf(evil))) + evil + ""},
		{name: "two requests at once", send: post + size(2) + "\nxxGET /second HTTP/1.1\nHost: shop.local\n\n"},
		{name: "an absolute target of another host", send: "GET http://shop.local/t HTTP/1.1\nHost: other.local\n\n"},
		{name: "a space before the version", send: "GET /t  HTTP/1.1\nHost: shop.local\n\n"},
		{name: "a request line that holds another", send: "GET /t HTTP/1.1 /evil HTTP/1.1\nHost: shop.local\n\n"},
		{name: "a folded first field", send: "GET /t HTTP/1.1\n Host: other.local\nHost: shop.local\n\n"},
		{name: "blank lines in front", send: "\n\nGET /t HTTP/1.1\nHost: shop.local\n\n"},
	}
	for _, te := range []string{
		"Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: chunked\nTransfer-Encoding: x", "Transfer-Encoding: x\nTransfer-Encoding: chunked",
		"Transfer-Encoding:\tchunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: \x0cchunked", " Transfer-Encoding: chunked", "X: X¶Transfer-Encoding: chunked",
		"Transfer-Encoding\n: chunked", "Transfer-Encoding:\n chunked", "Transfer-Encoding: chunked\n\t", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked",
		"Transfer-Encoding: chunked, chunked", "Transfer-Encoding: CHUNKED", "transfer-encoding: Chunked", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chunked;q=1",
		"Transfer-Encoding: chunked\x00", "Transfer-Encoding: chunked ", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked,", "Transfer_Encoding: chunked",
		"Transfer-Encoding: identity", "Transfer-Encoding: ", "Transfer\x00-Encoding: chunked", "Transfer-Encoding: ch\xc5\xabnked",
	} {
		name := strings.NewReplacer("\n", `\n`, "¶", `\l`, "\x00", `\0`, "\t", `\t`).Replace(te)
		all = append(all,
			trick{name: "TE.TE " + name, send: post + te + "\n\n" + chunk(evil) + "0\n\n"},
			trick{name: "TE.CL " + name, send: post + size(4) + te + "\n\n" + chunk(evil) + "0\n\n"})
	}
	return all
}

func chunk(s string) string { return fmt.Sprintf("%x\n%s\n", len(crlf(s)), s) }

// TestSmuggling_RouterAndAppAgreeOnWhereMessagesEnd compares what the router
// says it has forwarded with what the app says it was sent. A request that one
// of them sees and the other does not is one that was smuggled.
func TestSmuggling_RouterAndAppAgreeOnWhereMessagesEnd(t *testing.T) {
	t.Parallel()
	if n := len(tricks()); n < 100 {
		t.Errorf("%d tricks", n)
	}
	for _, real := range realApps {
		t.Run(real.name, func(t *testing.T) {
			t.Parallel()
			addr := real.start(t)
			for _, path := range []string{"fast", "full"} {
				d := open(t, options{full: path == "full"})
				d.route(addr)
				s := smuggler{door: d, app: addr}
				s.seen(t) // nothing yet, but what came to ask whether it listens
				for _, k := range tricks() {
					t.Run(path+"/"+k.name, func(t *testing.T) { s.try(t, k) })
				}
			}
		})
	}
}

type smuggler struct {
	*door
	app string
}

func (s *smuggler) try(t *testing.T, k trick) {
	s.forget()
	v := s.dial()
	if _, err := io.WriteString(v, crlf(k.send)+"GET /after HTTP/1.1\r\nHost: shop.local\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if k.never {
		v.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // for an answer that must not come
	}
	for {
		m, err := v.answer("")
		if path, _ := m.field("x-path"); err != nil || path == "/after" {
			break
		}
	}
	v.Close()
	var seen []string
	testenv.Eventually(t, patience, func() error {
		seen = append(seen, s.seen(t)...)
		return agree(s.forwarded(), seen)
	})
	for _, line := range seen {
		if strings.Contains(line, "/evil") && !slices.ContainsFunc(s.forwarded(), func(r proxy.Record) bool { return r.Path == "/evil" }) {
			t.Errorf("smuggled: %q", line)
		}
	}
}

// forget drops what was recorded.
func (d *door) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = nil
}

// forwarded are the requests that went to an app, in their order.
func (d *door) forwarded() (all []proxy.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.records {
		if r.Attempts > 0 {
			all = append(all, r)
		}
	}
	return all
}

// agree compares the router's requests with the app's. One that the app has
// refused, or whose client left, it need not have noted; all else must be the
// same. A message that was cut may end for the app as it likes, at any time:
// gunicorn takes what has come of the body for all of it.
func agree(router []proxy.Record, app []string) error {
	app = slices.DeleteFunc(slices.Clone(app), func(line string) bool { return strings.HasPrefix(line, "POST /never ") })
	for _, r := range router {
		name := r.Method + " " + r.Path + " "
		switch {
		case r.Path == "/never":
		case len(app) > 0 && strings.HasPrefix(app[0], name):
			app = app[1:]
		case r.Status == http.StatusOK:
			return fmt.Errorf("the router has forwarded %q, the app was sent %q", name, app)
		}
	}
	if len(app) > 0 {
		return fmt.Errorf("the app was sent %q, which the router does not know of", app)
	}
	return nil
}

// apart asks apps past the router. Each question has a connection of its own: the
// default client's are closed by whichever test server ends meanwhile.
var apart = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// seen fetches the app's notes.
func (s *smuggler) seen(t *testing.T) []string {
	resp, err := apart.Get("http://" + s.app + "/seen")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
}
