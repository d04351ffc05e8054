package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// perAddress is how many connections are opened from one address: below the
// ports there are.
const perAddress = 10_000

// crowd measures the memory of connections that have been served and are idle.
func (b *bench) crowd(ctx context.Context) error {
	for _, g := range []gathering{
		{what: "each of which has been served once"},
		{what: "the same in TLS", tls: true},
		{what: "in TLS, each of which has sent 64 KiB", tls: true, body: 64 << 10},
	} {
		fmt.Fprintf(b.out, "\n%d idle keep-alive connections, %s\n", b.idle, g.what)
		for _, p := range peers {
			if p.name == "caddy" || p.name == "haproxy" || !chosen(b.peers, p.name) {
				continue
			}
			if err := b.crowdOf(ctx, p, g); err != nil {
				return fmt.Errorf("idle connections, %s: %w", p.name, err)
			}
		}
	}
	return nil
}

// gathering is what the connections of a crowd have done before they idle.
type gathering struct {
	what string
	tls  bool
	body int // of a POST; 0: a GET
}

func (g gathering) request() []byte {
	if g.body == 0 {
		return []byte(workload{}.request(host, "/"))
	}
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, g.body, bytes.Repeat([]byte("x"), g.body))
}

// join opens the i-th connection and has it served once.
func (g gathering) join(ctx context.Context, addr string, i int) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/perAddress))}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if g.tls {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}) // by the name in the bench's certificate
	}
	if _, err = c.Write(g.request()); err == nil {
		_, err = c.Read(make([]byte, 1024))
	}
	return c, err
}

func (b *bench) crowdOf(ctx context.Context, p peer, g gathering) error {
	r, err := b.launch(ctx, p, setting{tls: g.tls})
	if err != nil {
		return err
	}
	defer r.stop()
	if _, err := b.wrk(ctx, workload{name: "warm", conns: 64, path: "/", setting: setting{tls: g.tls}}, r.addr, time.Second); err != nil {
		return err
	}
	before, _ := r.memory()
	conns := make([]net.Conn, 0, b.idle)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range b.idle {
		c, err := g.join(ctx, r.addr, i)
		if c != nil {
			conns = append(conns, c)
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	after, _ := r.memory()
	each := (after - before) / int64(b.idle)
	fmt.Fprintf(b.out, "  %-10s %6d bytes each, %.1f MB in all", p.name, each, float64(after)/(1<<20))
	if p.name == "dinp" && !g.tls {
		fmt.Fprintf(b.out, "; to reach: ≤ 4096 bytes: %s", verdict(each <= 4096))
	}
	fmt.Fprintln(b.out)
	return nil
}
