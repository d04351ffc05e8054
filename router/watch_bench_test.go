package router

import (
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/fast"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/router/table"
)

// BenchmarkCount is what counting one request costs, alone; cpu-ns/op is true on
// a busy machine, too.
func BenchmarkCount(b *testing.B) {
	r := New(config(b, "127.0.0.1:1"), slog.New(slog.DiscardHandler))
	rec := proxy.Record{App: "shop", Release: 3, Status: 200, Duration: 1234 * time.Microsecond}
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		r.count(&rec)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkWatching_WithAndWithout serves small requests on the fast path in
// turns with and without counting, and compares the processor time of two turns
// that follow each other, now this one first and now the other: what else the
// machine does befalls both. The client's and the app's, which are in the same
// process, are in the base: what counts is the difference in nanoseconds,
// against what BENCH.md says of a request of the router alone.
func BenchmarkWatching_WithAndWithout(b *testing.B) {
	addr := app(b, says("ok"))
	const perTurn = 50
	clients := [2]func(){askThrough(b, addr, true), askThrough(b, addr, false)}
	turn := func(i int) float64 {
		before := processorTime(b)
		for range perTurn {
			clients[i]()
		}
		return float64(processorTime(b)-before) / perTurn
	}
	var without, more []float64
	for first := 0; b.Loop(); first = 1 - first {
		var took [2]float64
		took[first] = turn(first)
		took[1-first] = turn(1 - first)
		without, more = append(without, took[1]), append(more, took[0]-took[1])
	}
	b.ReportMetric(median(without), "cpu-ns-without")
	b.ReportMetric(median(more), "cpu-ns-more")
	b.ReportMetric(100*median(more)/median(without), "%")
}

// askThrough returns a client of a router's fast path that counts, or does not.
func askThrough(b *testing.B, addr string, counts bool) func() {
	r := New(config(b, "127.0.0.1:1"), slog.New(slog.DiscardHandler))
	tb, bad := table.Build(route.Version{Epoch: 1, Seq: 1}, map[string]string{"/rs/shop.local": *shop(addr).Value}, r.set.Table())
	if len(bad) > 0 {
		b.Fatal(bad)
	}
	r.set.Swap(tb)
	done := r.count
	if !counts {
		done = nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	t := time.Minute
	e, err := fast.New(fast.Config{
		Set: r.set, Intake: r.intake, HandOver: func(c net.Conn) { c.Close() }, Done: done, Loops: 1,
		Timeouts: fast.Timeouts{ReadHeader: t, ClientIdle: t, ClientStall: t, Dial: t, ResponseHeader: t, BackendIdle: t},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Serve(l.(*net.TCPListener)); err != nil {
		b.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(); l.Close(); e.Close(); r.set.Close() })
	buf := make([]byte, 4096)
	return func() {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.local\r\n\r\n")
		if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
			b.Fatalf("%q %v", buf[:n], err)
		}
	}
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
