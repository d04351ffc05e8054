package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

// lead makes owner the leader.
func lead(t testing.TB, s *Store, owner string) Lease {
	t.Helper()
	seen, err := s.Lease(t.Context(), "leader")
	check(t, err)
	l, err := s.TakeLease(t.Context(), seen, owner, owner+":1970", 0)
	check(t, err)
	return l
}

func placed(n int, app string, slot int, role model.Role) model.Instance {
	return model.Instance{ID: fmt.Sprintf("i%03d", n), AppID: app, ReleaseID: "r1", Slot: slot, Role: role, NodeID: "n1", Epoch: 7, CreatedAt: t0}
}

func stopped(i model.Instance) model.Instance {
	i.Stopping, i.Reason, i.StoppedAt = true, model.ReasonReplaced, t0.Add(time.Minute)
	return i
}

func TestLease_IsTakenOnceAndGrows(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		none, err := s.Lease(ctx, "leader")
		if check(t, err); none != (Lease{Name: "leader"}) {
			t.Errorf("before the first there is %+v", none)
		}
		first, err := s.TakeLease(ctx, none, "a", "a:1970", 1000)
		if check(t, err); first.Epoch != 1000 {
			t.Errorf("the floor of 1000 gave epoch %d", first.Epoch)
		}
		if _, err := s.TakeLease(ctx, none, "b", "b:1970", 2000); !errors.Is(err, ErrLost) {
			t.Errorf("taken again from nobody: %v", err)
		}
		check(t, s.RenewLease(ctx, first))
		if _, err := s.TakeLease(ctx, first, "b", "b:1970", 2000); !errors.Is(err, ErrLost) {
			t.Errorf("taken from one that renewed: %v", err)
		}
		seen, err := s.Lease(ctx, "leader")
		check(t, err)
		next, err := s.TakeLease(ctx, seen, "b", "b:1970", 5) // a clock that stands behind
		if check(t, err); next.Epoch != 1001 || next.Owner != "b" {
			t.Errorf("taken over as %+v", next)
		}
		if err := s.RenewLease(ctx, first); !errors.Is(err, ErrLost) {
			t.Errorf("renewed by one that lost it: %v", err)
		}
		check(t, s.ReleaseLease(ctx, first)) // has nothing to give back
		next.Before = model.Moment{}         // which its owner alone knows
		if now, err := s.Lease(ctx, "leader"); err != nil || now != next {
			t.Errorf("now %+v, %v, want %+v", now, err, next)
		}
		check(t, s.ReleaseLease(ctx, next))
		free, err := s.Lease(ctx, "leader")
		if check(t, err); free.Owner != "" || free.Epoch != 1001 {
			t.Errorf("given back as %+v", free)
		}
		if again, err := s.TakeLease(ctx, free, "b", "b:1970", 0); err != nil || again.Epoch != 1002 {
			t.Errorf("the same owner again: %+v, %v; its epoch must grow", again, err)
		}
	})
}

func TestLease_OneOfManyTakesIt(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		for round := range 3 {
			seen, err := s.Lease(t.Context(), "leader")
			check(t, err)
			won := 0
			for _, err := range together(8, func(i int) error {
				_, err := s.TakeLease(t.Context(), seen, fmt.Sprintf("s%d.%d", round, i), "", 0)
				return err
			}) {
				if err == nil {
					won++
				} else if !errors.Is(err, ErrLost) {
					t.Error(err)
				}
			}
			if won != 1 {
				t.Errorf("round %d: %d took the lease", round, won)
			}
		}
	})
}

