package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/test/testenv"
)

// eachRedis runs a test on the embedded store and on a real Redis.
func eachRedis(t *testing.T, f func(t *testing.T, rdb *redis.Client)) {
	for name, addr := range map[string]func(t *testing.T) string{
		"embedded": func(t *testing.T) string { return miniredis.RunT(t).Addr() },
		"redis":    func(t *testing.T) string { return testenv.Redis(t) },
	} {
		t.Run(name, func(t *testing.T) {
			rdb := redis.NewClient(&redis.Options{Addr: addr(t)})
			t.Cleanup(func() { rdb.Close() })
			f(t, rdb)
		})
	}
}

func quick() Config {
	return Config{Republish: 300 * time.Millisecond, Watch: 5 * time.Millisecond, Idle: 50 * time.Millisecond, Patience: 400 * time.Millisecond}
}

// publisher runs one until the test ends.
func publisher(t *testing.T, rdb *redis.Client, epoch int64) *Publisher {
	t.Helper()
	p := New(quick(), NewRedisTable(rdb), epoch, time.Now, slog.New(slog.DiscardHandler), func() {})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

func set(key, value string) route.Change { return route.Change{Key: key, Value: &value} }

func wants(t *testing.T, rdb *redis.Client, want map[string]string) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() error {
		got := map[string]string{}
		keys, err := rdb.Keys(t.Context(), "/*").Result()
		if err != nil {
			return err
		}
		for _, k := range keys {
			if strings.HasPrefix(k, route.BackendPrefix) || strings.HasPrefix(k, route.DomainPrefix) {
				got[k] = rdb.Get(t.Context(), k).Val()
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

func TestPublisher_WritesChangesAndHealsAFlush(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := publisher(t, rdb, 7)
		p.Set([]route.Change{set("/rs/a.test", "1"), set("/rs/b.test", "2")})
		p.Complete()
		wants(t, rdb, map[string]string{"/rs/a.test": "1", "/rs/b.test": "2"})
		p.Set([]route.Change{set("/rs/a.test", "3"), {Key: "/rs/b.test"}})
		wants(t, rdb, map[string]string{"/rs/a.test": "3"})
		rdb.FlushAll(t.Context())
		wants(t, rdb, map[string]string{"/rs/a.test": "3"})
		rdb.FlushAll(t.Context())
		p.Set([]route.Change{set("/cname/www.a", "a.test")})
		wants(t, rdb, map[string]string{"/rs/a.test": "3", "/cname/www.a": "a.test"})
	})
}

// Redis fails over to a replica that has not got the last write: no router has
// seen it, and none will.
func TestPublisher_WritesAnewWhatAFailoverOfRedisHasLost(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := New(DefaultConfig(), NewRedisTable(rdb), 1, time.Now, slog.New(slog.DiscardHandler), func() {})
		p.Complete()
		for _, v := range []string{"1", "2"} {
			p.Set([]route.Change{set("/rs/a.test", v)})
			p.Round(t.Context())
		}
		lost, err := p.table.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rdb.Set(t.Context(), "/rs/a.test", "1", 0)
		rdb.HSet(t.Context(), route.VersionKey, "seq", lost.Seq-1)
		p.Round(t.Context())
		wants(t, rdb, map[string]string{"/rs/a.test": "2"})
		if now, err := p.table.Head(t.Context()); err != nil || !lost.Less(now.Version) {
			t.Errorf("version %s after the loss of %s, %v: routers that have seen it would refuse this one", now, lost, err)
		}
	})
}

func TestPublisher_KeepsWhatIsThereUntilTheTableIsComplete(t *testing.T) { // DEFECTS 46
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		old := publisher(t, rdb, 1)
		old.Set([]route.Change{set("/rs/stale.test", "x"), set("/rs/a.test", "1")})
		old.Complete()
		wants(t, rdb, map[string]string{"/rs/stale.test": "x", "/rs/a.test": "1"})
		p := publisher(t, rdb, 2)
		p.Set([]route.Change{set("/rs/a.test", "2")})
		wants(t, rdb, map[string]string{"/rs/stale.test": "x", "/rs/a.test": "2"})
		p.Complete()
		p.Set([]route.Change{set("/rs/c.test", "4")})
		wants(t, rdb, map[string]string{"/rs/a.test": "2", "/rs/c.test": "4"})
	})
}

func TestPublisher_WritesNothingIntoAnEmptyRedisBeforeTheTableIsComplete(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		p := New(quick(), NewRedisTable(rdb), 1, time.Now, slog.New(slog.DiscardHandler), func() {})
		p.Set([]route.Change{set("/rs/a.test", "1")})
		p.Round(t.Context())
		if n, err := rdb.DBSize(t.Context()).Result(); err != nil || n != 0 {
			t.Fatalf("%d keys, %v", n, err)
		}
		p.Complete()
		p.Round(t.Context())
		wants(t, rdb, map[string]string{"/rs/a.test": "1"})
	})
}

