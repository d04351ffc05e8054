package source

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
	"github.com/dinp/dinp/test/testenv"
)

func TestReporter_WritesTheLineWhenWokenAndAtTheEnd(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRedis func() string) {
		l := newLeader(t, newRedis())
		var serves atomic.Pointer[table.Table]
		serves.Store(table.Empty())
		rep := NewReporter(RedisConfig{Addr: l.c.Options().Addr}, slog.New(slog.DiscardHandler), func() route.RouterLine {
			return route.RouterLine{ID: "r1", Addr: "10.0.0.5:80", Serves: serves.Load().Version()}
		})
		src := New(fastConfig(l.c.Options().Addr, ""), slog.New(slog.DiscardHandler), func(tb *table.Table) { serves.Store(tb); rep.Wake() })
		defer runUntilStopped(t, src.Run)()
		stop := runUntilStopped(t, rep.Run)
		l.publish(false, set("/rs/a.x", backend("a", "10.0.0.1:1")))
		testenv.Eventually(t, 10*time.Second, func() error { return lineIs(l, l.at, false) })
		stop()
		if err := lineIs(l, l.at, true); err != nil {
			t.Error(err)
		}
	})
}

func lineIs(l *leader, v route.Version, stopped bool) error {
	text, err := l.c.HGet(l.t.Context(), route.RoutersKey, "r1").Result()
	if err != nil {
		return err
	}
	line, err := route.DecodeRouterLine(text)
	if err != nil || line.Serves != v || line.Stopped != stopped {
		return fmt.Errorf("line %+v, %v; want %v, stopped %v", line, err, v, stopped)
	}
	return nil
}

func runUntilStopped(t *testing.T, run func(context.Context) error) (stop func()) {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}