// The database fails over to a replica that has not got the last commits: what
// its leader holds in memory is not what is stored any more.
func TestLease_EndsWhenTheDatabaseHasLostACommit(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		check(t, s.RenewLease(ctx, l))
		check(t, s.Apply(ctx, l, Control{Insert: []model.Instance{placed(1, "app1", 0, model.Primary)}}))
		for _, lost := range []string{`DELETE FROM instances WHERE id = 'i001'`, `UPDATE lease SET beat = beat - 1`} {
			_, err := s.db.ExecContext(ctx, lost)
			check(t, err)
		}
		if err := s.RenewLease(ctx, l); !errors.Is(err, ErrLost) {
			t.Errorf("renewed all the same: %v", err)
		}
		if err := s.Apply(ctx, l, Control{Delete: []string{"i001"}}); !errors.Is(err, ErrLost) {
			t.Errorf("written all the same: %v", err)
		}
		check(t, s.ReleaseLease(ctx, l))
		next := lead(t, s, "a") // it begins anew from what is there
		check(t, s.RenewLease(ctx, next))
		check(t, s.Apply(ctx, next, Control{Insert: []model.Instance{placed(1, "app1", 0, model.Primary)}}))
	})
}

// A commit of which the answer was lost is no lost commit, and hides none.
func TestLease_UnknownCommitsHideNoLostOnes(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		_, err := s.db.ExecContext(ctx, `UPDATE lease SET beat = beat + 1`) // written, and nobody was told
		check(t, err)
		check(t, s.RenewLease(ctx, l))
		_, err = s.db.ExecContext(ctx, `UPDATE lease SET beat = beat - 1`)
		check(t, err)
		if err := s.RenewLease(ctx, l); !errors.Is(err, ErrLost) {
			t.Errorf("the renewal was lost, and yet: %v", err)
		}
	})
}

func TestApply_StaleLeaderWritesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		old := lead(t, s, "a")
		check(t, s.Apply(ctx, old, Control{Insert: []model.Instance{placed(1, "app1", 0, model.Primary)}}))
		now := lead(t, s, "b")
		before, err := s.World(ctx)
		check(t, err)
		c := Control{
			Stop: []model.Instance{stopped(placed(1, "app1", 0, model.Primary))}, Delete: []string{"i001"}, Insert: []model.Instance{placed(2, "app1", 1, model.Primary)},
			Deployments: []model.Deployment{{ReleaseID: "r1", AppID: "app1", Status: model.DeploymentFailed}}, Slots: []Slot{{"app1", 0, 1, 5, "n1"}},
			Nodes: []model.Node{{ID: "n1"}}, Events: []model.Event{{Verb: "instance.gone"}},
		}
		if err := s.Apply(ctx, old, c); !errors.Is(err, ErrLost) {
			t.Errorf("a leader that was replaced: %v, want %v", err, ErrLost)
		}
		after, err := s.World(ctx)
		check(t, err)
		if d := cmp.Diff(before, after); d != "" {
			t.Error(d)
		}
		if es, err := s.Events(ctx, EventFilter{}); err != nil || len(es) != 0 {
			t.Errorf("it wrote events %v, %v", es, err)
		}
		check(t, s.Apply(ctx, now, c))
	})
}

// A leader is replaced while it writes: each batch is in full or not at all,
// and none comes after its successor has begun.
func TestApply_TakeOverUnderWrites(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		old := lead(t, s, "a")
		// A batch shows that its leader lives, so only who takes over between two
		// batches can. The gap lets the taker see the lease while none is under way.
		var gap sync.RWMutex
		write := func(c Control) error {
			gap.RLock()
			defer gap.RUnlock()
			return s.Apply(t.Context(), old, c)
		}
		see := func() (Lease, error) {
			gap.Lock()
			defer gap.Unlock()
			return s.Lease(t.Context(), "leader")
		}
		var ended bool
		taken := make(chan struct{})
		for i, err := range together(5, func(i int) error {
			if i == 4 {
				defer close(taken)
				for {
					seen, err := see()
					if err != nil {
						return err
					}
					if _, err = s.TakeLease(t.Context(), seen, "b", "", 0); !errors.Is(err, ErrLost) {
						return err
					}
				}
			}
			for n := range 1001 {
				if n == 1000 {
					<-taken // the taker may have had no luck until the writers paused
				}
				app := fmt.Sprintf("app%d-%d", i, n)
				a, b := placed(2*n, app, 0, model.Primary), placed(2*n+1, app, 1, model.Primary)
				a.ID, b.ID = app+"a", app+"b"
				if err := write(Control{Insert: []model.Instance{a, b}}); err != nil {
					return err
				}
			}
			return nil
		}) {
			ended = ended || errors.Is(err, ErrLost)
			if err != nil && !errors.Is(err, ErrLost) {
				t.Errorf("%d: %v", i, err)
			}
		}
		w, err := s.World(t.Context())
		check(t, err)
		perApp := map[string]int{}
		for _, v := range w.Instances {
			perApp[v.AppID]++
		}
		for app, n := range perApp {
			if n != 2 {
				t.Errorf("half a batch: %d of %s", n, app)
			}
		}
		if !ended {
			t.Error("the old leader was never stopped")
		}
	})
}

