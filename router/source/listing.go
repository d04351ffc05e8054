package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// How many keys one command reads.
const (
	scanCount = 1000
	mgetCount = 500
)

// streamStart is the cursor before the first entry of a stream.
const streamStart = "0-0"

// errMoved ends a listing during which the stream was trimmed or replaced.
var errMoved = errors.New("the stream of changes was replaced while listing")

// listing is the content of Redis at one version.
type listing struct {
	head    route.Head // zero when Redis holds no table
	entries map[string]string
	cursor  string // the last stream entry it includes
}

// readListing reads everything. SCAN sees keys of different moments, so the
// stream's end is noted before, and what was written since is replayed over
// the result: a table is never a mixture of two versions.
func readListing(ctx context.Context, c *redis.Client) (listing, error) {
	cursor, err := streamEnd(ctx, c)
	if err != nil {
		return listing{}, err
	}
	l := listing{entries: map[string]string{}, cursor: cursor}
	for _, prefix := range []string{route.BackendPrefix, route.DomainPrefix} {
		if err := readPrefix(ctx, c, prefix, l.entries); err != nil {
			return listing{}, err
		}
	}
	return l, l.catchUp(ctx, c)
}

func streamEnd(ctx context.Context, c *redis.Client) (string, error) {
	last, err := c.XRevRangeN(ctx, route.ChangesKey, "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("read the end of the stream: %w", err)
	}
	if len(last) == 0 {
		return streamStart, nil
	}
	return last[0].ID, nil
}

func readPrefix(ctx context.Context, c *redis.Client, prefix string, into map[string]string) error {
	var keys []string
	it := c.Scan(ctx, 0, prefix+"*", scanCount).Iterator()
	for it.Next(ctx) {
		keys = append(keys, it.Val())
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("scan %s: %w", prefix, err)
	}
	for len(keys) > 0 {
		n := min(len(keys), mgetCount)
		values, err := c.MGet(ctx, keys[:n]...).Result()
		if err != nil {
			return fmt.Errorf("read %s: %w", prefix, err)
		}
		for i, v := range values {
			if s, ok := v.(string); ok { // nil: deleted since the scan
				into[keys[i]] = s
			}
		}
		keys = keys[n:]
	}
	return nil
}

// catchUp reads the version together with all that was written since the
// cursor, and applies it.
func (l *listing) catchUp(ctx context.Context, c *redis.Client) error {
	var version *redis.MapStringStringCmd
	var since *redis.XMessageSliceCmd
	_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		version = p.HGetAll(ctx, route.VersionKey)
		since = p.XRange(ctx, route.ChangesKey, l.cursor, "+")
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	messages := since.Val()
	if l.cursor != streamStart {
		if len(messages) == 0 || messages[0].ID != l.cursor {
			return errMoved
		}
		messages = messages[1:]
	}
	for _, m := range messages {
		b, err := decodeMessage(m)
		if err != nil {
			return err
		}
		l.apply(b)
		l.cursor = m.ID
	}
	l.head = parseHead(version.Val())
	return nil
}

func (l *listing) apply(b route.Batch) {
	for _, ch := range b.Changes {
		if ch.Value == nil {
			delete(l.entries, ch.Key)
		} else {
			l.entries[ch.Key] = *ch.Value
		}
	}
}

// readMeant returns the batches still in the stream that were marked as meant
// and are newer than v.
func readMeant(ctx context.Context, c *redis.Client, v route.Version) ([]route.Batch, error) {
	messages, err := c.XRange(ctx, route.ChangesKey, "-", "+").Result()
	if err != nil {
		return nil, fmt.Errorf("read the stream: %w", err)
	}
	var out []route.Batch
	for _, m := range messages {
		if b, err := decodeMessage(m); err == nil && b.Meant && v.Less(b.Version) {
			out = append(out, b)
		}
	}
	return out, nil
}

func readHead(ctx context.Context, c *redis.Client) (route.Head, error) {
	m, err := c.HGetAll(ctx, route.VersionKey).Result()
	if err != nil {
		return route.Head{}, fmt.Errorf("read the version: %w", err)
	}
	return parseHead(m), nil
}

// parseHead returns zero for a head that is missing or no number: both mean that
// the leader's word is not there.
func parseHead(m map[string]string) route.Head {
	h, err := route.ParseHead(m)
	if err != nil {
		return route.Head{}
	}
	return h
}

func decodeMessage(m redis.XMessage) (route.Batch, error) {
	text, ok := m.Values["batch"].(string)
	if !ok {
		return route.Batch{}, fmt.Errorf("stream entry %s has no batch", m.ID)
	}
	return route.DecodeBatch(text)
}
