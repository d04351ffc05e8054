package source

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// Times of the router's line.
const (
	reportEvery    = 2 * time.Second
	reportCoalesce = 25 * time.Millisecond // the leader waits for this line before it stops an instance
	reportTimeout  = time.Second
)

// Reporter writes the router's own line to Redis, so that the leader knows
// when an un-route has reached every live router.
type Reporter struct {
	redis  RedisConfig
	log    *slog.Logger
	line   func() route.RouterLine
	wake   chan struct{} // size 1
	failed bool          // the last write, so that it is said once
}

// NewReporter returns a Reporter that asks line for what to write.
func NewReporter(cfg RedisConfig, log *slog.Logger, line func() route.RouterLine) *Reporter {
	return &Reporter{redis: cfg, log: log, line: line, wake: make(chan struct{}, 1)}
}

// Wake asks for the line to be written at once; it never blocks.
func (r *Reporter) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run writes the line when woken and every two seconds, until ctx ends; then
// once more, as stopped.
func (r *Reporter) Run(ctx context.Context) error {
	c, err := r.redis.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		r.write(ctx, c, r.line())
		pause(ctx, reportCoalesce)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-r.wake:
		}
	}
	last := r.line()
	last.Stopped = true
	r.write(context.WithoutCancel(ctx), c, last)
	return nil
}

func (r *Reporter) write(ctx context.Context, c *redis.Client, l route.RouterLine) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	err := c.HSet(ctx, route.RoutersKey, l.ID, route.EncodeRouterLine(l)).Err()
	if err != nil && !r.failed {
		r.log.Warn("router line not written", "err", err)
	}
	r.failed = err != nil
}
