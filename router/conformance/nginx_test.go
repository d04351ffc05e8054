package conformance

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

// beside are the cases that nginx (1.22) serves otherwise than the fast path,
// by the reason why ours stays different. All others it serves the same.
var beside = []struct {
	why   string
	cases []string
}{
	{"RFC 9110 7.6.1: what Connection names is for this hop alone; nginx passes it on", []string{
		"Connection names a field", "Connection names a field behind it", "Upgrade of h2c is not offered", "response: hop-by-hop fields"}},
	{"net/http answers HTTP/1.0 by its own version; nginx says 1.1, as RFC 9110 2.5 would have it: clients read both", []string{"HTTP/1.0", "HTTP/1.0 that stays", "HTTP/1.0 with a body", "HTTP/1.0 without a host", "HTTP/1.0 is sent no chunks"}},
	{"RFC 9112 3.2.2: the target's host counts; nginx routes by it, and $http_host is what the field says", []string{"absolute-form", "absolute-form with a port", "absolute-form in upper case"}},
	{"RFC 9112 3.2.4: a target that the app answers; nginx has only paths", []string{"OPTIONS *", "OPTIONS of a server in absolute-form", "OPTIONS * with a body"}},
	{"methods are the app's business, and case matters (RFC 9110 9.1); nginx refuses", []string{"a method in lower case", "method TRACE"}},
	{"trailers are passed, both ways; nginx loses them", []string{
		"trailers that are not announced", "trailers that would rewrite the head", "trailers", "a trailer announced by what is no name", "response: chunks with trailers", "response: trailers that would rewrite the head", "response: trailers that are not announced"}},
	{"the app says whether it wants the body (RFC 9110 10.1.1); nginx asks for it by itself", []string{"100-continue"}},
	{"targets go byte by byte to the app, which knows what they are; nginx refuses", []string{"target /..", "target /%00"}},
	{"RFC 9112 5.1 and RFC 9110 5.5 would have it refused; nginx takes it for a field", []string{
		"no colon", "a control byte in a value", "a bracket in a name", "DEL in a value", "a byte above ASCII in a name", "a CR more behind a value"}},
	{"servers read a bare LF in two ways, and that smuggles; nginx takes it for CRLF", []string{
		"a bare LF in the request line", "a bare LF behind a field", "a blank line of a bare LF",
		"chunks: a bare LF behind a size", "chunks: a bare LF in an extension", "chunks: a bare LF behind the data"}},
	{"a control byte in front of a coding is refused as such; for nginx it is of the coding, which it does not know: 501", []string{"a coding behind a vertical tab"}},
	{"nothing behind a refused CONNECT is a tunnel's, as the answer says; nginx ends the connection, and says 405 or 400", []string{"CONNECT"}},
	{"RFC 9112 3.2: an empty Host is no mistake, but nobody's; nginx says 400", []string{"an empty host", "absolute-form with an empty host beside it"}},
	{"RFC 6585 5: 431 says what is wrong; nginx says 400", []string{"a head of 80 KiB"}},
	{"RFC 9110 10.1.1: 417 says what cannot be expected; nginx ignores it", []string{"another expectation"}},
	{"nobody needs 17 digits, and parsers overflow at them; nginx counts digits that matter", []string{"chunks: a size of 17 digits"}},
	{"interim answers are passed on (RFC 9110 15.2); nginx before 1.29 takes them for final ones", []string{
		"response: 103", "response: 103 twice", "100 and then a final answer", "response: 102", "response: 100 nobody asked for", "response: 103 with a length", "response: 103 in chunks that closes", "response: 103 a thousand times", "response: 103 and the end", "HTTP/1.0 is sent no interim answer"}},
	{"RFC 9112 5.2: spaces for a fold; nginx takes the alternative, 502", []string{"response: a folded line"}},
	{"no answer by RFC 9112, so 502; nginx passes it on as one of HTTP/0.9", []string{"response: another protocol", "response: no status", "response: a status below 100", "response: a status of four digits", "response: no space behind the status", "response: a blank line in front"}},
	{"RFC 9112 6.3: where the end of an answer is in doubt nobody gets it; nginx takes the first length, or what comes", []string{
		"response: two lengths", "response: a length that is no number", "response: an unknown coding", "response: two codings", "response: codings in a list", "response: a signed length", "response: a negative length", "response: a list of lengths", "response: an empty length", "response: an endless length"}},
	{"no field by RFC 9112 5; nginx adds the colon", []string{"response: a field without a colon"}},
	{"nobody asked for another protocol; nginx lets the app change to it", []string{"response: 101 nobody asked for"}},
	{"RFC 9112 3.2: what is no host is a mistake of the client's, 400, and what might be one nobody's, 404; nginx knows other limits", []string{
		"a host with a user", "a host with a query", "a host in quotes", "a host with a backslash", "a host with a port that is no number", "a host with two dots"}},
	{"the end of the refused request is known, and the connection of use; nginx ends it", []string{"absolute-form with a user", "authority-form of a GET", "* of a GET"}},
	{"what is no http is not served here (RFC 9110 7.4); nginx passes it on", []string{"absolute-form of another scheme"}},
	{"net/url escapes what stands behind two slashes; nginx passes it on byte by byte, which would be better", []string{"target with two slashes and bytes that URIs have not"}},
	{"a version has one digit on each side (RFC 9112 2.3), and a request one; nginx has 1.1 of 1.10, and answers HTTP/0.9", []string{"a version of two digits", "no version"}},
	{"the app says whether it changes its protocol; nginx as it is set up here offers nothing", []string{
		"Upgrade that the app does not take up", "Upgrade and a body that the app does not take up", "Upgrade and chunks that the app does not take up"}},
	{"servers that make variables of names would believe it; nginx drops all names with _ unless it is told not to, as here", []string{"names that pass for ours"}},
	{"RFC 9112 9.3: close wins; nginx takes the last", []string{"Connection: close before keep-alive"}},
	{"RFC 9110 5.5: a tab is a blank, too; nginx takes it for a part of the length", []string{"a length between blanks"}},
	{"apps that count in 32 bits would see a shorter one; nginx waits for it", []string{"chunks: 2 GiB"}},
	{"extensions nobody uses are bounded, and net/http knows no blanks before them; nginx skips them", []string{"chunks: an extension of 5 KiB", "chunks: blanks before an extension"}},
	{"trailers are read as fields, and bounded; nginx skips them", []string{
		"chunks: a trailer without a name", "chunks: a trailer that ends in a bare LF", "chunks: a trailer of 20 KB", "chunks: NUL in a trailer", "response: a bad trailer"}},
	{"more lines than any app says are not kept note of; nginx does", []string{"response: thirty lines to drop"}},
	{"RFC 9112 5 and RFC 9110 5.5: no field; nginx passes it on", []string{"response: a control byte in a value", "response: a bracket in a name"}},
}

