package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/plan"
)

// answer asks a what-if question, and makes sure that asking changes nothing.
func (r *rig) answer(q *pb.WhatIfRequest) *pb.WhatIfReply {
	r.t.Helper()
	changes, ids := r.core.index.Changes(), r.ids
	asked, err := r.core.Ask(q)
	if err != nil {
		r.t.Fatal(err)
	}
	out := asked.Answer()
	if r.core.index.Changes() != changes || r.ids != ids {
		r.t.Error("a question changed the state")
	}
	return out
}

// placed lists what was placed from the n-th instance on: app, slot and node.
func (r *rig) placed(n int) (out []string) {
	for _, i := range r.inserted[n:] {
		out = append(out, fmt.Sprintf("%s %d → %s", strings.TrimPrefix(i.AppID, "app-"), i.Slot, i.NodeID))
	}
	return out
}

func moves(a *pb.WhatIfReply) (out []string) {
	for _, m := range a.GetMoves() {
		out = append(out, fmt.Sprintf("%s %d → %s", m.GetApp(), m.GetSlot(), m.GetTo()))
	}
	return out
}

// cluster draws nodes of several sizes in zones, and apps that have come to rest
// on them.
func cluster(t *rapid.T) *rig {
	r := newRig(t)
	for i := range rapid.IntRange(3, 8).Draw(t, "nodes") {
		r.node(fmt.Sprint("n", i), int64(512*rapid.IntRange(1, 6).Draw(t, "size")), zone(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "zone")))
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "apps") {
		memory := rapid.SampledFrom([]int64{64, 128, 256, 500}).Draw(t, "memory")
		r.deploy(fmt.Sprint("a", i), rapid.IntRange(1, 6).Draw(t, "instances"), func(s *model.Spec) { s.MemoryMiB = memory })
	}
	r.settle()
	if id := rapid.SampledFrom([]string{"", "n0", "n1"}).Draw(t, "cordoned"); id != "" {
		r.want(id, model.Cordoned)
		r.round()
	}
	return r
}

func TestWhatIf_DrainIsWhatADrainDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := cluster(t)
		node := rapid.SampledFrom([]string{"n0", "n1", "n2"}).Draw(t, "node")
		a := r.answer(&pb.WhatIfRequest{Drain: node})
		from := len(r.inserted)
		r.want(node, model.Draining)
		r.settle()
		if d := cmp.Diff(r.placed(from), moves(a)); d != "" {
			t.Errorf("a drain of %s (-done +foretold):\n%s", node, d)
		}
		stay := 0
		for _, row := range r.core.nodes[node].rows {
			if !row.Stopping {
				stay++
			}
		}
		if int(a.GetLeftOut()) < stay || stay == 0 != (a.GetLeftOut() == 0) || a.GetFits() != (stay == 0) {
			t.Errorf("%d instances stay on %s, foretold were %d: %v", stay, node, a.GetLeftOut(), a.GetMisfits())
		}
	})
}

func TestWhatIf_LossIsWhatALossDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := cluster(t)
		node := rapid.SampledFrom([]string{"n0", "n1", "n2"}).Draw(t, "node")
		a := r.answer(&pb.WhatIfRequest{Lose: node})
		from := len(r.inserted)
		r.silence(node)
		r.pass(2 * time.Minute)
		r.settle()
		if d := cmp.Diff(r.placed(from), moves(a)); d != "" {
			t.Errorf("the loss of %s (-done +foretold):\n%s", node, d)
		}
		waits := 0
		for _, app := range r.core.apps {
			waits += len(app.pending)
		}
		if (a.GetLeftOut() > 0) != (waits > 0) {
			t.Errorf("%d slots wait, foretold were %d", waits, a.GetLeftOut())
		}
	})
}

