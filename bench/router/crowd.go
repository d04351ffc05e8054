package main

import (
	"context"
	"fmt"
	"net"
	"time"
)

// perAddress is how many connections are opened from one address: below the
// ports there are.
const perAddress = 10_000

// crowd measures the memory of connections that have been served and are idle.
func (b *bench) crowd(ctx context.Context) error {
	fmt.Fprintf(b.out, "\n%d idle keep-alive connections, each of which has been served once\n", b.idle)
	for _, p := range peers {
		if p.name == "caddy" || p.name == "haproxy" || !chosen(b.peers, p.name) {
			continue
		}
		if err := b.crowdOf(ctx, p); err != nil {
			return fmt.Errorf("idle connections, %s: %w", p.name, err)
		}
	}
	return nil
}

func (b *bench) crowdOf(ctx context.Context, p peer) error {
	r, err := b.launch(ctx, p, setting{})
	if err != nil {
		return err
	}
	defer r.stop()
	if _, err := b.wrk(ctx, workload{name: "warm", conns: 64, path: "/"}, r.addr, time.Second); err != nil {
		return err
	}
	before, _ := r.memory()
	conns := make([]net.Conn, 0, b.idle)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	ask, answer := []byte(workload{}.request(host, "/")), make([]byte, 1024)
	for i := range b.idle {
		d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/perAddress))}}
		c, err := d.DialContext(ctx, "tcp", r.addr)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		conns = append(conns, c)
		if _, err = c.Write(ask); err == nil {
			_, err = c.Read(answer)
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	after, _ := r.memory()
	bytes := (after - before) / int64(b.idle)
	fmt.Fprintf(b.out, "  %-10s %6d bytes each, %.1f MB in all", p.name, bytes, float64(after)/(1<<20))
	if p.name == "dinp" {
		fmt.Fprintf(b.out, "; to reach: ≤ 4096 bytes: %s", verdict(bytes <= 4096))
	}
	fmt.Fprintln(b.out)
	return nil
}
