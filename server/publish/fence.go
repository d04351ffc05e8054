package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

// ErrOldEpoch says that a newer leader has written routes: this one is over.
var ErrOldEpoch = errors.New("a newer leader writes the routes")

// errGap says that Redis does not hold what we last wrote.
var errGap = errors.New("redis lost the last write")

// fenced applies one batch. It refuses an (epoch, seq) that is not newer than
// the one in force, and, for writes that build on the last one, a table that is
// not the one we left. Numbers are compared as zero-padded text: Lua's are
// doubles and would round an epoch.
//
// KEYS: version, changes. ARGV: epoch, seq, expected version or "", batch JSON,
// stream length, then key, op (set|del), value for each change.
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
for i = 6, #ARGV, 3 do
  if ARGV[i+1] == 'set' then redis.call('SET', ARGV[i], ARGV[i+2]) else redis.call('DEL', ARGV[i]) end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'batch', ARGV[4])
return 'ok'
`)

// send writes one batch under the next seq; meant says that a mass withdrawal
// in it is on purpose.
func (p *Publisher) send(ctx context.Context, changes []route.Change, rev uint64, meant bool) error {
	v := route.Version{Epoch: p.epoch, Seq: p.seq + 1}
	expected := ""
	if p.synced && p.seq > 0 {
		expected = route.Version{Epoch: p.epoch, Seq: p.seq}.String()
	}
	if changes == nil {
		changes = []route.Change{}
	}
	args := []any{v.Epoch, v.Seq, expected, route.EncodeBatch(route.Batch{Version: v, Changes: changes, Meant: meant}), route.ChangesLength}
	for _, c := range changes {
		if c.Value == nil {
			args = append(args, c.Key, "del", "")
		} else {
			args = append(args, c.Key, "set", *c.Value)
		}
	}
	answer, err := fenced.Run(ctx, p.rdb, []string{route.VersionKey, route.ChangesKey}, args...).Text()
	switch {
	case err != nil:
		// It may have been written, or not. The next seq skips this one, so that
		// a late arrival can never be taken for a later write.
		p.seq++
		return fmt.Errorf("write routes: %w", err)
	case answer == "gap":
		p.seq++
		return errGap
	case answer == "old":
		return p.tooOld(ctx)
	}
	p.seq++
	p.inFlight = append(p.inFlight, write{revision: rev, version: v, at: time.Now()})
	return nil
}

// tooOld tells a newer leader from our own write of which we never saw the
// answer.
func (p *Publisher) tooOld(ctx context.Context) error {
	there, err := p.rdb.HMGet(ctx, route.VersionKey, "epoch", "seq").Result()
	if err != nil {
		return err
	}
	var v route.Version
	if _, err := fmt.Sscan(fmt.Sprintln(there...), &v.Epoch, &v.Seq); err != nil {
		return fmt.Errorf("route version unreadable: %w", err)
	}
	if v.Epoch > p.epoch {
		return ErrOldEpoch
	}
	p.seq = max(p.seq, v.Seq)
	return errGap
}

// watch reads the routers' lines and moves Served on.
func (p *Publisher) watch(ctx context.Context) error {
	all, err := p.rdb.HGetAll(ctx, route.RoutersKey).Result()
	if err != nil {
		return err
	}
	now := time.Now()
	lines := make([]route.RouterLine, 0, len(all))
	for _, s := range all {
		if l, err := route.DecodeRouterLine(s); err == nil {
			lines = append(lines, l)
		}
	}
	p.settle(lines, now)
	return nil
}

// settle takes the writes off the list that every live router serves, or that
// were waited for long enough: a router that hangs may not hold the others up.
func (p *Publisher) settle(lines []route.RouterLine, now time.Time) {
	done := 0
	for _, w := range p.inFlight {
		if now.Sub(w.at) < p.cfg.Patience && !servedByAll(lines, w.version, now) {
			break
		}
		done++
	}
	p.mu.Lock()
	p.routers = lines
	moved := done > 0
	if moved {
		p.doneRev = max(p.doneRev, p.inFlight[done-1].revision)
	}
	if len(p.inFlight) == done && len(p.dirty) == 0 && p.synced && p.doneRev < p.revision {
		p.doneRev, moved = p.revision, true // a Set that changed nothing in the end
	}
	p.mu.Unlock()
	p.inFlight = p.inFlight[done:]
	if moved {
		p.served()
	}
}

func servedByAll(lines []route.RouterLine, v route.Version, now time.Time) bool {
	for _, l := range lines {
		if !l.Stopped && now.Sub(l.At) < route.RouterLive && l.Serves.Less(v) {
			return false
		}
	}
	return true
}