func TestWhatIf_MoreInstancesAndAnotherReleaseAreWhatComes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := cluster(t)
		from := len(r.inserted)
		var a *pb.WhatIfReply
		if n := rapid.IntRange(0, 5).Draw(t, "add"); n > 0 {
			a = r.answer(&pb.WhatIfRequest{AppId: "app-a0", Add: int32(n)})
			r.edit("a0", func(app *model.App) { app.Instances += n })
		} else {
			strategy := rapid.SampledFrom([]string{model.StrategyRolling, model.StrategyBlueGreen}).Draw(t, "strategy")
			a = r.answer(&pb.WhatIfRequest{AppId: "app-a0", MemoryMib: 200, Instances: 3, Strategy: strategy})
			r.deploy("a0", 3, func(s *model.Spec) { s.MemoryMiB, s.Strategy = 200, strategy })
		}
		if r.settle(); a.GetFits() && !slices.Contains(a.GetNotes(), noteWaited) {
			if d := cmp.Diff(r.placed(from), moves(a)); d != "" {
				t.Errorf("(-done +foretold):\n%s", d)
			}
		}
	})
}

func TestWhatIf_SaysThatMovesWaitForEachOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i, size := range []int64{512, 512, 1536} {
		r.node(fmt.Sprint("n", i), size)
	}
	r.deploy("a0", 1, func(s *model.Spec) { s.MemoryMiB = 500 })
	r.deploy("a1", 3, func(s *model.Spec) { s.MemoryMiB = 64 })
	r.settle()
	a := r.answer(&pb.WhatIfRequest{AppId: "app-a0", MemoryMib: 200, Instances: 3})
	if !a.GetFits() || !slices.Equal(a.GetNotes(), []string{noteWaited}) {
		t.Errorf("a third instance of 500 MiB has room only when the first has gone: %v", a)
	}
	if a := r.answer(&pb.WhatIfRequest{AppId: "app-a1", Add: 1}); len(a.GetNotes()) > 0 {
		t.Errorf("one more has room at once: %v", a)
	}
}

func TestWhatIf_ZoneSaysThatTheBreakerWouldHold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 12 {
		r.node(fmt.Sprint("n", i), 1024, zone([]string{"a", "b"}[i%2]))
	}
	r.deploy("shop", 4)
	r.settle()
	a := r.answer(&pb.WhatIfRequest{LoseZone: "a"})
	if !a.GetFits() || a.GetMoved() != 2 || len(a.GetNotes()) != 1 || a.GetBefore().GetNodes() != 12 || a.GetAfter().GetNodes() != 6 {
		t.Errorf("%v", a)
	}
	if _, err := r.core.Ask(&pb.WhatIfRequest{LoseZone: "z"}); !model.IsCode(err, model.CodeNotFound) || !slices.Contains(model.AsError(err).Evidence, "zone a: 6 nodes") {
		t.Errorf("a zone without nodes: %v", err)
	}
}

func TestWhatIf_TellsWhatWouldNotFitAndTheHeadroom(t *testing.T) {
	t.Parallel()
	r := serving(t) // two nodes of 1024 MiB, one instance of 256 MiB on each
	a := r.answer(&pb.WhatIfRequest{AppId: "app-shop", Add: 3})
	if !a.GetFits() || a.GetMoved() != 3 || a.GetAfter().GetFreeMib() != 768 || a.GetAfter().GetMore() != 3 {
		t.Errorf("three more: %v", a)
	}
	a = r.answer(&pb.WhatIfRequest{AppId: "app-shop", Add: 9})
	if a.GetFits() || a.GetMoved() != 6 || a.GetLeftOut() != 3 || !strings.Contains(a.GetMisfits()[0].GetMessage(), "2 short of memory") || a.GetMisfits()[0].GetNext() == "" {
		t.Errorf("nine more: %v", a)
	}
	r.edit("shop", func(a *model.App) { a.Paused = true })
	r.round()
	a = r.answer(&pb.WhatIfRequest{Drain: "n1"})
	if a.GetFits() || len(a.GetMisfits()) != 1 || a.GetMisfits()[0].GetNext() != "dinp pause shop off" {
		t.Errorf("a drain under a paused app: %v", a)
	}
}

