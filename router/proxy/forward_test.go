package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seen is what an app saw of a request.
type seen struct {
	Method, URI, Host, Body string
	Header, Trailer         http.Header
}

func mirror(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, string(b), r.Header, r.Trailer})
}

func (f *front) seen(r *http.Request) seen {
	f.t.Helper()
	_, body := f.do(r)
	var s seen
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		f.t.Fatalf("%v: %s", err, body)
	}
	return s
}

func TestForward_TargetArrivesByteExact(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, mirror))
	for _, uri := range []string{
		"/", "/?", "/a%2Fb/c", "/a//b", "//double", "/x?x=1;y=2&z=%zz", "/?a=b?c", "/%E4%BD%A0", "/a|b", "/a\"b{}^`", "/;p=1", "/.", "/../etc", "/a+b%20c", "/a#b", "/'()*!~",
	} {
		if got := f.raw("GET " + uri + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n").URI; got != uri {
			t.Errorf("sent %q, the app saw %q", uri, got)
		}
	}
	if got := f.raw("GET http://" + host + "/abs?q HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n"); got.URI != "/abs?q" || got.Host != host {
		t.Errorf("absolute form arrived as %q at %q", got.URI, got.Host)
	}
	if got := f.raw("OPTIONS /x HTTP/1.1\r\nHost: SHOP.local.:8080\r\nConnection: close\r\n\r\n"); got.Host != "SHOP.local.:8080" {
		t.Errorf("host arrived as %q", got.Host)
	}
}

// raw sends bytes and returns what the app saw.
func (f *front) raw(req string) seen {
	f.t.Helper()
	resp, body := f.rawResponse(req)
	var s seen
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		f.t.Fatalf("%q: %d %s", req, resp.StatusCode, body)
	}
	return s
}

func (f *front) rawResponse(req string) (*http.Response, string) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.srv.Listener.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, req)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		f.t.Fatalf("%q: %v", req, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatalf("%q: %v", req, err)
	}
	return resp, string(b)
}

func TestForward_ForwardingHeadersOfStrangersAreReplaced(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, mirror))
	r := f.request("GET", "/", nil)
	for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded", "X-Real-Ip"} {
		r.Header.Set(h, "6.6.6.6")
	}
	got := f.seen(r).Header
	want := map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": host,
		"X-Forwarded-Port": "", "X-Forwarded-Prefix": "", "Forwarded": "", "X-Real-Ip": "127.0.0.1"}
	for h, v := range want {
		if got.Get(h) != v {
			t.Errorf("%s: %q, want %q", h, got.Get(h), v)
		}
	}
}

func TestForward_TrustedProxyIsBelieved(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}}, app(t, mirror))
	r := f.request("GET", "/", nil)
	r.Header["X-Forwarded-For"] = []string{"6.6.6.6, 203.0.113.9", "10.1.1.1"}
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Forwarded-Host", "www.example.com")
	got := f.seen(r).Header
	for h, v := range map[string]string{"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.1.1, 127.0.0.1", "X-Forwarded-Proto": "https",
		"X-Forwarded-Host": "www.example.com", "X-Real-Ip": "203.0.113.9"} {
		if got.Get(h) != v {
			t.Errorf("%s: %q, want %q", h, got.Get(h), v)
		}
	}
	if c := f.record(0).Client; c != "203.0.113.9" {
		t.Errorf("logged client %q", c)
	}
}

func TestForward_HopByHopHeadersEnd(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "X-Mine")
		w.Header().Set("X-Mine", "1")
		w.Header().Set("Keep-Alive", "timeout=5")
		mirror(w, r)
	}))
	r := f.request("GET", "/", nil)
	r.Header.Set("Connection", "X-Secret")
	r.Header.Set("X-Secret", "1")
	r.Header.Set("Proxy-Authorization", "x")
	r.Header.Set("Keep-Alive", "x")
	r.Header.Set("X-Kept", "1")
	resp, body := f.do(r)
	for _, h := range []string{"X-Secret", "Proxy-Authorization", "Keep-Alive"} {
		if strings.Contains(body, h) {
			t.Errorf("the app saw %s", h)
		}
	}
	if !strings.Contains(body, "X-Kept") || resp.Header.Get("X-Mine") != "" || resp.Header.Get("Keep-Alive") != "" {
		t.Errorf("headers %v, body %s", resp.Header, body)
	}
}

func TestForward_RequestIDIsKeptOrMade(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, mirror))
	for given, keep := range map[string]bool{"abc-1.2": true, "": false, "a b": false, "a\"b": false, strings.Repeat("x", 129): false} {
		r := f.request("GET", "/", nil)
		r.Header.Set("X-Request-Id", given)
		got := f.seen(r).Header.Get("X-Request-Id")
		if got == "" || (got == given) != keep {
			t.Errorf("given %q, the app saw %q", given, got)
		}
	}
}

func TestForward_NothingIsAddedOrChanged(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, mirror))
	got := f.raw("GET / HTTP/1.1\r\nHost: shop.local\r\nAccept-Encoding: br\r\nCookie: a=b; c=d\r\nConnection: close\r\n\r\n").Header
	for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "X-Request-Id"} {
		got.Del(h)
	}
	if d := cmp.Diff(http.Header{"Accept-Encoding": {"br"}, "Cookie": {"a=b; c=d"}}, got); d != "" {
		t.Error(d)
	}
}

func TestForward_TrailersGoBothWays(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer.Get("X-Sum"))
		w.Header().Set("X-Announced", "a")
		w.Header().Set(http.TrailerPrefix+"X-Late", "b")
	}))
	r := f.request("POST", "/", io.NopCloser(strings.NewReader("body")))
	r.Trailer = http.Header{"X-Sum": {"42"}}
	resp, body := f.do(r)
	if body != "42" {
		t.Errorf("the app saw the trailer %q, want 42", body)
	}
	if resp.Trailer.Get("X-Announced") != "a" || resp.Trailer.Get("X-Late") != "b" {
		t.Errorf("response trailers %v", resp.Trailer)
	}
}

func TestForward_BodiesAndStatusesPass(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
		case "/500":
			w.WriteHeader(500)
			io.WriteString(w, "the app's own page")
		default:
			n, _ := io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
			fmt.Fprint(w, n)
		}
	}))
	big := strings.Repeat("x", 8<<20)
	if resp, body := f.do(f.request("PUT", "/", strings.NewReader(big))); body != fmt.Sprint(len(big)) || resp.Header.Get("X-Length") != body {
		t.Errorf("8 MiB arrived as %s", body)
	}
	if _, body := f.do(f.request("POST", "/", io.MultiReader(strings.NewReader(big)))); body != fmt.Sprint(len(big)) {
		t.Errorf("8 MiB chunked arrived as %s", body)
	}
	for path, status := range map[string]int{"/204": 204, "/304": 304, "/500": 500} {
		resp, body := f.get(path)
		if resp.StatusCode != status || resp.Header.Get("Dinp-Error") != "" || (status == 500) != (body != "") {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
	if resp, body := f.do(f.request("HEAD", "/", nil)); resp.StatusCode != 200 || body != "" || resp.ContentLength != 1 {
		t.Errorf("HEAD: %d, %d, %q", resp.StatusCode, resp.ContentLength, body)
	}
}
