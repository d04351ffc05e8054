package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// certsEvery is how often Redis is asked for the certificates' version.
const certsEvery = 2 * time.Second

// Taker gets certificates; cert.Keeper is one.
type Taker interface {
	Wants(route.Version) bool
	Publish(v route.Version, sealed map[string]string)
}

// Certs follows the certificates in Redis, and looks up the answers to ACME
// challenges there. Redis away or empty takes no certificate away.
type Certs struct {
	redis RedisConfig
	log   *slog.Logger
	to    Taker
	every time.Duration
	asks  chan ask
	quiet bool // the last round failed, and that was said
}

// NewCerts returns a Certs that gives what it reads to to. With nil for to it
// looks up challenges alone, as a router without HTTPS does.
func NewCerts(cfg RedisConfig, log *slog.Logger, to Taker) *Certs {
	return &Certs{redis: cfg, log: log, to: to, every: certsEvery, asks: make(chan ask)}
}

// Run follows until ctx ends.
func (s *Certs) Run(ctx context.Context) error {
	c, err := s.redis.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for ctx.Err() == nil {
		err := s.round(ctx, c)
		if err != nil && !s.quiet && ctx.Err() == nil {
			s.log.Warn("certificates not read", "err", err)
		}
		s.quiet = err != nil
		s.wait(ctx, c, tick.C)
	}
	return nil
}

// wait answers questions until the next round is due.
func (s *Certs) wait(ctx context.Context, c *redis.Client, due <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-due:
			return
		case a := <-s.asks:
			a.answer <- challenge(ctx, c, a.token)
		}
	}
}

// errMovedCerts says that the set changed while it was read.
var errMovedCerts = errors.New("the certificates changed while they were read")

// round reads all certificates when their version is new to us.
func (s *Certs) round(ctx context.Context, c *redis.Client) error {
	if s.to == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	v, count, err := certsVersion(ctx, c)
	if err != nil || !s.to.Wants(v) {
		return err
	}
	sealed, err := readCerts(ctx, c)
	if err != nil {
		return err
	}
	after, _, err := certsVersion(ctx, c)
	if err != nil {
		return err
	}
	if after != v || len(sealed) != count {
		return errMovedCerts
	}
	s.to.Publish(v, sealed)
	return nil
}

func certsVersion(ctx context.Context, c *redis.Client) (v route.Version, count int, err error) {
	there, err := c.HMGet(ctx, route.CertVersionKey, "epoch", "seq", "count").Result()
	if err != nil || there[0] == nil || there[1] == nil || there[2] == nil {
		return v, 0, err
	}
	if _, err := fmt.Sscan(fmt.Sprintln(there...), &v.Epoch, &v.Seq, &count); err != nil {
		return v, 0, fmt.Errorf("certificates' version unreadable: %w", err)
	}
	return v, count, nil
}

func readCerts(ctx context.Context, c *redis.Client) (map[string]string, error) {
	sealed := map[string]string{}
	var keys []string
	it := c.Scan(ctx, 0, route.CertPrefix+"*", 500).Iterator()
	for it.Next(ctx) {
		keys = append(keys, it.Val())
	}
	if err := it.Err(); err != nil || len(keys) == 0 {
		return sealed, err
	}
	values, err := c.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		if text, ok := values[i].(string); ok {
			sealed[strings.TrimPrefix(k, route.CertPrefix)] = text
		}
	}
	return sealed, nil
}

// ask is a question for the answer to a challenge.
type ask struct {
	token  string
	answer chan string // size 1; gets "" when there is none
}

// challengeTimeout bounds one look-up.
const challengeTimeout = time.Second

// Challenge returns the answer to the ACME challenge of a token, and "" when
// Redis has none. Look-ups go one by one, so that a flood of made-up tokens
// burdens Redis no more than one client does.
func (s *Certs) Challenge(ctx context.Context, token string) string {
	if !route.IsToken(token) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, challengeTimeout)
	defer cancel()
	a := ask{token, make(chan string, 1)}
	select {
	case s.asks <- a:
	case <-ctx.Done():
		return ""
	}
	select {
	case text := <-a.answer:
		return text
	case <-ctx.Done():
		return ""
	}
}

func challenge(ctx context.Context, c *redis.Client, token string) string {
	ctx, cancel := context.WithTimeout(ctx, challengeTimeout)
	defer cancel()
	text, err := c.Get(ctx, route.ChallengePrefix+token).Result()
	if err != nil {
		return "" // none, or Redis is away: the authority asks again
	}
	return text
}
