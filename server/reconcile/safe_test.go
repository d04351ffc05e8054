package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store"
)

// backup is what a database holds at one time.
type backup struct {
	wish        store.Wish
	releases    map[string]model.Release
	instances   map[string]model.Instance
	deployments map[string]model.Deployment
	slots       map[string]store.Slot
}

func (r *rig) backup() backup {
	b := backup{wish: r.wish, releases: maps.Clone(r.releases), instances: maps.Clone(r.instances), deployments: maps.Clone(r.deployments), slots: maps.Clone(r.slots)}
	b.wish.Apps = slices.Clone(b.wish.Apps)
	return b
}

func (r *rig) restore(b backup) {
	r.wish, r.releases, r.instances, r.deployments, r.slots = b.wish, b.releases, b.instances, b.deployments, b.slots
}

// term begins another leader's term after the database said that history ends at
// before; agents come back with what they were told last.
func (r *rig) term(epoch int64, before, told model.Moment) {
	r.t.Helper()
	r.inForce = maps.Clone(r.table)
	r.leadAfter(store.Lease{Name: "leader", Owner: "s", Epoch: epoch, Before: before})
	if err := r.core.Begin(r.t.Context()); err != nil && !r.redisAway {
		r.t.Fatal(err)
	}
	for _, id := range slices.Sorted(maps.Keys(r.agents)) {
		a := r.agents[id]
		a.hello.MaxEpoch, a.hello.WrittenMs = told.Epoch, told.Age
		a.connect()
	}
}

// endpoints lists the instances that an app's route leads to.
func (r *rig) endpoints(name string) (ids []string) {
	b, err := route.DecodeBackend(r.table[route.BackendPrefix+name+".apps.test"])
	if err != nil {
		return nil
	}
	for _, e := range b.Endpoints {
		ids = append(ids, e.Instance)
	}
	slices.Sort(ids)
	return ids
}