// A singleton's instance goes before the next one starts: between them nobody answers.
func TestWhatIf_SingletonThatMovesDoesNotAnswerMeanwhile(t *testing.T) {
	t.Parallel()
	r := singleton(t)
	on := last(r, "shop")
	for what, q := range map[string]*pb.WhatIfRequest{"a drain": {Drain: on}, "a deploy": {AppId: "app-shop"}} {
		a := r.answer(q)
		if len(a.GetMoves()) != 1 || a.GetMoves()[0].GetFrom() != on || !slices.Equal(a.GetInterrupted(), []string{"shop"}) {
			t.Errorf("%s, with its instance on %s: %v", what, on, a)
		}
	}
	other := map[string]string{"n1": "n2", "n2": "n1"}[on]
	if a := r.answer(&pb.WhatIfRequest{Drain: other}); len(a.GetInterrupted()) != 0 {
		t.Errorf("it is not on %s: %v", other, a)
	}
	if _, err := r.core.Ask(&pb.WhatIfRequest{AppId: "app-none", Add: 1}); !strings.Contains(fmt.Sprint(err), "nothing deployed yet") {
		t.Errorf("an app that is not there: %v", err)
	}
}

func TestSurvival_AgreesWithTheLossOfEachNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := cluster(t)
		want, alone := true, map[string]bool{}
		for id, n := range r.core.nodes {
			if len(n.rows) == 0 {
				continue
			}
			a := r.answer(&pb.WhatIfRequest{Lose: id})
			want = want && a.GetFits()
			for _, name := range a.GetInterrupted() {
				alone[name] = true
			}
		}
		changes := r.core.index.Changes()
		got := r.core.survival()
		if got.GetSurvives() != want || !got.GetComplete() || int(got.GetInterruptedApps()) != len(alone) || want != (len(got.GetBecause()) == 0) {
			t.Errorf("want %v with %v alone, got %v", want, alone, got)
		}
		if r.core.index.Changes() != changes {
			t.Error("the survey changed the index")
		}
	})
}

// What is known of apps that are steady without asking the planner is what the planner
// would say.
func TestSurvival_WhatIsSteadyIsReplacedAsThePlannerWould(t *testing.T) {
	t.Parallel()
	rested, roomy := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		r := cluster(t)
		if rapid.Bool().Draw(t, "paused") {
			r.edit("a0", func(a *model.App) { a.Paused = true })
		}
		r.settle()
		if rapid.Bool().Draw(t, "young term") { // no monitor has spoken, and no routes are set
			r.inForce = r.table
			r.lead()
			if err := r.core.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.round()
			for _, id := range slices.Sorted(maps.Keys(r.agents)) {
				r.agents[id].connect()
			}
			r.round()
		}
		switch node := rapid.SampledFrom([]string{"n0", "n1", "n2"}).Draw(t, "node"); rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			r.want(node, model.Draining)
			r.core.swept = r.now // it is known, and nothing is done yet
			r.core.nodes[node].wanted = model.Draining
		case 1:
			r.agents[node].leave()
			r.pass(r.core.cfg.Limits.UnknownAfter)
			r.round()
		}
		c := r.core
		c.survey.begin(c)
		for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
			n := c.nodes[id]
			apps := c.appsOn(n)
			if steady, _ := c.survey.allSteady(apps); len(apps) == 0 || !steady {
				continue
			}
			rested++
			room := c.survey.index.Room()
			got, want := c.loseSteady(n, apps), c.lose(n, apps)
			slices.Sort(got.interrupted)
			if d := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); d != "" {
				t.Errorf("the loss of %s (-planned +known):\n%s", id, d)
			}
			if c.survey.index.Room() != room {
				t.Errorf("the loss of %s left its mark", id)
			}
			got, ok := c.survey.roomy.loss(c, c.survey.index, n)
			if !ok {
				continue
			}
			roomy++
			slices.Sort(got.interrupted)
			if d := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); d != "" {
				t.Errorf("the loss of %s (-planned +counted):\n%s", id, d)
			}
		}
	})
	if rested == 0 || roomy == 0 || rested == roomy {
		t.Errorf("all apps rest on %d nodes that were drawn, and for %d of them there is plenty of room: both kinds are wanted", rested, roomy)
	}
}

