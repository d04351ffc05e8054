package reconcile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/plan"
)

// stocked is a rig whose cluster was there before: its apps run on each of its
// nodes, as many instances as it has, and routes lead to all of them.
func stocked(t tester, nodes, each, perApp int) *rig {
	r := newRig(t)
	r.inForce = map[string]string{}
	for n := range nodes {
		a := r.node(fmt.Sprintf("n%04d", n), int64(2*each*64))
		r.nodes[a.NodeID()] = model.Node{ID: a.NodeID(), Name: a.NodeID(), Address: "10.0.0.1", MemoryMiB: a.hello.GetMemoryMib(), CPUMilli: 64000, SeenAt: r.now, CreatedAt: r.now}
		a.away = true
	}
	for k := range nodes * each / perApp {
		name := fmt.Sprintf("app%05d", k)
		id := "app-" + name
		rel := model.Release{ID: "rel-" + name, AppID: id, Number: 1, Spec: model.Spec{Image: "apps/x@sha256:1", MemoryMiB: 64}.WithDefaults()}
		r.releases[rel.ID] = rel
		r.wish.Apps = append(r.wish.Apps, model.App{ID: id, Name: name, ReleaseID: rel.ID, Instances: perApp, CreatedAt: r.now})
		r.deployments[rel.ID] = model.Deployment{ReleaseID: rel.ID, AppID: id, Status: model.DeploymentSucceeded, StartedAt: r.now, EndedAt: r.now}
		b := route.Backend{App: name}
		for slot := range perApp {
			a := r.agents[fmt.Sprintf("n%04d", (k*perApp+slot*7)%nodes)]
			r.ids++
			i := model.Instance{ID: fmt.Sprintf("i%07d", r.ids), AppID: id, ReleaseID: rel.ID, Slot: slot, Role: model.Primary, NodeID: a.NodeID(), Epoch: 6, CreatedAt: r.now}
			r.instances[i.ID] = i
			o := model.Observed{ID: i.ID, Phase: model.PhaseRunning, Addr: fmt.Sprint("10.0.0.1:", 20000+len(a.has)), Container: "c", StartedAt: r.now}
			a.has[i.ID] = o
			b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: o.Addr, Instance: i.ID, Release: 1, Weight: route.NormalWeight})
		}
		r.inForce[route.BackendPrefix+name+".apps.test"] = route.EncodeBackend(b)
	}
	r.now = r.now.Add(time.Minute)
	return r
}

