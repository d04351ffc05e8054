package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// attack is what one client does to app shop, on each of its connections, until
// the connection or the measurement ends.
type attack struct {
	name  string
	conns int
	pause time.Duration // between two steps of a connection
	open  string        // what a connection begins with
	step  func() string // what follows again and again
	deaf  bool          // it reads nothing
}

var attacks = []attack{
	{name: "slow heads", conns: 2000, pause: 200 * time.Millisecond, open: "GET / HTTP/1.1\r\nHost: " + host + "\r\nX-Slow: ", step: always("a")},
	{name: "slow bodies", conns: 1000, pause: 200 * time.Millisecond, open: "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1000000\r\n\r\n", step: always("a")},
	{name: "slow readers", conns: 500, pause: 50 * time.Millisecond, step: always("GET /64k HTTP/1.1\r\nHost: " + host + "\r\n\r\n"), deaf: true},
	{name: "endless bodies", conns: 8, pause: 5 * time.Millisecond, open: "POST / HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n",
		step: always("4000\r\n" + strings.Repeat("x", 0x4000) + "\r\n")},
	{name: "header floods", conns: 50, pause: 50 * time.Millisecond,
		step: always("GET / HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Repeat("X-Flood: "+strings.Repeat("y", 100)+"\r\n", 500) + "\r\n")},
	{name: "unknown hosts", conns: 50, pause: 25 * time.Millisecond, step: func() string {
		return fmt.Sprintf("GET / HTTP/1.1\r\nHost: %x.example\r\n\r\n", rand.Uint64())
	}},
	{name: "new connections", conns: 20, pause: 10 * time.Millisecond, step: always("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")},
	{name: "idle flood", conns: 5000, pause: time.Second, step: always("")},
}

func always(s string) func() string { return func() string { return s } }

// misbehave measures the time that another app's answers take while one client
// after the other misbehaves.
func (b *bench) misbehave(ctx context.Context) error {
	const conns, rate = 16, 400
	victim := []string{workload{}.request(quiet, "/")}
	fmt.Fprintf(b.out, "\nanother app's answers at %d requests/s while a client misbehaves\n  %-10s %-16s %10s %10s %9s %9s\n", rate, "", "", "p50", "p99", "memory", "CPU")
	for _, p := range peers {
		if (p.name != "dinp" && p.name != "nginx") || !chosen(b.peers, p.name) {
			continue
		}
		r, err := b.launch(ctx, p, setting{})
		if err != nil {
			return err
		}
		defer r.stop()
		all := append([]attack{{name: "nobody"}}, attacks...)
		var calm time.Duration
		for _, a := range all {
			took, s, err := b.suffer(ctx, r, a, func() ([]time.Duration, error) {
				return paced(ctx, conns, false, victim, r.addr, rate, b.seconds)
			})
			if err != nil {
				return fmt.Errorf("%s, %s: %w", p.name, a.name, err)
			}
			p99, note := percentile(took, 99), ""
			if a.conns == 0 {
				calm = p99
			} else if p.name == "dinp" {
				note = fmt.Sprintf("   %.1f times, to reach: ≤ 2: %s", float64(p99)/float64(calm), verdict(p99 <= 2*calm))
			}
			fmt.Fprintf(b.out, "  %-10s %-16s %10v %10v %6.1f MB %7.0f %%%s\n", p.name, a.name, shorter(percentile(took, 50)), shorter(p99), float64(s.memory)/(1<<20), 100*s.cpu.Seconds()/s.seconds, note)
		}
	}
	return nil
}

// suffer measures while a process of its own attacks, whose own need of
// processor time is not to be what is measured: it runs at a lower priority.
func (b *bench) suffer(ctx context.Context, r *running, a attack, measure func() ([]time.Duration, error)) (took []time.Duration, s sample, err error) {
	if a.conns > 0 {
		attacker, err := start(ctx, filepath.Join(r.dir, "attacker.log"), b.self, "attack", a.name, r.addr)
		if err != nil {
			return nil, s, err
		}
		defer attacker.stop()
		syscall.Setpriority(syscall.PRIO_PROCESS, attacker.cmd.Process.Pid, 5)
		time.Sleep(time.Second) // for all of its connections to stand
	}
	before, began := r.cpu(), time.Now()
	took, err = measure()
	s.cpu, s.seconds = r.cpu()-before, time.Since(began).Seconds()
	s.memory, s.program = r.memory()
	return took, s, err
}

// attackAs is the attacker's process.
func attackAs(name, addr string) error {
	for _, a := range attacks {
		if a.name == name {
			a.run(context.Background(), addr)
		}
	}
	return fmt.Errorf("no attack is called %s", name)
}

// run attacks until ctx ends; connections that were ended are opened again.
func (a attack) run(ctx context.Context, addr string) {
	var wg sync.WaitGroup
	for range a.conns {
		wg.Go(func() {
			tick := time.NewTicker(a.pause + rand.N(a.pause/4+1))
			defer tick.Stop()
			for ctx.Err() == nil {
				a.connection(ctx, addr, tick)
			}
		})
	}
	wg.Wait()
}

func (a attack) connection(ctx context.Context, addr string, tick *time.Ticker) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		defer c.Close()
		end := context.AfterFunc(ctx, func() { c.Close() })
		defer end()
		if a.deaf {
			c.(*net.TCPConn).SetReadBuffer(4096)
		} else {
			go func() {
				io.Copy(io.Discard, c)
				c.Close()
			}()
		}
		_, err = io.WriteString(c, a.open)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err != nil {
			return
		}
		_, err = io.WriteString(c, a.step())
	}
}
