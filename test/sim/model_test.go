package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/sql/store"
)

// What the models stand for, they must be like: the same calls in the same order
// go to a model and to the real thing, and both must say the same.

// modelRig is a world in which nothing happens but what a test asks for.
func modelRig(t *testing.T) (*World, *process) {
	t.Helper()
	w := newWorld(t.Context(), 1, shape{nodes: 1, zones: 1, servers: 1, routers: 1, monitors: 1, memory: 2048}, nil, false)
	w.db.committed = func(store.Lease, store.Control, tables, tables) {}
	w.redis.written = func(map[string]string, map[string]string, route.Batch) {}
	return w, w.process("s1", &clock{})
}

// ask runs f, which asks a model, to its end.
func (w *World) ask(t *testing.T, p *process, f func(ctx context.Context)) {
	t.Helper()
	done := false
	p.spawn(func(*thread) { f(t.Context()); done = true })
	for !done {
		if !w.step(w.now.Add(time.Hour)) {
			t.Fatal("the model never answers")
		}
	}
}

func kindOfError(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, store.ErrLost):
		return "lost"
	case errors.Is(err, publish.ErrGap):
		return "gap"
	case errors.Is(err, publish.ErrOldVersion):
		return "old"
	}
	return "refused"
}

// drawControl draws a leader's batch over few instances, so that they collide.
func drawControl(r *rand.Rand, epoch int64) store.Control {
	at := time.UnixMilli(1_900_000_000_000 + int64(r.IntN(1000))).UTC()
	roles := []model.Role{model.Primary, model.Surge, model.Suspect}
	one := func() model.Instance {
		return model.Instance{
			ID: fmt.Sprintf("i%d", r.IntN(9)), AppID: fmt.Sprintf("a%d", r.IntN(2)), ReleaseID: "r1", Slot: r.IntN(2),
			Role: roles[r.IntN(3)], NodeID: "n1", Epoch: epoch, CreatedAt: at,
		}
	}
	var c store.Control
	some := func(n int, f func()) {
		for range r.IntN(n) {
			f()
		}
	}
	some(3, func() { c.Insert = append(c.Insert, one()) })
	some(2, func() {
		i := one()
		i.Stopping, i.Reason, i.StoppedAt = true, model.ReasonScaled, at
		c.Stop = append(c.Stop, i)
	})
	some(2, func() { c.Role = append(c.Role, one()) })
	some(2, func() { c.Delete = append(c.Delete, one().ID) })
	some(2, func() {
		c.Slots = append(c.Slots, store.Slot{AppID: "a0", Slot: r.IntN(3), Failures: r.IntN(3), NextStart: at.UnixMilli(), Node: "n1"})
	})
	some(2, func() {
		c.Nodes = append(c.Nodes, model.Node{ID: fmt.Sprintf("n%d", r.IntN(3)), Zone: "z", MemoryMiB: int64(r.IntN(9)), SeenAt: at})
	})
	some(2, func() {
		c.Deployments = append(c.Deployments, model.Deployment{
			ReleaseID: fmt.Sprintf("r%d", r.IntN(3)), AppID: "a0", Status: []model.DeploymentStatus{model.DeploymentRunning, model.DeploymentSucceeded}[r.IntN(2)], StartedAt: at, Deadline: at,
		})
	})
	some(5, func() { c.Safe = &model.SafeMode{Epoch: epoch, Since: at, Reason: "restored"} })
	some(2, func() { c.Forget = append(c.Forget, fmt.Sprintf("n%d", r.IntN(3))) })
	return c
}

// leases is what a server asks of the database about the lease and under it.
type leases interface {
	World(ctx context.Context) (store.World, error)
	Wish(ctx context.Context) (store.Wish, error)
	RenewLease(ctx context.Context, l store.Lease) error
	ReleaseLease(ctx context.Context, l store.Lease) error
	Apply(ctx context.Context, l store.Lease, c store.Control) error
}

