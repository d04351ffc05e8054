// Package source brings the leader's routes from Redis to the proxy, and the
// router's own line back. It remembers where the stream of changes ends, lists
// everything, applies what came meanwhile, and then follows the stream; it
// lists again on a gap, after a reconnect, and every minute.
//
// Its promise is that missing information removes nothing: Redis away, flushed,
// stale or suspiciously empty, the last good table is served on, from disk if
// need be. It is the only package of the router that knows the Redis client.
package source

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// Config of a Source. Zero times take the defaults.
type Config struct {
	Redis    RedisConfig
	Snapshot string        // file of the last good table; empty for none
	Relist   time.Duration // how often everything is listed, 60 s
	Idle     time.Duration // how long a quiet stream is waited on before the version is checked, 5 s
	Debounce time.Duration // least time between two writes of the snapshot, 1 s
}

// Bounds of the waits between attempts.
const (
	retryMin  = 50 * time.Millisecond
	retryMax  = 2 * time.Second
	relistMin = 200 * time.Millisecond // between two listings, however many gaps there are
)

// Status is what a Source knows of itself.
type Status struct {
	Connected bool              // the last exchange with Redis went well
	Serves    route.Version     // acknowledged: all of it is done
	Follows   route.Version     // the last version read from Redis
	Held      bool              // a mass withdrawal is being held back
	Refusals  map[string]uint64 // lists and batches not simply taken, by reason
	BadValues uint64            // values that could not be read
	Lists     uint64            // listings read
}

// Source follows Redis. Make it with New; Load and Run once each.
type Source struct {
	cfg  Config
	log  *slog.Logger
	swap func(*table.Table)
	save *saver

	read   func(context.Context, *redis.Client) (listing, error)
	sweeps sync.WaitGroup

	keep   *Keeper // touched by Load, and after it by Run's goroutine only
	sweep  *sweep  // under way, or nil
	cursor string
	listAt time.Time     // when the next listing is due
	listed time.Time     // when the last one was read
	ahead  route.Version // Redis' version at the last quiet check, if newer than ours
	quiet  verdict       // the last trouble logged, so that it is said once
	away   bool          // Redis' absence was logged

	mu     sync.Mutex // guards status
	status Status
	up     atomic.Bool // connected
}

// New returns a Source that hands each table to be served to swap, one after
// the other. It does nothing yet.
func New(cfg Config, log *slog.Logger, swap func(*table.Table)) *Source {
	setDefault(&cfg.Relist, time.Minute)
	setDefault(&cfg.Idle, 5*time.Second)
	setDefault(&cfg.Debounce, time.Second)
	return &Source{
		cfg: cfg, log: log, swap: swap, keep: NewKeeper(), save: newSaver(cfg.Snapshot, cfg.Debounce, log),
		read: readListing, cursor: streamStart, status: Status{Refusals: map[string]uint64{}},
	}
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// Status returns a copy of the present status.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.status
	out.Connected = s.up.Load()
	out.Refusals = make(map[string]uint64, len(s.status.Refusals))
	for k, v := range s.status.Refusals {
		out.Refusals[k] = v
	}
	return out
}

// Load serves the table on disk and reports whether there was one. A file that
// is missing or broken is no reason not to start.
func (s *Source) Load() bool {
	t, err := loadSnapshot(s.cfg.Snapshot)
	if err != nil {
		s.log.Error("route snapshot unusable", "err", err)
		return false
	}
	if t == nil {
		return false
	}
	s.keep.Restore(t)
	s.serve()
	hosts, domains := t.Len()
	s.log.Info("route snapshot loaded", "version", t.Version().String(), "hosts", hosts, "domains", domains)
	return true
}

// Run follows Redis until ctx ends, and saves the last table before it returns.
func (s *Source) Run(ctx context.Context) error {
	client, err := s.cfg.Redis.Open()
	if err != nil {
		return err
	}
	// A blocked read does not look at ctx: closing the client ends it.
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer func() { stop(); client.Close() }()
	var saving sync.WaitGroup
	saving.Go(func() { s.save.run(ctx) })
	defer saving.Wait()

	for failures := 0; ctx.Err() == nil; failures++ {
		if err := s.session(ctx, client, &failures); err != nil && ctx.Err() == nil {
			s.lostRedis(err)
		}
		pause(ctx, backoff(failures))
	}
	return nil
}