// begin begins a term on what is there, of which no node has told anything yet.
func (r *rig) begin() {
	r.t.Helper()
	r.lead()
	r.table = map[string]string{}
	if err := r.core.Begin(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.round()
}

// hearAll lets all nodes tell what they have, in a drawn order, with a round after
// each few of them.
func (r *rig) hearAll(draw *rand.Rand, few int) {
	r.t.Helper()
	for n, at := range draw.Perm(len(r.agents)) {
		a := r.agents[fmt.Sprintf("n%04d", at)]
		a.away = false
		if a.connect(); n%few == few-1 {
			r.round()
		}
	}
	r.round()
}

// begun expects that the routes of all apps are set, and that each was planned so
// often at most since there were so many plans.
func (r *rig) begun(planned, times int) {
	r.t.Helper()
	apps := len(r.core.apps)
	if got := r.core.planned - planned; got > times*apps {
		r.t.Error(apps, "apps of 20 instances were planned", got, "times while their 40 nodes spoke, want at most", times, "each")
	}
	if !r.core.open || len(r.table) != apps {
		r.t.Error("the routes of", len(r.table), "apps of", apps, "are set, and the table is complete:", r.core.open)
	}
}

// With k instances an app was planned up to k times, by which a leader of a
// million instances needed minutes to begin.
func TestTerm_AnAppIsPlannedWhenTheLastOfItsNodesHasSpoken(t *testing.T) {
	t.Parallel()
	r := stocked(t, 40, 20, 20)
	r.begin()
	atBegin := r.core.planned
	r.hearAll(rand.New(rand.NewPCG(1, 2)), 1)
	r.begun(atBegin, 1)
}

// Where no routes were in force nothing vouches for what runs: each instance is told
// by its node, and then judged.
func TestTerm_WithoutRoutesInForceAnAppIsPlannedWhenAllOfItWasJudged(t *testing.T) {
	t.Parallel()
	r := stocked(t, 40, 20, 20)
	r.inForce, r.found = nil, route.Head{}
	r.begin()
	atBegin := r.core.planned
	for _, at := range rand.New(rand.NewPCG(7, 8)).Perm(len(r.agents)) {
		a := r.agents[fmt.Sprintf("n%04d", at)]
		a.away = false
		a.connect()
		r.round()
		for _, row := range r.core.nodes[a.NodeID()].rows {
			if row.told == 0 {
				t.Fatalf("monitors are not told of %s when its node has told of it", row.ID)
			}
		}
		r.judge()
		r.round()
	}
	r.begun(atBegin, 2)
}

// Monitors confirm what they are asked of, and routers take the routes: neither
// gives an app that rests anything to do.
func TestTerm_WhatIsConfirmedIsNotPlannedAgain(t *testing.T) {
	t.Parallel()
	r := stocked(t, 40, 20, 20)
	r.begin()
	r.hearAll(rand.New(rand.NewPCG(3, 4)), 1)
	heard := r.core.planned
	for range 3 {
		r.step()
		r.round()
	}
	if got := r.core.planned - heard; got != 0 {
		t.Errorf("%d apps were planned again, because monitors and routers said that all is well", got)
	}
	if len(r.core.awaiting) != 0 {
		t.Errorf("%d apps wait for routers, which serve all", len(r.core.awaiting))
	}
	for id, a := range r.core.apps {
		if !r.core.rests(a) {
			t.Errorf("%s does not rest", id)
		}
	}
}

// Monitors that say nothing make no app be planned with each write that routers take.
func TestTerm_WhatRoutersServeIsLookedAtOnce(t *testing.T) {
	t.Parallel()
	r := stocked(t, 40, 20, 20)
	r.mute = true
	r.begin()
	r.hearAll(rand.New(rand.NewPCG(3, 4)), 1)
	heard := r.core.planned
	for range 4 {
		r.step()
		r.round()
	}
	if got, apps := r.core.planned-heard, len(r.core.apps); got > apps {
		t.Errorf("%d apps were planned %d times after routers served them, want once each", apps, got)
	}
	if len(r.core.awaiting) != 0 {
		t.Errorf("%d apps wait for routers, which serve all", len(r.core.awaiting))
	}
}

// What is not as it was is acted upon at once, whoever has yet to speak.
func TestTerm_WhatIsGoneIsReplacedBeforeTheOtherNodesHaveSpoken(t *testing.T) {
	t.Parallel()
	r := stocked(t, 10, 2, 10)
	a := r.agents["n0003"]
	for id := range a.has {
		delete(a.has, id)
		a.has[id] = model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneExited, ExitCode: 1}
		break
	}
	r.begin()
	a.away = false
	a.connect()
	r.round()
	if len(r.inserted) != 1 || r.inserted[0].NodeID != "n0003" {
		t.Errorf("placed are %+v, want one in the place of what has ended, on the only node that has spoken", r.inserted)
	}
}

// An instance that runs elsewhere than where it was routed is routed there, and an
// app one of whose nodes stays silent is routed when its time is over.
func TestTerm_RoutesFollowWhatNodesTellAndWaitForNoneForEver(t *testing.T) {
	t.Parallel()
	r := stocked(t, 10, 2, 10)
	a := r.agents["n0003"]
	for id, o := range a.has {
		o.Addr = "10.0.0.1:1" + o.Addr[len(o.Addr)-4:]
		a.has[id] = o
	}
	silent := r.agents["n0007"]
	delete(r.agents, "n0007")
	r.begin()
	for _, a := range r.agents {
		a.away = false
		a.connect()
	}
	r.round()
	if len(r.table) != 0 {
		t.Errorf("%d apps are routed while a node of each is silent", len(r.table))
	}
	r.pass(20 * time.Second)
	r.round()
	r.round()
	for _, host := range []string{"app00000.apps.test", "app00001.apps.test"} {
		b, err := route.DecodeBackend(r.table[route.BackendPrefix+host])
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		addrs := map[string]string{}
		for _, e := range b.Endpoints {
			addrs[e.Instance] = e.Addr
		}
		for _, id := range []string{a.NodeID(), silent.NodeID()} {
			for _, row := range r.core.nodes[id].rows {
				if row.app.host != host {
					continue
				}
				want := silent.has[row.ID].Addr
				if id == a.NodeID() {
					want = a.has[row.ID].Addr
				}
				if addrs[row.ID] != want {
					t.Errorf("%s on %s is routed at %q, want %q", row.ID, id, addrs[row.ID], want)
				}
			}
		}
	}
}

