package publish

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/test/testenv"
)

// BenchmarkPublish writes a table of 1,000,000 instances into an empty Redis, in parts
// of several sizes, and at last in one, and tells for how long one write kept Redis from
// all others: by its own clock (SLOWLOG) and by that of one who asks it all the time.
func BenchmarkPublish(b *testing.B) {
	changes := manyRoutes(20_000, 50)
	for _, size := range []int{64 << 10, 256 << 10, 1 << 20, 1 << 40} {
		name := fmt.Sprintf("part=%dKiB", size>>10)
		if size == 1<<40 {
			name = "part=all"
		}
		b.Run(name, func(b *testing.B) {
			rdb := redis.NewClient(&redis.Options{Addr: testenv.Redis(b), DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true, ReadTimeout: time.Minute, WriteTimeout: time.Minute})
			defer rdb.Close()
			rdb.ConfigSet(b.Context(), "slowlog-log-slower-than", "100")
			rdb.ConfigSet(b.Context(), "slowlog-max-len", "100000")
			for b.Loop() {
				rdb.FlushAll(b.Context())
				cfg := DefaultConfig()
				cfg.Part = size
				p := New(cfg, NewRedisTable(rdb), 1, time.Now, slog.New(slog.DiscardHandler), func() {})
				p.Set(changes)
				p.Complete()
				rdb.Do(b.Context(), "SLOWLOG", "RESET")
				waited, failed := askedMeanwhile(b, rdb, func() (failed int) {
					for !p.whole {
						if p.Round(b.Context()); !p.synced {
							failed++
						}
					}
					return failed
				})
				slowest := time.Duration(0)
				for _, l := range rdb.SlowLogGet(b.Context(), -1).Val() {
					slowest = max(slowest, l.Duration)
				}
				b.ReportMetric(float64(slowest.Microseconds())/1000, "ms-slowest")
				b.ReportMetric(float64(waited.Microseconds())/1000, "ms-waited")
				b.ReportMetric(float64(p.seq), "writes")
				b.ReportMetric(float64(failed), "failed")
			}
		})
	}
}

// manyRoutes are the backends of so many apps with so many instances each.
func manyRoutes(apps, instances int) (out []route.Change) {
	for a := range apps {
		backend := route.Backend{App: fmt.Sprintf("app%d", a)}
		for i := range instances {
			backend.Endpoints = append(backend.Endpoints, route.Endpoint{
				Addr: fmt.Sprintf("10.%d.%d.%d:32768", i, a>>8, a&255), Instance: fmt.Sprintf("%08x-1d2c-4a8e-9c1f-%012x", a, i), Release: 7, Weight: route.NormalWeight,
			})
		}
		text := route.EncodeBackend(backend)
		out = append(out, route.Change{Key: fmt.Sprintf("%sapp%d.apps.example.com", route.BackendPrefix, a), Value: &text})
	}
	return out
}

// askedMeanwhile asks Redis again and again, as a router does, while do goes on, and
// returns the longest time that it waited for an answer.
func askedMeanwhile(b *testing.B, rdb *redis.Client, do func() int) (longest time.Duration, failed int) {
	ctx, cancel := context.WithCancel(b.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			rdb.HGetAll(ctx, route.VersionKey)
			if ctx.Err() == nil {
				longest = max(longest, time.Since(began))
			}
		}
	})
	failed = do()
	cancel()
	asking.Wait()
	return longest, failed
}