// backoff doubles with each failure in a row; the jitter keeps many routers
// from coming back to a restarted Redis in step.
func backoff(failures int) time.Duration {
	d := retryMin << min(failures, 10)
	return time.Duration((0.5 + rand.Float64()/2) * float64(min(d, retryMax)))
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// session lists and follows until something goes wrong. It clears failures
// once Redis has answered.
func (s *Source) session(ctx context.Context, c *redis.Client, failures *int) error {
	defer s.sweeps.Wait()
	defer s.stopSweep()
	s.listAt = time.Time{}
	for ctx.Err() == nil {
		switch {
		case s.listAt.IsZero():
			if err := s.list(ctx, c); err != nil {
				return err
			}
			*failures = 0
		case !time.Now().Before(s.listAt):
			s.startSweep(ctx, c)
			s.listAt = s.nextList()
		}
		if err := s.follow(ctx, c); err != nil {
			return err
		}
		s.endSweep(ctx, c)
	}
	return ctx.Err()
}

// nextList is when the next sweep is due; routers that started together drift apart.
func (s *Source) nextList() time.Time {
	return time.Now().Add(max(relistMin, time.Duration((0.9+rand.Float64()/5)*float64(s.cfg.Relist))))
}

// list reads all of Redis and lets the keeper judge it: at the start, after a
// gap, and when the stream says too little. What is read every minute is swept.
func (s *Source) list(ctx context.Context, c *redis.Client) error {
	s.stopSweep()
	pause(ctx, time.Until(s.listed.Add(relistMin)))
	s.listed = time.Now()
	if waits, err := s.awaitsWhole(ctx, c); waits || err != nil {
		return err
	}
	l, err := s.read(ctx, c)
	s.listed = time.Now()
	if errors.Is(err, errMoved) {
		return nil // still due
	}
	if err != nil {
		return err
	}
	s.listAt = s.nextList()
	s.cursor = l.cursor
	s.foundRedis()
	out := s.keep.List(l.head, l.entries, func() []route.Batch { return s.meant(ctx, c) })
	s.settle(out, "list", l.head.Version)
	return nil
}

// awaitsWhole reports whether Redis holds the beginning of a table that lacks some of
// what is served: it need not be read then, which each of its parts would bring about.
func (s *Source) awaitsWhole(ctx context.Context, c *redis.Client) (bool, error) {
	cursor, err := streamEnd(ctx, c)
	if err != nil {
		return false, err
	}
	head, err := readHead(ctx, c)
	if err != nil || s.keep.past(head) != forgetful {
		return false, err
	}
	s.cursor, s.listAt = cursor, s.nextList()
	s.foundRedis()
	s.settle(Outcome{verdict: forgetful}, "head", head.Version)
	return true, nil
}

func (s *Source) meant(ctx context.Context, c *redis.Client) []route.Batch {
	meant, err := readMeant(ctx, c, s.keep.served.Version())
	if err != nil { // unknown is not meant; the next listing asks again
		s.log.Warn("stream unreadable", "err", err)
	}
	return meant
}

// follow waits for one read of the stream and applies what came.
func (s *Source) follow(ctx context.Context, c *redis.Client) error {
	block := s.untilNext()
	limited, cancel := context.WithTimeout(ctx, block+ioTimeout)
	defer cancel()
	streams, err := c.XRead(limited, &redis.XReadArgs{
		Streams: []string{route.ChangesKey, s.cursor}, Count: 256, Block: block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return s.checkVersion(ctx, c)
	}
	if err != nil {
		return err
	}
	s.ahead = route.Version{}
	for _, m := range streams[0].Messages {
		s.cursor = m.ID
		b, err := decodeMessage(m)
		out := Outcome{verdict: gap} // an unreadable batch is a lost one
		if err == nil {
			if out = s.keep.Batch(b); out.verdict != gap && out.verdict != repeated {
				s.note(b)
			}
		}
		s.settle(out, "batch", b.Version)
		if out.verdict == gap {
			s.listAt = time.Time{}
			return nil
		}
	}
	return nil
}

// checkVersion notices on a quiet stream that Redis was flushed or replaced.
func (s *Source) checkVersion(ctx context.Context, c *redis.Client) error {
	head, err := readHead(ctx, c)
	if err != nil {
		return err
	}
	at, v := s.keep.wanted.Version(), head.Version
	no := s.keep.past(head)
	switch {
	case no != "":
		s.settle(Outcome{verdict: no}, "check", v)
	case at.Less(v) && s.ahead == (route.Version{}):
		// Its batch may have come since the read. Once more, then: a list of a
		// replica that lost writes is worse than the batch alone.
		s.ahead = v
		return nil
	case at.Less(v):
		s.listAt = time.Time{}
	}
	s.ahead = route.Version{}
	return nil
}