func (r *rig) runs() (ids []string) {
	for _, a := range r.agents {
		for id, o := range a.has {
			if o.Phase == model.PhaseRunning {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

const day = 24 * 60 * 60 * 1000

// restored is a cluster whose database was set back by an hour, in which shop went
// from v1 to v2, and new was deployed.
func restored(t tester) (r *rig, before []string) {
	r = newRig(t)
	r.node("n1", 8192)
	r.node("n2", 8192)
	r.deploy("shop", 2)
	r.settle()
	old := r.backup()
	r.deploy("shop", 2)
	r.deploy("new", 1)
	r.settle()
	before = r.runs()
	r.restore(old)
	r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, model.Moment{Epoch: 4 * day, Age: 3_601_000})
	return r, before
}

func TestSafeMode_DatabaseOlderThanWhatAgentsKnow_NothingIsTouched(t *testing.T) {
	t.Parallel()
	r, before := restored(t)
	table, rows, ids := maps.Clone(r.table), maps.Clone(r.instances), r.ids
	for range 100 {
		r.round()
		r.step()
		r.pass(5 * time.Second)
	}
	if now := r.runs(); !slices.Equal(now, before) || r.ids != ids {
		t.Errorf("running %v, before %v; %d instances were made", now, before, r.ids-ids)
	}
	if !maps.Equal(r.table, table) {
		t.Errorf("routes %v, before %v", r.table, table)
	}
	if !maps.Equal(r.instances, rows) {
		t.Errorf("rows %v, before %v", r.instances, rows)
	}
	m := r.wish.Safe
	if m == nil || !strings.Contains(m.Reason, "node n1 has orders of 1970-01-05 01:00:01 UTC") || !strings.Contains(m.Reason, "at least 1h0m0s of it are missing") {
		t.Errorf("safe mode %+v", m)
	}
	if e := r.events[len(r.events)-1]; e.Verb != "safe-mode.began" || !strings.Contains(e.Message, "dinp safe-mode") {
		t.Errorf("the last event is %+v", e)
	}
	if s := r.core.NodesReply().GetSafeMode(); s != m.Reason {
		t.Errorf("nodes say %q", s)
	}
}

// What was set before and waits to be written would change what is in force, and is set anew before
// it is.
func TestSafeMode_HoldsRoutesUntilEachIsSetAnew(t *testing.T) {
	t.Parallel()
	r, _ := restored(t)
	if !r.held {
		t.Fatal("routes are written, and an agent has told that the database was set back")
	}
	r.round()
	m := model.Moment{Epoch: 5 * day, Age: 10}
	r.held = false
	r.term(6*day, m, m)
	r.settle()
	if !r.held {
		t.Fatal("the next leader writes routes")
	}
	r.wish.Safe = nil
	r.core.swept = time.Time{}
	r.round()
	if r.held || !maps.Equal(r.goesOn, r.table) {
		t.Errorf("held %v; what is written is %v, and then %v", r.held, r.goesOn, r.table)
	}
}

func TestSafeMode_LastsThroughALeaderChange_UntilAPersonEndsIt(t *testing.T) {
	t.Parallel()
	r, before := restored(t)
	r.round()
	m := model.Moment{Epoch: 5 * day, Age: 10}
	r.term(6*day, m, m)
	r.settle()
	if now := r.runs(); !slices.Equal(now, before) {
		t.Errorf("running %v, before %v", now, before)
	}
	r.wish.Safe = nil
	r.core.swept = time.Time{}
	r.settle()
	if r.core.safe != nil || len(r.endpoints("shop")) != 2 {
		t.Errorf("safe mode %+v, routes %v", r.core.safe, r.endpoints("shop"))
	}
}

func TestSafeMode_Reply_TellsWhatWouldBeDone(t *testing.T) {
	t.Parallel()
	r, _ := restored(t)
	r.settle()
	got := r.core.SafeModeReply()
	want := []*pb.SafeModeApp{
		{Name: "shop", Start: 2, Unknown: 2}, // v1 again, as the database has it
		{Name: "new.apps.test", Unknown: 1, Lost: true},
	}
	if !got.GetOn() || got.GetReason() != r.wish.Safe.Reason || fmt.Sprint(got.GetApps()) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	r.agents["n2"].leave()
	if notes := fmt.Sprint(r.core.SafeModeReply().GetNotes()); !strings.Contains(notes, "1 of 2 nodes have not told") {
		t.Errorf("notes %s", notes)
	}
}

// What the database does not know serves until what it wants does.
func TestSafeMode_Ended_GuestsServeUntilTheAppsOwnInstancesDo(t *testing.T) {
	t.Parallel()
	r, before := restored(t)
	r.round()
	guests := r.endpoints("shop")
	r.wish.Safe = nil
	r.core.swept = time.Time{}
	for range 200 {
		r.round()
		r.step()
		serving := r.endpoints("shop")
		if len(serving) < 2 {
			t.Fatalf("shop is served by %v", serving)
		}
		for _, id := range serving {
			if !slices.Contains(r.runs(), id) {
				t.Fatalf("routed to %s, which does not run", id)
			}
		}
		r.pass(2 * time.Second)
	}
	r.settle()
	for _, id := range before {
		if slices.Contains(r.runs(), id) {
			t.Errorf("%s still runs, and no row knows it", id)
		}
	}
	if now := r.endpoints("shop"); len(now) != 2 || slices.Equal(now, guests) {
		t.Errorf("shop is served by %v, before by %v", now, guests)
	}
	late := r.node("n3", 8192, func(h *pb.Hello) { h.MaxEpoch, h.WrittenMs = 4*day, 3_601_000 })
	r.settle()
	if r.core.safe != nil || !r.core.nodes[late.NodeID()].Synced {
		t.Errorf("an agent that comes late begins it again: %+v", r.core.safe)
	}
	if _, routed := r.table[route.BackendPrefix+"new.apps.test"]; routed {
		t.Error("an app that the database does not know is routed, and nothing asks routers to let it go")
	}
	if len(r.core.guests)+len(r.core.orphans) != 0 {
		t.Errorf("left: guests %v, orphans %v", r.core.guests, r.core.orphans)
	}
}

func TestSafeMode_NotForWhatAFailoverLoses_NorForOldAgents(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ before, told model.Moment }{
		"nothing is missing":              {model.Moment{Epoch: 4 * day, Age: 9000}, model.Moment{Epoch: 4 * day, Age: 9000}},
		"the last seconds":                {model.Moment{Epoch: 4 * day, Age: 9000}, model.Moment{Epoch: 4 * day, Age: 20_000}},
		"a term that had just begun":      {model.Moment{Epoch: 4*day - 50_000, Age: 48_000}, model.Moment{Epoch: 4 * day, Age: 100}},
		"an agent that was away for long": {model.Moment{Epoch: 4 * day, Age: 9000}, model.Moment{Epoch: day, Age: day}},
		"a new agent":                     {model.Moment{Epoch: 4 * day, Age: 9000}, model.Moment{}},
		"an agent of this very term":      {model.Moment{Epoch: 4 * day, Age: 9000}, model.Moment{Epoch: 5 * day, Age: day}},
		"the first leader there ever was": {model.Moment{}, model.Moment{}},
	} {
		r := newRig(t)
		r.node("n1", 8192)
		r.deploy("shop", 1)
		r.settle()
		r.term(5*day, c.before, c.told)
		r.settle()
		if r.core.safe != nil || r.wish.Safe != nil {
			t.Errorf("%s: safe mode: %+v", what, r.core.safe)
		}
	}
}

func TestSafeMode_DatabaseThatNeverHadALeader_IsNotBelieved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 8192)
	r.deploy("shop", 1)
	r.settle()
	before := r.runs()
	r.restore(backup{wish: store.Wish{Availabilities: map[string]model.Availability{}}, releases: map[string]model.Release{}, instances: map[string]model.Instance{}, deployments: map[string]model.Deployment{}, slots: map[string]store.Slot{}})
	r.term(5*day, model.Moment{}, model.Moment{Epoch: 4 * day})
	r.settle()
	r.pass(10 * time.Minute)
	r.settle()
	if now := r.runs(); !slices.Equal(now, before) || r.wish.Safe == nil || !strings.Contains(r.wish.Safe.Reason, "has never had a leader") {
		t.Errorf("running %v, before %v, safe mode %+v", now, before, r.wish.Safe)
	}
}

