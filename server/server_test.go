package server

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

func healthy(string) bool { return true }

func TestServer_DeploysScalesReplacesAndRollsOut(t *testing.T) {
	eachDatabase(t, func(t *testing.T, r *rig) {
		s := r.server("s1")
		a, b := r.agent("n1", s.Addr()), r.agent("node2", s.Addr())
		r.monitor(s.Addr(), healthy)
		r.joined(2)
		r.deploy("shop", 1)
		r.serving("shop", 1, 1)
		r.scale("shop", 4)
		r.serving("shop", 1, 4)
		if len(a.running()) != 2 || len(b.running()) != 2 {
			t.Errorf("not spread: %v and %v", a.running(), b.running())
		}
		a.kill(a.running()[0])
		r.wait("the killed one is replaced", func() error {
			if n := len(a.running()) + len(b.running()); n != 4 {
				return fmt.Errorf("%d run", n)
			}
			return nil
		})
		r.deploy("shop", 4)
		r.serving("shop", 2, 4)
		r.scale("shop", 1)
		r.serving("shop", 2, 1)
		r.wait("the others are gone", func() error {
			if n := len(r.rows("shop")); n != 1 {
				return fmt.Errorf("%d rows", n)
			}
			return nil
		})
		for _, ag := range []*agent{a, b} {
			ag.mu.Lock()
			for id, routed := range ag.routedAt {
				if routed {
					t.Errorf("instance %s was stopped while it was routed", id)
				}
			}
			for id, n := range ag.starts {
				if n != 1 {
					t.Errorf("instance %s was started %d times", id, n)
				}
			}
			ag.mu.Unlock()
		}
	})
}

func TestServer_InstanceIsRoutedOnlyWhenTheMonitorSaysSo(t *testing.T) { // DEFECTS 44
	r := newRig(t, storetest.SQLite(t))
	r.deadline = 4 * time.Second
	s := r.server("s1")
	a := r.agent("n1", s.Addr())
	stop := r.monitor(s.Addr(), func(string) bool { return false })
	rel := r.deploy("shop", 1)
	r.wait("it runs", func() error {
		if len(a.running()) == 0 {
			return fmt.Errorf("nothing runs")
		}
		return nil
	})
	r.wait("the deployment fails", func() error {
		d, err := r.store.Deployment(t.Context(), rel.ID)
		if err != nil || d == nil || d.Status != model.DeploymentFailed {
			return fmt.Errorf("deployment %+v, %v", d, err)
		}
		if d.Error.Code != model.CodeNotReady {
			return fmt.Errorf("code %s", d.Error.Code)
		}
		return nil
	})
	if b := r.backend("shop"); len(b.Endpoints) != 0 {
		t.Errorf("routes %+v", b)
	}
	stop()
}

