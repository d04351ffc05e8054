package router

import (
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/router/proxy"
)

// BenchmarkCount is what counting one request costs, alone; cpu-ns/op is true on
// a busy machine, too.
func BenchmarkCount(b *testing.B) {
	r := New(config(b, "127.0.0.1:1"), slog.New(slog.DiscardHandler))
	rec := proxy.Record{App: "shop", Release: 3, Status: 200, Ended: time.Now(), Duration: 1234 * time.Microsecond}
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		r.count(&rec)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
