package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
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
// after the other misbehaves. Each round begins with a calm time of its own: on a
// shared machine a tail of one moment says nothing about that of another.
func (b *bench) misbehave(ctx context.Context) error {
	fmt.Fprintf(b.out, "\nanother app's answers at %d requests/s while a client misbehaves, medians of %d rounds\n  %-10s %-16s %10s %10s %9s %9s\n",
		victimRate, b.rounds, "", "", "p50", "p99", "memory", "CPU")
	for _, p := range peers {
		if (p.name != "dinp" && p.name != "nginx" && !strings.HasPrefix(p.name, "beside")) || !chosen(b.peers, p.name) {
			continue
		}
		if err := b.misbehaveBefore(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// misbehaveBefore has one peer suffer all chosen attacks, round after round.
func (b *bench) misbehaveBefore(ctx context.Context, p peer) error {
	r, err := b.launch(ctx, p, setting{})
	if err != nil {
		return err
	}
	defer r.stop()
	all := []*suffering{{attack: attack{name: "nobody"}}}
	for _, a := range attacks {
		if chosen(b.attacks, a.name) {
			all = append(all, &suffering{attack: a})
		}
	}
	for range b.rounds {
		for _, s := range all {
			if err := b.suffer(ctx, r, s); err != nil {
				return fmt.Errorf("%s, %s: %w", p.name, s.name, err)
			}
		}
	}
	calm := all[0]
	for _, s := range all {
		note := fmt.Sprint("   rounds ", short(s.p99))
		if s.conns > 0 && p.name != "nginx" {
			times := s.times(calm)
			note = fmt.Sprintf("   %.1f times, to reach: ≤ 2: %s;%s", times, verdict(times <= 2), note)
		}
		fmt.Fprintf(b.out, "  %-10s %-16s %10v %10v %6.1f MB %7.0f %%%s\n", p.name, s.name, shorter(median(s.p50)), shorter(median(s.p99)),
			float64(s.memory)/(1<<20), 100*s.cpu.Seconds()/s.seconds, note)
	}
	return nil
}

// suffering is what an attack did to the other app, a round each; memory is the
// most, cpu and seconds are sums.
type suffering struct {
	attack
	p50, p99 []time.Duration
	sample
}

// times is how many times the calm's tail that of the attack is: the median of
// the rounds, each against the calm time of its own.
func (s *suffering) times(calm *suffering) float64 {
	all := make([]float64, len(s.p99))
	for i := range all {
		all[i] = float64(s.p99[i]) / float64(calm.p99[i])
	}
	slices.Sort(all)
	return all[len(all)/2]
}

const victimConns, victimRate = 16, 400

// suffer measures one round while a process of its own attacks, whose own need of
// processor time is not to be what is measured: it runs at a lower priority.
func (b *bench) suffer(ctx context.Context, r *running, s *suffering) error {
	if s.conns > 0 {
		attacker, err := start(ctx, filepath.Join(r.dir, "attacker.log"), b.self, "attack", s.name, r.addr)
		if err != nil {
			return err
		}
		defer attacker.stop()
		syscall.Setpriority(syscall.PRIO_PROCESS, attacker.cmd.Process.Pid, 5)
		time.Sleep(time.Second) // for all of its connections to stand
	}
	before, began := r.cpu(), time.Now()
	took, err := paced(ctx, victimConns, false, []string{workload{}.request(quiet, "/")}, r.addr, victimRate, b.seconds)
	s.cpu += r.cpu() - before
	s.seconds += time.Since(began).Seconds()
	memory, _ := r.memory()
	s.memory = max(s.memory, memory)
	s.p50, s.p99 = append(s.p50, percentile(took, 50)), append(s.p99, percentile(took, 99))
	return err
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