// A term begins with nodes that have not come yet: their silence says nothing of
// room.
func TestSurvival_IsNotKnownBeforeTheNodesHaveSpoken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, n := range []string{"n1", "n2"} {
		r.node(n, 1024)
	}
	r.deploy("shop", 2)
	r.settle()
	r.lead()
	r.agents["n1"].connect()
	r.round()
	if got := r.core.survival(); got.GetComplete() || !strings.Contains(got.GetText(), "1 of 2 have yet to") {
		t.Errorf("before n2 has spoken: %v", got)
	}
	r.pass(r.core.cfg.Limits.UnknownAfter - time.Second)
	r.node("n3", 1024)
	r.pass(time.Second)
	if got := r.core.survival(); got.GetComplete() || !strings.Contains(got.GetText(), "1 of 3 have yet to") {
		t.Errorf("n3 has only just come, and n2 may: %v", got)
	}
	r.agents["n3"].leave()
	r.agents["n1"].leave()
	r.pass(r.core.cfg.Limits.UnknownAfter)
	r.agents["n1"].connect()
	r.round()
	if got := r.core.survival(); !got.GetComplete() || got.GetSurvives() {
		t.Errorf("n2 is silent: %v", got)
	}
}

func TestSurvival_LargeClusterIsLookedThroughInSlices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 30 {
		r.node(fmt.Sprint("n", i), 64<<10)
	}
	r.deploy("shop", 900, func(s *model.Spec) { s.MemoryMiB, s.CPUMilli = 64, 0 })
	r.settle()
	r.core.apps["app-shop"].slots[0] = plan.Slot{Failures: 1} // it does not rest: the planner has to be asked
	first := r.core.survival()
	if first.GetComplete() || first.GetLooked() == 0 || first.GetNodes() != 30 {
		t.Fatalf("at first: %v", first)
	}
	for range 10 { // as when agents speak
		r.round()
	}
	if got := r.core.survival(); got.GetLooked() != first.GetLooked() {
		t.Errorf("%d nodes looked at by rounds of the same moment, want the first slice's %d", got.GetLooked(), first.GetLooked())
	}
	for range 10 {
		r.pass(surveyEvery)
		r.round()
	}
	if got := r.core.survival(); !got.GetComplete() || !got.GetSurvives() || got.GetLooked() != 30 {
		t.Errorf("in the end: %v", got)
	}
}

func TestSurvival_NamesWhatWouldNotAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	r.deploy("cron", 1)
	r.settle()
	got := r.core.survival()
	if got.GetSurvives() || !slices.Equal(got.GetInterrupted(), []string{"cron"}) || !strings.Contains(got.GetText(), "no, because") || !strings.Contains(got.GetText(), "cron would not answer") {
		t.Errorf("one node: %v", got)
	}
	r.node("n2", 1024)
	r.pass(2 * time.Second)
	r.round()
	if got = r.core.survival(); !got.GetSurvives() || !strings.Contains(got.GetText(), "yes, because") {
		t.Errorf("two nodes: %v", got)
	}
}

// One node of a hundred is drained, and the loss of each of them tried: 5,000
// instances of 100 apps.
func BenchmarkWhatIf(b *testing.B) {
	r := newRig(b)
	for i := range 100 {
		r.node(fmt.Sprintf("n%03d", i), 64<<10)
	}
	for i := range 100 {
		r.deploy(fmt.Sprintf("a%03d", i), 50)
	}
	r.settle()
	b.Run("drain", func(b *testing.B) {
		for b.Loop() {
			r.answer(&pb.WhatIfRequest{Drain: "n001"})
		}
	})
	b.Run("survey", func(b *testing.B) {
		for b.Loop() {
			r.core.survey = survey{}
			for r.core.survival(); r.core.survey.index != nil; {
				r.core.surveyOn(r.now)
			}
		}
	})
}