func TestApply_OneLiveInstancePerSlotAndRole(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		apply := func(c Control) error { return s.Apply(ctx, l, c) }
		check(t, apply(Control{Insert: []model.Instance{placed(1, "app1", 0, model.Primary)}}))
		if err := apply(Control{Insert: []model.Instance{placed(9, "app9", 0, model.Primary), placed(2, "app1", 0, model.Primary)}}); err == nil {
			t.Fatal("a slot has two primaries")
		}
		if w, err := s.World(ctx); err != nil || len(w.Instances) != 1 {
			t.Fatalf("a batch that failed left %v, %v", w.Instances, err)
		}
		check(t, apply(Control{Insert: []model.Instance{placed(2, "app1", 0, model.Surge)}}))

		// The surge takes the slot over in one batch.
		surge := placed(2, "app1", 0, model.Primary)
		check(t, apply(Control{Stop: []model.Instance{stopped(placed(1, "app1", 0, model.Primary))}, Role: []model.Instance{surge}, Insert: []model.Instance{placed(3, "app1", 0, model.Surge)}}))
		// And again, so that two of one slot and role are stopping at once.
		check(t, apply(Control{Stop: []model.Instance{stopped(surge)}, Role: []model.Instance{placed(3, "app1", 0, model.Primary)}}))
		got, err := s.Instances(ctx, "app1")
		check(t, err)
		want := []model.Instance{stopped(placed(1, "app1", 0, model.Primary)), stopped(surge), placed(3, "app1", 0, model.Primary)}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		check(t, apply(Control{Delete: []string{"i001", "i002", "nowhere"}}))
		if got, err = s.Instances(ctx, "app1"); err != nil || len(got) != 1 {
			t.Errorf("left %v, %v", got, err)
		}
	})
}

// A primary ends by itself at the moment when its surge instance is ready: its
// row goes and its role is taken in one batch.
func TestApply_SurgeTakesTheRoleOfAPrimaryThatIsGone(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		l := lead(t, s, "a")
		check(t, s.Apply(t.Context(), l, Control{Insert: []model.Instance{placed(1, "app1", 0, model.Primary), placed(2, "app1", 0, model.Surge)}}))
		check(t, s.Apply(t.Context(), l, Control{Delete: []string{"i001"}, Role: []model.Instance{placed(2, "app1", 0, model.Primary)}}))
		got, err := s.Instances(t.Context(), "app1")
		check(t, err)
		if d := cmp.Diff([]model.Instance{placed(2, "app1", 0, model.Primary)}, got); d != "" {
			t.Error(d)
		}
	})
}

func TestApply_LargeBatches(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		l := lead(t, s, "a")
		var all []model.Instance
		var gone []string
		for i := range 1234 {
			all = append(all, placed(i, "app1", i, model.Primary))
			gone = append(gone, all[i].ID)
		}
		check(t, s.Apply(t.Context(), l, Control{Insert: all}))
		if w, err := s.World(t.Context()); err != nil || len(w.Instances) != len(all) {
			t.Errorf("%d instances, %v", len(w.Instances), err)
		}
		check(t, s.Apply(t.Context(), l, Control{Delete: gone[1:]}))
		if w, err := s.World(t.Context()); err != nil || len(w.Instances) != 1 {
			t.Errorf("%d instances left, %v", len(w.Instances), err)
		}
	})
}