func TestServer_LostNodeIsReplacedAndItsReturnMakesNoDouble(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1", losesSoon)
	agents := map[string]*agent{}
	for _, id := range []string{"n1", "n2", "n3"} {
		agents[id] = r.agent(id, s.Addr())
	}
	r.monitor(s.Addr(), healthy)
	r.deploy("shop", 3)
	r.serving("shop", 1, 3)
	lost := agents["n1"]
	lost.stop()
	// Ready, not only running: else the original would rightly be kept (R10).
	r.wait("a replacement is ready elsewhere", func() error {
		ids := append(agents["n2"].running(), agents["n3"].running()...)
		for _, id := range ids {
			if !r.routes(id) {
				return fmt.Errorf("%s is not routed", id)
			}
		}
		if len(ids) != 3 {
			return fmt.Errorf("%d run", len(ids))
		}
		return nil
	})
	back := r.agentWith("n1", lost.instances, s.Addr())
	r.wait("the original is stopped", func() error {
		if n := len(back.running()); n != 0 {
			return fmt.Errorf("%d still run there", n)
		}
		if n := len(r.rows("shop")); n != 3 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
	r.serving("shop", 1, 3)
}

func TestServer_LeaderChangeKeepsWhatRunsAndRoutes(t *testing.T) { // R6, DEFECTS 12, 13
	eachDatabase(t, func(t *testing.T, r *rig) {
		s1, s2 := r.server("s1"), r.server("s2")
		a := r.agent("n1", s1.Addr(), s2.Addr())
		r.wait("one leads", func() error {
			if s1.Leads() == s2.Leads() {
				return fmt.Errorf("s1 %v, s2 %v", s1.Leads(), s2.Leads())
			}
			return nil
		})
		first, second := s1, s2
		if s2.Leads() {
			first, second = s2, s1
		}
		stop := r.monitor(first.Addr(), healthy)
		r.deploy("shop", 2)
		r.serving("shop", 1, 2)
		running := a.running()
		stop() // the new leader has no verdict of its own
		first.stop()
		r.wait("the other leads", func() error {
			if !second.Leads() {
				return fmt.Errorf("not yet")
			}
			v, err := r.rdb.HGet(context.Background(), route.VersionKey, "epoch").Int64()
			if l := second.lease.Leader(); err != nil || v != l.Epoch {
				return fmt.Errorf("routes of epoch %d: %v", v, err)
			}
			return nil
		})
		r.bind("shop", "www.shop.example")
		r.serving("shop", 1, 2)
		if got := a.running(); fmt.Sprint(got) != fmt.Sprint(running) {
			t.Errorf("running %v, want %v", got, running)
		}
	})
}

func TestServer_StopsNothingBeforeEveryRouterHasLetItGo(t *testing.T) { // R18, DEFECTS 19
	r := newRig(t, storetest.SQLite(t))
	r.patience = time.Hour
	s := r.server("s1")
	a := r.agent("n1", s.Addr())
	r.monitor(s.Addr(), healthy)
	r.deploy("shop", 2)
	r.serving("shop", 1, 2)
	r.router(route.Version{}) // it lives, and has taken nothing yet
	r.scale("shop", 1)
	r.serving("shop", 1, 1)
	r.bind("shop", "www.shop.example")
	a.mu.Lock()
	if len(a.stopped) != 0 {
		t.Errorf("stopped %v while a router may still send requests there", a.stopped)
	}
	a.mu.Unlock()
	r.router(route.Version{Epoch: time.Now().Add(time.Hour).UnixMilli()})
	r.wait("it is stopped", func() error {
		if n := len(a.running()); n != 1 {
			return fmt.Errorf("%d run", n)
		}
		return nil
	})
}

// router writes the line of a router that serves a version.
func (r *rig) router(v route.Version) {
	line := route.RouterLine{ID: "slow", Serves: v, At: time.Now().Add(time.Hour)} // counts as live for the whole test
	r.rdb.HSet(r.t.Context(), route.RoutersKey, line.ID, route.EncodeRouterLine(line))
}

func TestServer_AppWhoseProbesAllFailAtOnceStaysRouted(t *testing.T) { // R12, DEFECTS 50
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1")
	a := r.agent("n1", s.Addr())
	stop := r.monitor(s.Addr(), healthy)
	r.deploy("shop", 2)
	r.serving("shop", 1, 2)
	stop()
	r.monitor(s.Addr(), func(string) bool { return false })
	r.wait("all are judged unhealthy", func() error {
		if n, err := r.ready(s.Addr(), "shop"); n != 0 || err != nil {
			return fmt.Errorf("%d ready, %v", n, err)
		}
		return nil
	})
	r.bind("shop", "www.shop.example")
	r.serving("shop", 1, 2)
	if len(a.running()) < 2 {
		t.Errorf("running %v", a.running())
	}
}

func TestServer_FlushedRedisIsWrittenAnew(t *testing.T) { // DEFECTS 47
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1")
	r.agent("n1", s.Addr())
	r.monitor(s.Addr(), healthy)
	r.deploy("shop", 2)
	r.serving("shop", 1, 2)
	r.rdb.FlushAll(t.Context())
	r.serving("shop", 1, 2)
}

func TestServer_CrashingReleaseFailsAndTheOldOneServes(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1")
	a := r.agent("n1", s.Addr())
	r.monitor(s.Addr(), healthy)
	r.deploy("shop", 1)
	r.serving("shop", 1, 1)
	a.mu.Lock()
	rel := r.deploy("shop", 1)
	a.failing[rel.ID] = true
	a.mu.Unlock()
	r.wait("the deployment fails", func() error {
		d, err := r.store.Deployment(t.Context(), rel.ID)
		if err != nil || d == nil || d.Status != model.DeploymentFailed {
			return fmt.Errorf("deployment %+v, %v", d, err)
		}
		if d.Error.Code != model.CodeCrashed || len(d.Error.Evidence) == 0 || d.Error.Still != "v1 keeps serving 1 of 1" {
			return fmt.Errorf("error %+v", d.Error)
		}
		return nil
	})
	r.serving("shop", 1, 1)
}

func TestServer_NodeOnWhichAReleaseFailsIsNotTriedAgainFirst(t *testing.T) { // DEFECTS 29
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1")
	a, b := r.agent("n1", s.Addr()), r.agent("n2", s.Addr())
	r.monitor(s.Addr(), healthy)
	r.joined(2)
	a.mu.Lock() // n1 comes first by its ID; it breaks this release
	rel := r.deploy("shop", 1)
	a.failing[rel.ID] = true
	a.mu.Unlock()
	r.serving("shop", 1, 1)
	if len(b.running()) != 1 || len(a.starts) > 1 {
		t.Errorf("n1 was tried %d times, n2 runs %v", len(a.starts), b.running())
	}
}

func TestServer_DeletedAppLeavesNoRowAndNoRoute(t *testing.T) { // DEFECTS 11, 18, 46, 48
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1")
	a := r.agent("n1", s.Addr())
	r.monitor(s.Addr(), healthy)
	r.deploy("shop", 2)
	r.serving("shop", 1, 2)
	app, err := r.store.App(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.BindDomain(t.Context(), app.ID, "www.shop.example", r.by); err != nil {
		t.Fatal(err)
	}
	r.wait("the domain is routed", func() error {
		_, err := r.rdb.Get(t.Context(), route.DomainPrefix+"www.shop.example").Result()
		return err
	})
	if err := r.store.DeleteApp(t.Context(), app.ID, r.by); err != nil {
		t.Fatal(err)
	}
	r.wait("nothing is left", func() error {
		keys, err := r.rdb.Keys(t.Context(), "/*").Result()
		rows, err2 := r.store.Instances(t.Context(), app.ID)
		if err != nil || err2 != nil || len(rows) != 0 || len(a.running()) != 0 {
			return fmt.Errorf("rows %v, running %v, %v %v", rows, a.running(), err, err2)
		}
		for _, k := range keys {
			if k != route.VersionKey && k != route.ChangesKey {
				return fmt.Errorf("key %s", k)
			}
		}
		return nil
	})
}

func TestServer_OldLeaderWritesNothing(t *testing.T) {
	eachDatabase(t, func(t *testing.T, r *rig) {
		none, err := r.store.Lease(t.Context(), "leader")
		if err != nil {
			t.Fatal(err)
		}
		old, err := r.store.TakeLease(t.Context(), none, "old", "", time.Now().UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.TakeLease(t.Context(), old, "new", "", 0); err != nil {
			t.Fatal(err)
		}
		if err := r.store.RenewLease(t.Context(), old); !errors.Is(err, store.ErrLost) {
			t.Errorf("renewal by the old leader: %v", err)
		}
		late := store.Control{Insert: []model.Instance{{ID: "late", AppID: "a", NodeID: "n", Role: model.Primary}}}
		if err := r.store.Apply(t.Context(), old, late); !errors.Is(err, store.ErrLost) {
			t.Errorf("write by the old leader: %v", err)
		}
		if there, err := r.store.HasInstance(t.Context(), "late"); there || err != nil {
			t.Errorf("the late write is there: %v, %v", there, err)
		}
	})
}

// placed writes what a leader writes before any command leaves, and nothing more:
// the state in which it died.
func (r *rig) placed(name, node string) model.Instance {
	r.t.Helper()
	rel := r.deploy(name, 1)
	none, err := r.store.Lease(r.t.Context(), "leader")
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := r.store.TakeLease(r.t.Context(), none, "dead", "", time.Now().UnixMilli())
	if err != nil {
		r.t.Fatal(err)
	}
	now := time.Now()
	i := model.Instance{ID: store.NewID(), AppID: rel.AppID, ReleaseID: rel.ID, Role: model.Primary, NodeID: node, Epoch: l.Epoch, CreatedAt: now}
	err = r.store.Apply(r.t.Context(), l, store.Control{
		Nodes:       []model.Node{{ID: node, Name: node, MemoryMiB: 4096, CPUMilli: 4000}},
		Insert:      []model.Instance{i},
		Deployments: []model.Deployment{{ReleaseID: rel.ID, AppID: rel.AppID, Status: model.DeploymentRunning, StartedAt: now, Deadline: now.Add(time.Minute)}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.store.ReleaseLease(r.t.Context(), l); err != nil {
		r.t.Fatal(err)
	}
	return i
}

func TestServer_KilledBetweenRowAndCommandNeitherDoublesNorLoses(t *testing.T) { // R2, DEFECTS 3, 55
	eachDatabase(t, func(t *testing.T, r *rig) {
		want := r.placed("shop", "n1")
		s := r.server("s1")
		a := r.agent("n1", s.Addr())
		r.monitor(s.Addr(), healthy)
		r.serving("shop", 1, 1)
		if got := a.running(); len(got) != 1 || got[0] != want.ID {
			t.Errorf("running %v, want %s alone", got, want.ID)
		}
		if len(a.starts) != 1 {
			t.Errorf("started %v", a.starts)
		}
	})
}

func TestServer_PlacedOnANodeThatHasNotSyncedIsNotPlacedAgain(t *testing.T) { // R6
	r := newRig(t, storetest.SQLite(t))
	want := r.placed("shop", "n1")
	// The dead leader has published; into an empty Redis nothing would be written
	// before the silent node has spoken or been waited for.
	r.rdb.HSet(t.Context(), route.VersionKey, "epoch", 1, "seq", 1)
	s := r.server("s1", func(c *Config) { c.LostAfter = time.Hour })
	b := r.agent("n2", s.Addr())
	r.monitor(s.Addr(), healthy)
	r.deploy("other", 1) // never bound: placed at once
	r.serving("other", 1, 1)
	if rows := r.rows("shop"); len(rows) != 1 || rows[0].ID != want.ID || len(b.running()) != 1 {
		t.Errorf("rows %+v, on the other node %v", rows, b.running())
	}
}

func TestServer_OrphansAreStoppedAfterATimeAndOnlyThey(t *testing.T) { // R7
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1")
	r.monitor(s.Addr(), healthy)
	orphan := model.Observed{ID: store.NewID(), Phase: model.PhaseRunning, Addr: "127.0.0.1:9"}
	a := r.agentWith("n1", map[string]model.Observed{orphan.ID: orphan}, s.Addr())
	r.deploy("shop", 1)
	r.serving("shop", 1, 1)
	r.wait("the orphan is stopped", func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.stopped) != 1 || a.stopped[0] != orphan.ID {
			return fmt.Errorf("stopped %v", a.stopped)
		}
		return nil
	})
	r.serving("shop", 1, 1)
}

// The reader of a dashboard page goes away while the reconciler still writes its
// answer; the race detector fails this test when the two share anything.
func TestServer_AnswersACallerWhoHasGoneWithoutSharing(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	s := r.server("a")
	r.wait("it leads", func() error {
		if !s.Leads() {
			return errors.New("not yet")
		}
		return nil
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	p := &platform{s: s.Server}
	for range 200 {
		if out, err := p.Apps(gone, &pb.AppsRequest{}); err == nil && out == nil {
			t.Fatal("neither an answer nor an error")
		}
	}
	if _, err := p.Apps(t.Context(), &pb.AppsRequest{}); err != nil { // by now all of them were answered
		t.Error(err)
	}
}
