package publish

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// Table is the store that routes are written to; the functions are atomic each.
type Table interface {
	// Head says what the table is; it is zero when there is none: the store is new or
	// was flushed.
	Head(ctx context.Context) (route.Head, error)
	// Read returns all keys with their values.
	Read(ctx context.Context) (map[string]string, error)
	// Write applies a batch iff it is newer than the version in force
	// (ErrOldVersion), and, with after, iff that is the version in force (ErrGap).
	// After any other error it may have been written, or not.
	Write(ctx context.Context, b route.Batch, after *route.Version) error
	// Routers returns every router's line.
	Routers(ctx context.Context) ([]route.RouterLine, error)
}

// What a Table answers.
var (
	ErrOldVersion = errors.New("a newer version is in force")
	ErrGap        = errors.New("redis lost the last write")
)

// Redis is the client of a Redis, or of its Sentinels.
type Redis = redis.UniversalClient

// RedisTable is a Table in Redis.
type RedisTable struct{ rdb Redis }

// deadline is how long one exchange with Redis may take: of a table that is read or
// written in many, each has its own.
const deadline = 5 * time.Second

// NewRedisTable makes the table in rdb.
func NewRedisTable(rdb Redis) *RedisTable { return &RedisTable{rdb: rdb} }

// fenced applies one batch, and keeps the table's route.Head: a term's first write
// of a part notes the version that it found, and what that one's own part was based
// on if it was one; the first write of a whole table takes the note away. It refuses an (epoch, seq) that is not newer than
// the one in force, and, for writes that build on the last one, a table that is
// not the one we left. Numbers are compared as zero-padded text: Lua's are
// doubles and would round an epoch.
//
// KEYS: version, changes. ARGV: epoch, seq, expected version or "", batch JSON,
// stream length, "partial", "anew" or "", then key, op (set|del), value for each change.
var fenced = redis.NewScript(`
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local seq = redis.call('HGET', KEYS[1], 'seq')
local function pad(s) return string.rep('0', 20 - #s) .. s end
local function newer(a, b, c, d)
  if pad(a) ~= pad(b) then return pad(a) > pad(b) end
  return pad(c) > pad(d)
end
if epoch and not newer(ARGV[1], epoch, ARGV[2], seq) then return 'old' end
if ARGV[3] ~= '' and (not epoch or (epoch .. '.' .. seq) ~= ARGV[3]) then return 'gap' end
for i = 7, #ARGV, 3 do
  if ARGV[i+1] == 'set' then redis.call('SET', ARGV[i], ARGV[i+2]) else redis.call('DEL', ARGV[i]) end
end
if ARGV[6] == '' then
  redis.call('HDEL', KEYS[1], 'partial', 'base', 'found')
elseif ARGV[6] == 'anew' then
  redis.call('HSET', KEYS[1], 'partial', ARGV[1], 'base', '` + route.Nothing.String() + `')
  redis.call('HDEL', KEYS[1], 'found')
elseif epoch and epoch ~= ARGV[1] then
  local found = epoch .. '.' .. seq
  if redis.call('HGET', KEYS[1], 'partial') == epoch then
    redis.call('HSET', KEYS[1], 'partial', ARGV[1], 'found', found)
  else
    redis.call('HSET', KEYS[1], 'partial', ARGV[1], 'base', found)
    redis.call('HDEL', KEYS[1], 'found')
  end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'batch', ARGV[4])
return 'ok'
`)

// Head implements Table.
func (t *RedisTable) Head(ctx context.Context) (route.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	fields, err := t.rdb.HGetAll(ctx, route.VersionKey).Result()
	if err != nil {
		return route.Head{}, err
	}
	return route.ParseHead(fields)
}

// Write implements Table.
func (t *RedisTable) Write(ctx context.Context, b route.Batch, after *route.Version) error {
	expected := ""
	if after != nil {
		expected = after.String()
	}
	partial := ""
	if b.Partial {
		partial = "partial"
	}
	if b.Anew {
		partial = "anew"
	}
	args := []any{b.Epoch, b.Seq, expected, route.EncodeBatch(b), route.ChangesLength, partial}
	for _, c := range b.Changes {
		if c.Value == nil {
			args = append(args, c.Key, "del", "")
		} else {
			args = append(args, c.Key, "set", *c.Value)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	answer, err := fenced.Run(ctx, t.rdb, []string{route.VersionKey, route.ChangesKey}, args...).Text()
	switch {
	case err != nil:
		return err
	case answer == "gap":
		return ErrGap
	case answer == "old":
		return ErrOldVersion
	}
	return nil
}

// Routers implements Table.
func (t *RedisTable) Routers(ctx context.Context) ([]route.RouterLine, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	all, err := t.rdb.HGetAll(ctx, route.RoutersKey).Result()
	if err != nil {
		return nil, err
	}
	lines := make([]route.RouterLine, 0, len(all))
	for _, s := range all {
		if l, err := route.DecodeRouterLine(s); err == nil {
			lines = append(lines, l)
		}
	}
	return lines, nil
}

// How many keys one exchange lists, and of how many it reads the values.
const (
	scanCount = 1000
	mgetCount = 100
)

// Read implements Table.
func (t *RedisTable) Read(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, prefix := range []string{route.BackendPrefix, route.DomainPrefix} {
		keys, err := t.keys(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for chunk := range slices.Chunk(keys, mgetCount) {
			if err := t.values(ctx, chunk, out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (t *RedisTable) keys(ctx context.Context, prefix string) (out []string, err error) {
	for cursor := uint64(0); ; {
		var some []string
		if some, cursor, err = t.scan(ctx, cursor, prefix); err != nil {
			return nil, err
		}
		for _, k := range some {
			if strings.HasPrefix(k, prefix) {
				out = append(out, k)
			}
		}
		if cursor == 0 {
			return out, nil
		}
	}
}

func (t *RedisTable) scan(ctx context.Context, cursor uint64, prefix string) ([]string, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return t.rdb.Scan(ctx, cursor, prefix+"*", scanCount).Result()
}

func (t *RedisTable) values(ctx context.Context, keys []string, into map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	values, err := t.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return err
	}
	for i, v := range values {
		if s, ok := v.(string); ok { // nil: deleted since
			into[keys[i]] = s
		}
	}
	return nil
}