func TestWorld_RoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		failure := model.E(model.CodeNotReady, "v2 never became ready").WithEvidence("GET / → 500").WithStill("v1 serves")
		d1 := model.Deployment{ReleaseID: "r1", AppID: "app1", Status: model.DeploymentRunning, StartedAt: t0, Deadline: t0.Add(time.Minute)}
		d2 := model.Deployment{ReleaseID: "r2", AppID: "app1", FromReleaseID: "r1", Status: model.DeploymentFailed, Error: failure, StartedAt: t0.Add(time.Hour), Deadline: t0, EndedAt: t0}
		node := model.Node{ID: "n1", Name: "web1", Address: "10.0.0.1", Zone: "z", MemoryMiB: 4096, CPUMilli: 4000, SeenAt: t0}
		c := Control{Insert: []model.Instance{placed(1, "app1", 0, model.Primary)}, Deployments: []model.Deployment{d1, d2}, Slots: []Slot{{"app1", 0, 3, 77, "n1"}, {"app1", 1, 1, 78, "n2"}},
			Nodes: []model.Node{node}, Events: []model.Event{{Actor: "server", Verb: "instance.start", AppID: "app1"}}}
		if c.Empty() || !(Control{}).Empty() {
			t.Error("Empty is wrong")
		}
		check(t, s.Apply(ctx, l, c))

		// All again with other values: what exists is changed, never doubled.
		d1.Status, d1.EndedAt = model.DeploymentSucceeded, t0
		d1.Stage, d1.StageAt, d1.Judgement, d1.Held = 2, t0, "0 of 240 requests failed", true
		node.MemoryMiB, node.Name = 8192, "web-1"
		check(t, s.Apply(ctx, l, Control{Deployments: []model.Deployment{d1}, Slots: []Slot{{"app1", 0, 4, 99, "n3"}, {"app1", 1, 0, 0, ""}}, Nodes: []model.Node{node}}))
		check(t, s.SetAvailability(ctx, "n1", model.Draining, admin))
		check(t, s.SetAvailability(ctx, "n1", model.Cordoned, admin))

		got, err := s.World(ctx)
		check(t, err)
		if got.Nodes[0].CreatedAt.IsZero() {
			t.Error("a node without its day of birth")
		}
		node.CreatedAt, node.Availability = got.Nodes[0].CreatedAt, model.Cordoned
		want := World{Instances: []model.Instance{placed(1, "app1", 0, model.Primary)}, Deployments: []model.Deployment{d1, d2}, Slots: []Slot{{"app1", 0, 4, 99, "n3"}}, Nodes: []model.Node{node}}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		one, err := s.Deployment(ctx, "r2")
		check(t, err)
		none, err := s.Deployment(ctx, "r3")
		check(t, err)
		byID, err := s.Deployments(ctx, "app1")
		check(t, err)
		if d := cmp.Diff(d2, *one); d != "" || none != nil || len(byID) != 2 || byID["r1"].Status != model.DeploymentSucceeded {
			t.Errorf("%s; none is %v, by release %v", d, none, byID)
		}
	})
}

func TestWish_RoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		living, running, gone := newApp(t, s, "living"), newApp(t, s, "running"), newApp(t, s, "gone")
		check(t, s.Apply(ctx, l, Control{Insert: []model.Instance{placed(1, running.ID, 0, model.Primary)}}))
		check(t, s.BindDomain(ctx, living.ID, "www.x.com", admin))
		for _, a := range []model.App{running, gone} {
			check(t, s.DeleteApp(ctx, a.ID, admin))
		}
		check(t, s.SetAvailability(ctx, "n1", model.Draining, admin))
		w, err := s.Wish(ctx)
		check(t, err)
		names := map[string]bool{}
		for _, a := range w.Apps {
			names[a.Name] = a.DeletedAt.IsZero()
		}
		if d := cmp.Diff(map[string]bool{"living": true, "running": false}, names); d != "" {
			t.Errorf("the apps, and whether they live: %s", d)
		}
		if len(w.Domains) != 1 || w.Domains[0].Host != "www.x.com" || w.Availabilities["n1"] != model.Draining || len(w.Availabilities) != 1 {
			t.Errorf("domains %v, availabilities %v", w.Domains, w.Availabilities)
		}
	})
}
