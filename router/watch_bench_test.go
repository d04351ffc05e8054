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

// BenchmarkCount is what counting one request costs, alone.
func BenchmarkCount(b *testing.B) {
	r := New(config(b, "127.0.0.1:1"), slog.New(slog.DiscardHandler))
	rec := proxy.Record{App: "shop", Release: 3, Status: 200, Duration: 1234 * time.Microsecond}
	b.ReportAllocs()
	for b.Loop() {
		r.count(&rec)
	}
}

// BenchmarkWatching_WithAndWithout serves small requests on the fast path in
// turns with and without counting, and compares the processor time. That of the
// client and of the app, which are in the same process, is in the base: what
// counts is the difference in nanoseconds.
func BenchmarkWatching_WithAndWithout(b *testing.B) {
	addr := app(b, says("ok"))
	const perTurn = 500
	clients := []func(){askThrough(b, addr, true), askThrough(b, addr, false)}
	var took [2][]float64
	for b.Loop() {
		for i, ask := range clients {
			before := processorTime(b)
			for range perTurn {
				ask()
			}
			took[i] = append(took[i], float64(processorTime(b)-before)/perTurn)
		}
	}
	with, without := median(took[0]), median(took[1])
	b.ReportMetric(with, "cpu-ns-with")
	b.ReportMetric(without, "cpu-ns-without")
	b.ReportMetric(100*(with-without)/without, "%")
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