func (p *Publisher) head(t *testing.T, rdb *redis.Client) route.Head {
	t.Helper()
	h, err := route.ParseHead(rdb.HGetAll(t.Context(), route.VersionKey).Val())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// once is a publisher that goes round when it is told.
func once(rdb *redis.Client, epoch int64) *Publisher {
	return New(DefaultConfig(), NewRedisTable(rdb), epoch, time.Now, slog.New(slog.DiscardHandler), func() {})
}

func TestPublisher_TheBeginningOfATermSaysOnWhichTableItGoesOn(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		old := once(rdb, 1)
		old.Set([]route.Change{set("/rs/a.test", "1")})
		old.Complete()
		old.Round(t.Context())
		if h := old.head(t, rdb); h != (route.Head{Version: route.Version{Epoch: 1, Seq: 1}}) {
			t.Fatalf("a whole table: %+v", h)
		}
		for epoch := int64(2); epoch < 4; epoch++ { // the second begins on the first's beginning
			p := once(rdb, epoch)
			p.Set([]route.Change{set("/rs/a.test", fmt.Sprint(epoch))})
			p.Round(t.Context())
			p.Set([]route.Change{set("/rs/b.test", fmt.Sprint(epoch))})
			p.Round(t.Context())
			want := route.Head{Version: route.Version{Epoch: epoch, Seq: 2}, Base: route.Version{Epoch: 1, Seq: 1}}
			if epoch == 3 {
				want.Found = route.Version{Epoch: 2, Seq: 2}
			}
			if h := p.head(t, rdb); h != want {
				t.Fatalf("the beginning of term %d: %+v, want %+v", epoch, h, want)
			}
			if epoch == 3 {
				p.Complete() // that alone is to be written, at once
				p.Round(t.Context())
				if h := p.head(t, rdb); h != (route.Head{Version: route.Version{Epoch: 3, Seq: 3}}) {
					t.Errorf("the whole table: %+v", h)
				}
				p.Round(t.Context())
				if h := p.head(t, rdb); h.Seq != 3 {
					t.Errorf("written again: %+v", h)
				}
			}
		}
	})
}

// A server from before writes nothing of it, and leaves what it finds.
func TestPublisher_TheNoteOfABeginningIsOfItsOwnTermOnly(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		rdb.HSet(t.Context(), route.VersionKey, "epoch", 5, "seq", 8, "partial", 4, "base", "3.7")
		p := once(rdb, 6)
		p.Round(t.Context())
		if h, want := p.head(t, rdb), (route.Head{Version: route.Version{Epoch: 6, Seq: 1}, Base: route.Version{Epoch: 5, Seq: 8}}); h != want {
			t.Errorf("%+v, want %+v", h, want)
		}
	})
}

// Redis fails over to a replica that has nothing of this term: what it holds is
// not what the term began on.
func TestPublisher_ABeginningThatRedisHasLostIsNotWrittenAgainBeforeTheTableIsComplete(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		old := once(rdb, 1)
		old.Set([]route.Change{set("/rs/a.test", "1"), set("/rs/b.test", "1")})
		old.Complete()
		old.Round(t.Context())
		p := once(rdb, 2)
		p.Set([]route.Change{set("/rs/a.test", "2")})
		p.Round(t.Context())
		rdb.FlushAll(t.Context())
		lagging := route.Head{Version: route.Version{Epoch: 1, Seq: 1}}
		rdb.HSet(t.Context(), route.VersionKey, "epoch", 1, "seq", 1)
		rdb.Set(t.Context(), "/rs/a.test", "0", 0)
		p.Set([]route.Change{set("/rs/a.test", "3")})
		for range 3 {
			p.Round(t.Context())
		}
		if h := p.head(t, rdb); h != lagging {
			t.Fatalf("version %+v", h)
		}
		p.Set([]route.Change{set("/rs/b.test", "3")})
		p.Complete()
		p.Round(t.Context())
		wants(t, rdb, map[string]string{"/rs/a.test": "3", "/rs/b.test": "3"})
		if h := p.head(t, rdb); h.Epoch != 2 || h.Base != (route.Version{}) {
			t.Errorf("the whole table: %+v", h)
		}
	})
}

