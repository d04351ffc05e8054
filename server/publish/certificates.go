package publish

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// Certificates is what routers answer HTTPS with, in Redis. Everything in it
// was sealed before.
type Certificates struct{ rdb Redis }

// NewCertificates makes the set in rdb.
func NewCertificates(rdb Redis) *Certificates { return &Certificates{rdb: rdb} }

// certsFenced replaces the whole set. It refuses an (epoch, seq) that is not
// newer than the one in force, as the routes' script does.
//
// KEYS: version. ARGV: epoch, seq, count, number of keys to delete, those keys,
// then key, value for each certificate.
var certsFenced = redis.NewScript(`
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local seq = redis.call('HGET', KEYS[1], 'seq')
local function pad(s) return string.rep('0', 20 - #s) .. s end
if epoch and pad(epoch) .. pad(seq) >= pad(ARGV[1]) .. pad(ARGV[2]) then return 'old' end
local gone = tonumber(ARGV[4])
for i = 5, 4 + gone do redis.call('DEL', ARGV[i]) end
for i = 5 + gone, #ARGV, 2 do redis.call('SET', ARGV[i], ARGV[i+1]) end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', ARGV[2], 'count', ARGV[3])
return 'ok'
`)

// Version returns the version of the set in force, the zero one when there is
// none.
func (c *Certificates) Version(ctx context.Context) (v route.Version, err error) {
	there, err := c.rdb.HMGet(ctx, route.CertVersionKey, "epoch", "seq").Result()
	if err != nil || there[0] == nil || there[1] == nil {
		return v, err
	}
	if _, err := fmt.Sscan(fmt.Sprintln(there...), &v.Epoch, &v.Seq); err != nil {
		return v, fmt.Errorf("certificates' version unreadable: %w", err)
	}
	return v, nil
}

// Write makes sealed, by host, the whole set, as version v. It returns
// ErrOldEpoch when a newer leader has written.
func (c *Certificates) Write(ctx context.Context, v route.Version, sealed map[string]string) error {
	gone, err := c.gone(ctx, sealed)
	if err != nil {
		return err
	}
	args := []any{v.Epoch, v.Seq, len(sealed), len(gone)}
	args = append(args, gone...)
	for host, text := range sealed {
		args = append(args, route.CertPrefix+host, text)
	}
	answer, err := certsFenced.Run(ctx, c.rdb, []string{route.CertVersionKey}, args...).Text()
	if err != nil {
		return fmt.Errorf("write certificates: %w", err)
	}
	if answer != "ok" {
		return ErrOldEpoch
	}
	return nil
}

// gone lists the keys of certificates that are no more.
func (c *Certificates) gone(ctx context.Context, sealed map[string]string) ([]any, error) {
	var out []any
	it := c.rdb.Scan(ctx, 0, route.CertPrefix+"*", 500).Iterator()
	for it.Next(ctx) {
		if _, ok := sealed[strings.TrimPrefix(it.Val(), route.CertPrefix)]; !ok {
			out = append(out, it.Val())
		}
	}
	return out, it.Err()
}

// PutChallenge lets every router answer an ACME challenge for a while.
func (c *Certificates) PutChallenge(ctx context.Context, token, answer string, life time.Duration) error {
	return c.rdb.Set(ctx, route.ChallengePrefix+token, answer, life).Err()
}

// EndChallenge takes it back.
func (c *Certificates) EndChallenge(ctx context.Context, token string) error {
	return c.rdb.Del(ctx, route.ChallengePrefix+token).Err()
}