const nginxConfig = `daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { }
http {
  access_log off; server_tokens off; default_type "";
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  keepalive_timeout 60s; client_max_body_size 0; large_client_header_buffers 8 64k; client_header_buffer_size 64k;
  ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
  proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; proxy_next_upstream off;
  proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;
  map $http_x_request_id $id { default AAAAAAAAAAAAAAAAAAAAAAAAAA; "~^[-A-Za-z0-9_.:/+=@]{1,128}$" $http_x_request_id; }
  map $http_te $te { default ""; "~*(^|,)\s*trailers\s*(,|$)" trailers; }
  proxy_set_header Connection close; proxy_set_header Host $http_host; proxy_set_header X-Request-Id $id; proxy_set_header X-Real-Ip $remote_addr;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Port ""; proxy_set_header X-Forwarded-Prefix ""; proxy_set_header X-Forwarded-Ssl ""; proxy_set_header Forwarded "";
  proxy_set_header Proxy-Authorization ""; proxy_set_header Proxy-Connection ""; proxy_set_header TE $te;
  server { listen %[2]s default_server; return 404; }
  server { listen %[2]s; server_name closed.local empty.local; return 503; }
  server { listen %[2]s; server_name shop.local www.shop.example; location / { proxy_pass http://%[3]s; } }
}
`

// nginx is one that passes to app what the router would.
func nginx(t *testing.T, app string) (addr string) {
	return testenv.Server(t, "nginx", func(dir, addr string) ([]string, error) {
		errors, file := filepath.Join(dir, "error.log"), filepath.Join(dir, "nginx.conf")
		return []string{"-p", dir, "-e", errors, "-c", file}, os.WriteFile(file, fmt.Appendf(nil, nginxConfig, dir, addr, app), 0o600)
	})
}

// TestConformance_BesideNginx runs the table through an nginx, the reference
// where behaviour is a matter of taste: what it does otherwise has a reason.
func TestConformance_BesideNginx(t *testing.T) {
	t.Parallel()
	reasons := map[string]string{}
	for _, b := range beside {
		for _, name := range b.cases {
			reasons[name] = b.why
		}
	}
	var mu sync.Mutex
	var present kase
	a := newApp(t, func(m message) string {
		mu.Lock()
		defer mu.Unlock()
		return present.answers(m)
	})
	addr := nginx(t, a.addr())
	for _, k := range allCases() {
		why := reasons[k.name]
		delete(reasons, k.name)
		t.Run(k.name, func(t *testing.T) {
			mu.Lock()
			present = k
			mu.Unlock()
			differs := k.besides(t, addr, a, why != "")
			switch {
			case why == "" && differs != "":
				t.Errorf("nginx does it otherwise: %s", differs)
			case why != "" && differs == "":
				t.Errorf("nginx does the same; the table says: %s", why)
			}
		})
	}
	for name := range reasons {
		t.Errorf("there is no case %q", name)
	}
}

// besides tells what nginx does otherwise, or "". Where it does, it may have us
// wait for what does not come.
func (k kase) besides(t *testing.T, addr string, a *app, expected bool) string {
	a.forget()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if expected {
		c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	}
	got, back := k.exchange(t, &visitor{Conn: c, r: bufio.NewReader(c)}, a), unframed(either(k.back, plainBack))
	if k.app == "-" && back != "*" { // our own answer: its words are ours
		back, _, _ = strings.Cut(back, " ")
		back += " …"
	}
	switch {
	case !matches(unframed(got.back), back):
		return fmt.Sprintf("the client got %s, ours %s", brief(got.back), brief(back))
	case !matches(unframed(got.app), unframed(k.app)):
		return fmt.Sprintf("the app got %s, ours %s", brief(got.app), brief(k.app))
	case got.ended != k.ends && !k.may:
		return fmt.Sprintf("the connection ended: %v", got.ended)
	}
	return ""
}

var (
	ofNginx = regexp.MustCompile(` \| (server: nginx|connection: keep-alive|keep-alive: [^|]*|content-length: \d*)`)
	framing = regexp.MustCompile(` \| (length|chunks|close) (")`)
)

// unframed is a message without its framing: nginx says the length of what came
// in chunks when it has come as a whole.
func unframed(s string) string {
	s = framing.ReplaceAllString(ofNginx.ReplaceAllString(s, ""), " | body $2")
	return strings.TrimSuffix(s, ` | body ""`)
}
