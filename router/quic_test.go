package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/dinp/dinp/test/testenv"
)

// quicClient speaks HTTP/3 to the router's port of HTTPS, whatever host is asked for.
func quicClient(t *testing.T, r *running, trust *tls.Config) *http.Client {
	tr := &h3.Transport{
		TLSClientConfig: trust.Clone(), DisableCompression: true,
		Dial: func(ctx context.Context, _ string, conf *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, r.TLSAddr(), conf, q)
		},
	}
	t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr}
}

// quicRouter is a router with HTTP/3 in front of an app.
func quicRouter(t *testing.T, h http.HandlerFunc, adjust func(*Config)) (*running, *tls.Config) {
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, h)))
	c, trust := secured(t, l.c.Options().Addr, "*.local")
	c.TLS.HTTP3 = true
	if adjust != nil {
		adjust(&c)
	}
	r := start(t, c)
	l.acknowledged("r1")
	return r, trust
}

func TestQUIC_RequestsReachTheAppAsAnyOther(t *testing.T) {
	t.Parallel()
	r, trust := quicRouter(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", r.URL, " ", r.Host, " ", r.Header.Get("X-Forwarded-Proto"), " ", r.Header.Get("X-Forwarded-For"), " ", len(b), " ", err)
	}, nil)
	c := quicClient(t, r, trust)
	resp, err := c.Post("https://shop.local/a?b=c", "text/plain", strings.NewReader(strings.Repeat("x", 300_000)))
	status, body, err := answer(resp, err)
	if want := "POST /a?b=c shop.local https 127.0.0.1 300000 <nil>"; err != nil || status != 200 || body != want {
		t.Fatalf("%d %q %v, want %q", status, body, err, want)
	}
	if resp.ProtoMajor != 3 || resp.Header.Get("Connection") != "" {
		t.Errorf("%s, header %v", resp.Proto, resp.Header)
	}
	resp, err = c.Get("https://other.local/")
	if status, _, err := answer(resp, err); err != nil || status != 404 {
		t.Errorf("an unknown host: %d %v", status, err)
	}
}

func TestQUIC_IsAnnouncedToClientsOfHTTPS(t *testing.T) {
	t.Parallel()
	r, trust := quicRouter(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }, func(c *Config) { c.TLS.PublicPort = 443 })
	for scheme, c := range map[string]*http.Client{
		"https": client(t, r.TLSAddr(), trust.Clone(), http2), "http": client(t, r.Addr(), nil, http1),
	} {
		resp, err := c.Get(scheme + "://shop.local/")
		if _, _, err := answer(resp, err); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"https": `h3=":443"; ma=86400`}[scheme]
		if got := resp.Header.Get("Alt-Svc"); got != want {
			t.Errorf("%s: %q, want %q", scheme, got, want)
		}
	}
}

func TestQUIC_ConnectionsOfASourceAreLimited(t *testing.T) {
	t.Parallel()
	r, trust := quicRouter(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }, func(c *Config) {
		c.Limits.Except, c.Limits.SourceConnections = nil, 1
	})
	get := func(c *http.Client) error {
		resp, err := c.Get("https://shop.local/")
		_, _, err = answer(resp, err)
		return err
	}
	first, second := quicClient(t, r, trust), quicClient(t, r, trust)
	if err := get(first); err != nil {
		t.Fatal(err)
	}
	if err := get(second); err == nil {
		t.Error("a second connection was taken")
	}
	if _, body := r.adminGet("/metrics"); r.quic.Refused() == 0 || !strings.Contains(body, "dinp_router_http3_refused_total ") {
		t.Error("the refusal was not counted")
	}
	first.Transport.(*h3.Transport).Close()
	testenv.Eventually(t, 20*time.Second, func() error { return get(second) })
}

func TestQUIC_RequestsInFlightEndBeforeTheRouterDoes(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}), make(chan struct{})
	r, trust := quicRouter(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-goOn
		}
		io.WriteString(w, "whole")
	}, nil)
	got := make(chan error, 1)
	c := quicClient(t, r, trust)
	go func() {
		resp, err := c.Get("https://shop.local/slow")
		_, body, err := answer(resp, err)
		if err == nil && body != "whole" {
			err = errors.New(body)
		}
		got <- err
	}()
	<-began
	r.stop()
	testenv.Eventually(t, 20*time.Second, func() error {
		resp, err := c.Get("https://shop.local/")
		if _, _, err = answer(resp, err); err == nil {
			return errors.New("new requests are taken")
		}
		return nil
	})
	close(goOn)
	if err := <-got; err != nil {
		t.Error(err)
	}
	r.end()
}

func TestQUIC_ASuccessorTakesThePortWhenItIsFree(t *testing.T) {
	t.Parallel()
	ok := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }
	first, trust := quicRouter(t, ok, func(c *Config) { c.ReusePort = true })
	second, _ := quicRouter(t, ok, func(c *Config) {
		c.ReusePort, c.TLS.Listen, c.TLS.Certificates = true, first.TLSAddr(), first.cfg.TLS.Certificates
	})
	if addr := second.quic.Addr(); addr != "" {
		t.Fatalf("the successor has %s already", addr)
	}
	first.end()
	c := quicClient(t, second, trust)
	testenv.Eventually(t, 20*time.Second, func() error {
		resp, err := c.Get("https://shop.local/")
		_, body, err := answer(resp, err)
		if err == nil && body != "ok" {
			return errors.New(body)
		}
		return err
	})
}