// A leader that finds routes in force and a database without anything believes
// neither before agents have had the time to tell.
func TestSafeMode_RoutesWithoutRows_StayUntilAgentsHaveSpoken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 8192)
	r.deploy("shop", 1)
	r.settle()
	agents := r.agents
	r.restore(backup{wish: store.Wish{Availabilities: map[string]model.Availability{}}, releases: map[string]model.Release{}, instances: map[string]model.Instance{}, deployments: map[string]model.Deployment{}, slots: map[string]store.Slot{}})
	r.agents, r.complete = map[string]*fakeAgent{}, false
	r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, model.Moment{})
	for range 20 {
		r.round()
		r.pass(5 * time.Second)
	}
	if r.complete {
		t.Error("no agent has spoken, and what it may run is withdrawn")
	}
	for _, a := range agents { // of nothing that this database does not know
		a.hello.MaxEpoch, a.hello.WrittenMs = 4*day, 1000
		a.connect()
	}
	r.settle()
	if !r.complete || r.core.safe != nil {
		t.Errorf("agents have spoken, safe mode %+v, and the table is complete: %v", r.core.safe, r.complete)
	}
}

// A restored database knows no instance of an app that was scaled up from none since.
// Its routes stay until an agent has told, whether or not the leader could read them:
// in the safe mode that follows nobody would write them anew.
func TestSafeMode_AnAppWithoutRowsKeepsItsRoutesUntilAnAgentHasTold(t *testing.T) {
	t.Parallel()
	for _, away := range []bool{false, true} {
		r := newRig(t)
		r.node("n1", 8192)
		r.deploy("shop", 0)
		r.settle()
		old := r.backup()
		r.edit("shop", func(a *model.App) { a.Instances = 2 })
		r.settle()
		before, agents := maps.Clone(r.table), r.agents
		r.restore(old)
		r.agents, r.redisAway = map[string]*fakeAgent{}, away
		r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, model.Moment{})
		for range 20 {
			r.round()
			r.pass(5 * time.Second)
		}
		r.redisAway = false
		for _, a := range agents {
			a.hello.MaxEpoch, a.hello.WrittenMs = 4*day, 3_601_000
			a.connect()
		}
		r.settle()
		if len(before) == 0 || !maps.Equal(r.table, before) || r.core.safe == nil {
			t.Errorf("redis away %v: routes %v, before %v, safe mode %+v", away, r.table, before, r.core.safe)
		}
	}
}

// Without a safe mode they are written as soon as an agent has come that was there at
// the end of what the database knows, or when the time of those is over.
func TestSafeMode_AnAppWithoutRowsIsRoutedWhenTheDatabaseCanBeTrusted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		told model.Moment // by the agent that comes
		wait time.Duration
	}{
		{model.Moment{Epoch: 4 * day, Age: 1000}, 0},
		{model.Moment{Epoch: 3 * day, Age: 1000}, 20 * time.Second},
	} {
		r := newRig(t)
		r.node("n1", 8192)
		r.deploy("shop", 1)
		r.settle()
		r.deploy("shop", 0)
		delete(r.instances, r.runs()[0])
		r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, c.told)
		for r.now.Sub(r.core.began) < c.wait {
			if r.round(); len(r.endpoints("shop")) == 0 {
				t.Errorf("%+v: its route is empty after %s", c.told, r.now.Sub(r.core.began))
			}
			r.pass(5 * time.Second)
		}
		for range 3 {
			r.round()
		}
		if len(r.endpoints("shop")) != 0 {
			t.Errorf("%+v: its routes are %v after %s", c.told, r.table, r.now.Sub(r.core.began))
		}
	}
}
