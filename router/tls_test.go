package router

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/router/cert"
	"github.com/dinp/dinp/test/testenv"
)

// issue makes a certificate that is its own root.
func issue(t *testing.T, names ...string) (chain, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// onDisk writes a certificate where the configuration can name it.
func onDisk(t *testing.T, chain, key []byte) cert.File {
	t.Helper()
	dir := t.TempDir()
	f := cert.File{Chain: filepath.Join(dir, "chain.pem"), Key: filepath.Join(dir, "key.pem")}
	for name, b := range map[string][]byte{f.Chain: chain, f.Key: key} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// secured is a configuration with HTTPS for names, and the client's side of it.
func secured(t *testing.T, redis string, names ...string) (Config, *tls.Config) {
	chain, key := issue(t, names...)
	c := config(t, redis)
	c.TLS.Listen, c.TLS.Certificates = "127.0.0.1:0", []cert.File{onDisk(t, chain, key)}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	return c, &tls.Config{RootCAs: roots}
}

// client speaks one protocol to the router, whatever host is asked for.
func client(t *testing.T, addr string, conf *tls.Config, set func(*http.Protocols)) *http.Client {
	p := new(http.Protocols)
	set(p)
	tr := &http.Transport{
		Protocols: p, TLSClientConfig: conf, DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }
func http2(p *http.Protocols) { p.SetHTTP2(true) }
func h2c(p *http.Protocols)   { p.SetUnencryptedHTTP2(true) }

func TestRouter_SpeaksHTTP1AndHTTP2WithAndWithoutTLS(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"), " ", r.Host)
	})))
	c, trust := secured(t, l.c.Options().Addr, "*.local")
	r := start(t, c)
	l.acknowledged("r1")
	for name, s := range map[string]struct {
		client       *http.Client
		scheme, want string
	}{
		"HTTP/1.1 in clear": {client(t, r.Addr(), nil, http1), "http", "HTTP/1.1 http shop.local"},
		"HTTP/2 in clear":   {client(t, r.Addr(), nil, h2c), "http", "HTTP/2.0 http shop.local"},
		"HTTP/1.1 in TLS":   {client(t, r.TLSAddr(), trust.Clone(), http1), "https", "HTTP/1.1 https shop.local"},
		"HTTP/2 in TLS":     {client(t, r.TLSAddr(), trust.Clone(), http2), "https", "HTTP/2.0 https shop.local"},
	} {
		resp, err := s.client.Get(s.scheme + "://shop.local/")
		_, body, err := answer(resp, err)
		if err != nil || resp.Proto+" "+body != s.want {
			t.Errorf("%s: %q %v, want %q", name, body, err, s.want)
		}
	}
}

func TestRouter_WhatIsHandedOverInTLSIsStillInTLS(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Forwarded-Proto")+r.Header.Get("X-Odd"))
	})))
	c, trust := secured(t, l.c.Options().Addr, "shop.local")
	r := start(t, c)
	l.acknowledged("r1")
	trust.ServerName = "shop.local"
	conn, err := tls.Dial("tcp", r.TLSAddr(), trust)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	// The fast path answers the first; fields that Connection names are for the
	// full path, which takes the connection and the third request with it.
	for i, odd := range []string{"", "Connection: x-odd\r\nX-Odd: !\r\n", ""} {
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: shop.local\r\n%s\r\n", odd)
		resp, err := http.ReadResponse(in, nil)
		if _, body, err := answer(resp, err); err != nil || body != "https" {
			t.Fatalf("request %d: %q, %v", i, body, err)
		}
	}
}

func TestRouter_NameWithoutACertificateIsRefusedClearly(t *testing.T) {
	t.Parallel()
	c, trust := secured(t, "127.0.0.1:1", "shop.example")
	r := start(t, c)
	trust.ServerName = "other.example"
	_, err := tls.Dial("tcp", r.TLSAddr(), trust)
	if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("got %v, want the alert unrecognized_name", err)
	}
	testenv.Eventually(t, time.Minute, func() error {
		if _, body := r.adminGet("/metrics"); !strings.Contains(body, "dinp_router_tls_no_certificate_total 1") {
			return fmt.Errorf("not counted")
		}
		return nil
	})
}

func TestRouter_ProxyHeaderOfATrustedBalancerNamesTheClient(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Forwarded-For")) })))
	c, trust := secured(t, l.c.Options().Addr, "shop.local")
	c.ProxyProtocol = []string{"127.0.0.1"}
	r := start(t, c)
	l.acknowledged("r1")
	trust.ServerName = "shop.local"
	for _, header := range []string{
		"PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x13\x88\x00\x50",
	} {
		for _, secure := range []bool{false, true} {
			addr := r.Addr()
			if secure {
				addr = r.TLSAddr()
			}
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, header)
			if secure {
				conn = tls.Client(conn, trust)
			}
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if _, body, err := answer(resp, err); err != nil || body != "203.0.113.9" {
				t.Errorf("secure %v: the app sees %q %v", secure, body, err)
			}
			conn.Close()
		}
	}
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shop.local\r\n\r\n")
	if b, _ := io.ReadAll(conn); len(b) > 0 {
		t.Errorf("without a header the balancer got %q", b)
	}
}

// A stranger's PROXY header is no header, and a balancer's network is not all the world.
func TestRouter_ProxyHeaderOfAStrangerIsNotBelieved(t *testing.T) {
	t.Parallel()
	for _, fast := range []bool{true, false} {
		l := newLeader(t, testenv.Redis(t))
		l.publish(shop(app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Forwarded-For")) })))
		c := config(t, l.c.Options().Addr)
		c.ProxyProtocol, c.FastPath = []string{"127.0.0.1"}, fast
		r := start(t, c)
		l.acknowledged("r1")
		const ask = "GET / HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n\r\n"
		for _, header := range []string{"", "PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x13\x88\x00\x50"} {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			conn, err := d.DialContext(t.Context(), "tcp", r.Addr())
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, header+ask)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			status, body, err := answer(resp, err)
			if served := err == nil && status == 200; served != (header == "") || served && body != "127.0.0.2" {
				t.Errorf("fast %v, %.5q: %d %q %v", fast, header, status, body, err)
			}
			conn.Close()
		}
	}
}