func TestDatabase_TheModelDoesWhatTheStoreDoes(t *testing.T) {
	t.Parallel()
	real, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { real.Close() })
	w, p := modelRig(t)
	modelled := dbClient{w.db, p}
	r := rand.New(rand.NewPCG(1, 2))
	both := func(what string, f func(ctx context.Context, db leases) error) {
		t.Helper()
		var want, got error
		want = f(t.Context(), real)
		w.ask(t, p, func(ctx context.Context) { got = f(ctx, modelled) })
		if kindOfError(want) != kindOfError(got) {
			t.Fatalf("%s: the store says %v, the model %v", what, want, got)
		}
	}
	held := []store.Lease{{Name: "leader"}}
	for n := range 250 {
		l := held[max(0, len(held)-1-r.IntN(2))] // the holder, or the one before
		switch kind := r.IntN(10); {
		case kind == 0 || n == 0:
			owner := fmt.Sprintf("s%d", r.IntN(2))
			var taken [2]store.Lease
			both("take", func(ctx context.Context, db leases) (err error) {
				if db == leases(real) {
					seen, _ := real.Lease(ctx, "leader")
					taken[0], err = real.TakeLease(ctx, seen, owner, owner, 5)
					return err
				}
				seen, _ := modelled.Lease(ctx)
				taken[1], err = modelled.TakeLease(ctx, seen, owner, 5)
				return err
			})
			taken[0].Before.Age, taken[0].Age = taken[1].Before.Age, taken[1].Age // ages are of other clocks
			if taken[0] != taken[1] {
				t.Fatalf("the store gives %+v, the model %+v", taken[0], taken[1])
			}
			held = append(held, taken[0])
		case kind == 1:
			both("renew", func(ctx context.Context, db leases) error { return db.RenewLease(ctx, l) })
		case kind == 2:
			_ = real.EndSafeMode(t.Context(), model.Actor{Name: "you"}) // refused when there is none
			w.db.safe = nil
		case kind == 3:
			both("release", func(ctx context.Context, db leases) error { return db.ReleaseLease(ctx, l) })
		default:
			c := drawControl(r, l.Epoch)
			both(fmt.Sprintf("apply %+v", c), func(ctx context.Context, db leases) error { return db.Apply(ctx, l, c) })
		}
		var worlds [2]store.World
		var safe [2]*model.SafeMode
		both("read", func(ctx context.Context, db leases) error {
			at := 0
			if db != leases(real) {
				at = 1
			}
			wish, err := db.Wish(ctx)
			if err != nil {
				return err
			}
			safe[at] = wish.Safe
			worlds[at], err = db.World(ctx)
			return err
		})
		if d := cmp.Diff(safe[0], safe[1]); d != "" {
			t.Fatalf("after %d steps the store's (-) safe mode and the model's (+) differ:\n%s", n, d)
		}
		slices.SortFunc(worlds[0].Slots, func(a, b store.Slot) int {
			return strings.Compare(fmt.Sprint(a.AppID, a.Slot), fmt.Sprint(b.AppID, b.Slot))
		})
		slices.SortFunc(worlds[0].Nodes, func(a, b model.Node) int { return strings.Compare(a.ID, b.ID) })
		if d := cmp.Diff(worlds[0], worlds[1], cmpopts.EquateEmpty(), cmpopts.IgnoreFields(model.Node{}, "CreatedAt", "Availability")); d != "" {
			t.Fatalf("after %d steps the store (-) and the model (+) differ:\n%s", n, d)
		}
	}
}

func TestRedis_TheModelDoesWhatTheTableDoes(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { rdb.Close() })
	real := publish.NewRedisTable(rdb)
	w, p := modelRig(t)
	modelled := redisClient{w.redis, p}
	r := rand.New(rand.NewPCG(3, 4))
	version := func() route.Version { return route.Version{Epoch: int64(1 + r.IntN(3)), Seq: int64(1 + r.IntN(6))} }
	type seen struct {
		err  string
		head route.Head
		all  map[string]string
	}
	for n := range 300 {
		b := route.Batch{Version: version(), Changes: []route.Change{}, Partial: r.IntN(2) == 0}
		b.Anew = b.Partial && r.IntN(4) == 0
		for range r.IntN(3) {
			key := fmt.Sprintf("%sa%d.test", route.BackendPrefix, r.IntN(3))
			if v := fmt.Sprint(r.IntN(100)); r.IntN(3) > 0 {
				b.Changes = append(b.Changes, route.Change{Key: key, Value: &v})
			} else {
				b.Changes = append(b.Changes, route.Change{Key: key})
			}
		}
		var after *route.Version
		if r.IntN(3) == 0 {
			v := version()
			after = &v
		}
		do := func(ctx context.Context, table publish.Table) (s seen) {
			s.err = kindOfError(table.Write(ctx, b, after))
			s.head, _ = table.Head(ctx)
			s.all, _ = table.Read(ctx)
			return s
		}
		want, got := do(t.Context(), real), seen{}
		w.ask(t, p, func(ctx context.Context) { got = do(ctx, modelled) })
		if d := cmp.Diff(want, got, cmp.AllowUnexported(seen{}), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("after %d steps, %+v after %v: the table (-) and the model (+) differ:\n%s", n, b, after, d)
		}
		if n%50 == 49 {
			rdb.FlushAll(t.Context())
			w.redis.flush()
		}
	}
}