// How many of an app's rows are still to be heard of is counted, whatever happens;
// and an app for which the planner is not asked is one for which it has nothing to
// do.
func TestTerm_CountsWhatIsToBeHeardOfAndKnowsWhatIsIdle(t *testing.T) {
	t.Parallel()
	idle := 0
	rapid.Check(t, func(t *rapid.T) {
		r := cluster(t)
		r.inForce = r.table
		r.lead()
		if err := r.core.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids := slices.Sorted(maps.Keys(r.agents))
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			a := r.agents[rapid.SampledFrom(ids).Draw(t, "agent")]
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0:
				a.connect()
			case 1:
				a.leave()
			case 2:
				a.engine = rapid.SampledFrom([]string{"", "away"}).Draw(t, "engine")
				a.connect()
			case 3:
				r.core.reload, r.core.swept = true, time.Time{}
			case 4:
				r.step()
				r.pass(time.Duration(rapid.IntRange(0, 90).Draw(t, "for")) * time.Second)
			case 5:
				r.edit("a0", func(a *model.App) { a.Instances = rapid.IntRange(0, 7).Draw(t, "scale") })
			case 6:
				r.want(a.NodeID(), rapid.SampledFrom([]model.Availability{model.Active, model.Draining, model.Forgotten}).Draw(t, "wanted"))
			case 7:
				r.sick["a0"] = rapid.Bool().Draw(t, "sick")
				if r.deploy("a0", 2); rapid.Bool().Draw(t, "back") {
					r.round()
					r.edit("a0", func(a *model.App) { a.ReleaseID = "rel-a0-1" })
				}
			}
			if rapid.Bool().Draw(t, "sweeps") {
				r.round()
			} else if err := r.core.sweep(t.Context(), r.now); err != nil { // and nothing is planned yet
				t.Fatal(err)
			}
			for _, a := range r.core.apps {
				if a.idle() {
					idle++
					if diff := cmp.Diff(plan.Plan{}, plan.Compute(r.core.cfg.Plan, r.core.input(a, nil), r.now)); diff != "" {
						t.Fatalf("%s is idle, and its plan is not empty:\n%s", a.Name, diff)
					}
				}
				want := 0
				for _, row := range a.rows {
					if !row.node.EverSynced {
						want++
					}
				}
				if a.unheard != want {
					t.Fatalf("%s: %d rows are to be heard of, counted are %d", a.Name, want, a.unheard)
				}
			}
		}
	})
	if idle == 0 {
		t.Error("nothing that was drawn is idle")
	}
}

// BenchmarkTerm_Begins is what the nodes' words cost a leader that begins: all of
// them speak, with a round after every hundred.
func BenchmarkTerm_Begins(b *testing.B) {
	r := stocked(b, 1000, 100, 50)
	plans := 0
	for b.Loop() {
		b.StopTimer()
		r.begin()
		before := r.core.planned
		b.StartTimer()
		r.hearAll(rand.New(rand.NewPCG(5, 6)), 100)
		plans = r.core.planned - before
		if !r.core.open {
			b.Fatal("the routes of some app are not set")
		}
	}
	b.ReportMetric(float64(plans)/float64(len(r.core.apps)), "plans/app")
}

// BenchmarkTerm_TakesUp is what a leader does before it listens to the first node:
// routes in force, rows and wish are read and taken in, and its first round.
func BenchmarkTerm_TakesUp(b *testing.B) {
	r := stocked(b, 1000, 100, 50)
	for b.Loop() {
		r.begin()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(r.instances)), "ns/instance")
}