func TestPublisher_OlderEpochIsRefused(t *testing.T) {
	eachRedis(t, func(t *testing.T, rdb *redis.Client) {
		// Epochs are milliseconds since 1970: two that differ in their last digit
		// must not look equal to Lua's doubles, nor compare as words.
		for _, epochs := range [][2]int64{{9, 10}, {9007199254740992, 9007199254740993}} {
			rdb.FlushAll(t.Context())
			old := New(quick(), NewRedisTable(rdb), epochs[0], time.Now, slog.New(slog.DiscardHandler), func() {})
			old.Set([]route.Change{set("/rs/a.test", "old")})
			old.Complete()
			old.Round(t.Context())
			next := New(quick(), NewRedisTable(rdb), epochs[1], time.Now, slog.New(slog.DiscardHandler), func() {})
			next.Set([]route.Change{set("/rs/a.test", "new")})
			next.Complete()
			next.Round(t.Context())
			old.Set([]route.Change{set("/rs/a.test", "late")})
			if _, err := old.write(t.Context()); !errors.Is(err, ErrOldEpoch) {
				t.Errorf("write of epoch %d after %d: %v", epochs[0], epochs[1], err)
			}
			wants(t, rdb, map[string]string{"/rs/a.test": "new"})
		}
	})
}

func TestPublisher_ServedWaitsForEveryLiveRouterButNotForever(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { rdb.Close() })
	line := func(id string, v route.Version, at time.Time, stopped bool) {
		rdb.HSet(t.Context(), route.RoutersKey, id, route.EncodeRouterLine(route.RouterLine{ID: id, Serves: v, At: at, Stopped: stopped}))
	}
	line("slow", route.Version{Epoch: 1, Seq: 0}, time.Now(), false)
	line("dead", route.Version{}, time.Now().Add(-48*time.Hour), false)
	line("gone", route.Version{}, time.Now(), true)
	cfg := quick()
	cfg.Patience = time.Hour
	p := New(cfg, NewRedisTable(rdb), 1, time.Now, slog.New(slog.DiscardHandler), func() {})
	rev := p.Set([]route.Change{set("/rs/a.test", "1")})
	p.Complete()
	p.Round(t.Context())
	if p.Served() >= rev {
		t.Error("served before the slow router said so")
	}
	line("slow", route.Version{Epoch: 1, Seq: 1}, time.Now(), false)
	p.Round(t.Context())
	if p.Served() < rev {
		t.Error("not served after the slow router said so")
	}
	p.cfg.Patience = 0
	rev = p.Set([]route.Change{set("/rs/a.test", "2")})
	p.Round(t.Context())
	if p.Served() < rev {
		t.Error("a router that hangs holds the others up")
	}
}

// A router that has more than this term began on takes nothing of it before the
// table is whole: to stop what it still sends to would not be patient.
func TestPublisher_WaitsForARouterThatWaitsForTheWholeTable(t *testing.T) {
	now := time.Date(2030, 3, 1, 8, 0, 0, 0, time.UTC)
	table := &lines{all: []route.RouterLine{{ID: "r1", Serves: route.Version{Epoch: 1, Seq: 9}}}}
	p := New(DefaultConfig(), table, 2, func() time.Time { return now }, slog.New(slog.DiscardHandler), func() {})
	rev := p.Set([]route.Change{set("/rs/a.test", "1")})
	for range 10 {
		now = now.Add(2 * time.Second)
		table.all[0].At = now
		if p.Round(t.Context()); p.Served() >= rev {
			t.Fatal("served before the router said so")
		}
	}
	p.Complete()
	for range 2 {
		p.Round(t.Context())
		now = now.Add(DefaultConfig().Patience)
		table.all[0].At = now
	}
	if p.Round(t.Context()); p.Served() < rev {
		t.Error("a router that hangs holds the others up")
	}
}

// A router whose clock is wrong lives as long as its line changes.
func TestPublisher_WaitsForARouterWhoseClockIsWrong(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		now := time.Date(2030, 3, 1, 8, 0, 0, 0, time.UTC)
		table := &lines{}
		p := New(quick(), table, 1, func() time.Time { return now }, slog.New(slog.DiscardHandler), func() {})
		p.cfg.Patience = time.Hour
		rev := p.Set([]route.Change{set("/rs/a.test", "1")})
		p.Complete()
		for range 10 {
			now = now.Add(2 * time.Second)
			table.all = []route.RouterLine{{ID: "r1", At: now.Add(off)}}
			if p.Round(t.Context()); p.Served() >= rev {
				t.Fatalf("%s: served before the router said so", off)
			}
		}
		now = now.Add(route.RouterLive) // it says nothing any more
		if p.Round(t.Context()); p.Served() < rev {
			t.Errorf("%s: a router that has died is waited for", off)
		}
	}
}

// lines is a table of which the version and the routers' lines alone matter.
type lines struct {
	Table
	at  route.Version
	all []route.RouterLine
}

func (l *lines) Head(context.Context) (route.Head, error) {
	if l.at == (route.Version{}) {
		l.at.Seq = 1
	}
	return route.Head{Version: l.at}, nil
}
func (l *lines) Read(context.Context) (map[string]string, error) { return nil, nil }
func (l *lines) Write(_ context.Context, b route.Batch, _ *route.Version) error {
	l.at = b.Version
	return nil
}
func (l *lines) Routers(context.Context) ([]route.RouterLine, error) { return slices.Clone(l.all), nil }
