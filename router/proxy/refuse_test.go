package proxy

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

func TestRefuse_EachCauseHasItsCode(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	slow := app(t, func(http.ResponseWriter, *http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	garbage := rawApp(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH\r\n") })
	for name, c := range map[string]struct {
		host, addr string
		backend    *route.Backend
		status     int
		code       model.Code
		why, retry string
	}{
		"unknown host": {host: "nope.local", status: 404, code: "D160", why: "no_host"},
		"no instance":  {backend: &route.Backend{App: "shop"}, status: 503, code: "D161", why: "no_endpoint", retry: "2"},
		"weight zero": {backend: &route.Backend{App: "shop", Endpoints: []route.Endpoint{{Addr: "127.0.0.1:1", Instance: "i"}}},
			status: 503, code: "D161", why: "no_endpoint", retry: "2"},
		"dead":        {addr: deadAddr, status: 502, code: "D162", why: "dial"},
		"garbage":     {addr: garbage, status: 502, code: "D162", why: "protocol"},
		"silent":      {addr: slow, status: 504, code: "D163", why: "timeout"},
		"maintenance": {backend: &route.Backend{App: "shop", Maintenance: true}, status: 503, code: "D164", why: "maintenance", retry: "30"},
	} {
		t.Run(name, func(t *testing.T) {
			wait := time.Minute // for who answers, on a machine however busy
			if c.why == "timeout" {
				wait = 50 * time.Millisecond
			}
			f := newFront(t, Config{ResponseHeader: wait}, c.addr)
			if c.backend != nil {
				f.put(*c.backend)
			} else if c.addr == "" {
				f.put(route.Backend{App: "shop"})
			}
			r := f.request("GET", "/", nil)
			r.Host = first(c.host, host)
			r.Header.Set("X-Request-Id", "req-1")
			resp, body := f.do(r)
			if resp.StatusCode != c.status || resp.Header.Get("Dinp-Error") != string(c.code) || resp.Header.Get("Retry-After") != c.retry {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			var p page
			if err := json.Unmarshal([]byte(body), &p); err != nil || p.Code != c.code || p.RequestID != "req-1" || p.Message == "" || p.Next == "" {
				t.Errorf("page %+v, %v", p, err)
			}
			if rec := f.record(0); rec.Why != c.why || rec.Code != c.code || rec.Status != c.status {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

func TestRefuse_SaysNothingInternal(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, deadAddr)
	for _, accept := range []string{"text/html", "application/json"} {
		r := f.request("GET", "/", nil)
		r.Header.Set("Accept", accept)
		resp, body := f.do(r)
		for _, secret := range []string{deadAddr, "127.0.0.1", "i-", "refused", "dial"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s page tells %q: %s", accept, secret, body)
			}
		}
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Error("an error page may be cached")
		}
	}
}

func TestRefuse_FormAndLanguageAreNegotiated(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{})
	for _, c := range []struct{ accept, language, contentType, contains string }{
		{"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "zh-CN,zh;q=0.9,en;q=0.8", "text/html; charset=utf-8", "应用尚未就绪"},
		{"text/html", "en-GB,zh;q=0.5", "text/html; charset=utf-8", "The app is not ready"},
		{"text/html", "fr", "text/html; charset=utf-8", "The app is not ready"},
		{"*/*", "", "application/json; charset=utf-8", `"code":"D161"`},
		{"", "zh", "application/json; charset=utf-8", "应用尚未就绪"},
		{"text/html;q=0, application/json", "", "application/json; charset=utf-8", `"code"`},
	} {
		r := f.request("GET", "/", nil)
		r.Header["Accept"], r.Header["Accept-Language"] = []string{c.accept}, []string{c.language}
		resp, body := f.do(r)
		if resp.Header.Get("Content-Type") != c.contentType || !strings.Contains(body, c.contains) {
			t.Errorf("%+v: %s %s", c, resp.Header.Get("Content-Type"), body)
		}
	}
}

func TestRefuse_EveryCodeHasATextInEveryLanguage(t *testing.T) {
	t.Parallel()
	for _, f := range []refusal{refusedConnect, noSuchHost, maintenance, noReady, badGateway, gatewaySlow} {
		for lang := range texts {
			if tx := texts[lang][f.code]; tx.title == "" || tx.message == "" || tx.next == "" {
				t.Errorf("%s in %s: %+v", f.code, lang, tx)
			}
		}
	}
}

func TestRefuse_HeadHasNoBodyAndGRPCGetsItsOwnForm(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{})
	if resp, body := f.do(f.request("HEAD", "/", nil)); resp.StatusCode != 503 || body != "" || resp.ContentLength <= 0 {
		t.Errorf("HEAD: %d %d %q", resp.StatusCode, resp.ContentLength, body)
	}
	r := f.request("POST", "/pkg.Service/Method", strings.NewReader("x"))
	r.Header.Set("Content-Type", "application/grpc+proto")
	resp, body := f.do(r)
	if resp.StatusCode != 200 || resp.Header.Get("Grpc-Status") != "14" || body != "" {
		t.Errorf("gRPC: %d %v %q", resp.StatusCode, resp.Header, body)
	}
}

func TestRefuse_Connect(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, says("hi")))
	resp, _ := f.rawResponse("CONNECT shop.local:443 HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n\r\n")
	if resp.StatusCode != 405 {
		t.Errorf("CONNECT: %d", resp.StatusCode)
	}
}

func TestRefuse_BrokenBodyCutsTheClient(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, rawApp(t, func(c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	}))
	resp, err := f.srv.Client().Do(f.request("GET", "/", nil))
	if err == nil { // the head may have been on its way already
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("half a response was made to look whole")
	}
	if r := f.record(0); r.Why != WhyBackendBroke || r.Status != 200 {
		t.Errorf("record %+v", r)
	}
}
