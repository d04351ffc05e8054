package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// onTheWay is an app of four instances of v1 that v2 begins to take over by a
// strategy.
func onTheWay(t tester, strategy string) *rig {
	r := newRig(t)
	r.node("n1", 4096)
	r.deploy("shop", 4)
	r.settle()
	r.deploy("shop", 4, func(s *model.Spec) { s.Strategy = strategy })
	rel := r.releases["rel-shop-2"]
	rel.Cause = model.CauseDeploy
	r.releases[rel.ID] = rel
	return r
}

// live lets time pass with requests of which the given number of v2's fail, of
// twenty every five seconds.
func (r *rig) live(d time.Duration, failed uint64) {
	r.t.Helper()
	for end := r.now.Add(d); r.now.Before(end); {
		r.round()
		r.step()
		if r.shares()[2] > 0 {
			r.answers(2, 20, failed)
		}
		r.answers(1, 180, 0)
		r.pass(5 * time.Second)
	}
	r.round()
}

// unvisited is a canary that nobody asks for longer than it is waited for.
func unvisited(t *testing.T) *rig {
	r := onTheWay(t, model.StrategyCanary)
	for range 130 {
		r.round()
		r.step()
		r.pass(5 * time.Second)
	}
	r.round()
	return r
}

// shares are what each release gets of the requests by the table, in 1/1000.
func (r *rig) shares() map[int]int {
	r.t.Helper()
	b, err := route.DecodeBackend(r.table["/rs/shop.apps.test"])
	if err != nil {
		r.t.Fatal(err)
	}
	sum, out := 0, map[int]int{}
	for _, e := range b.Endpoints {
		sum += e.Weight
		out[e.Release] += e.Weight
	}
	for v := range out {
		out[v] = out[v] * 1000 / max(sum, 1)
	}
	return out
}

func (r *rig) said(verb string) (out []string) {
	for _, e := range r.events {
		if e.Verb == verb {
			out = append(out, e.Message)
		}
	}
	return out
}

func TestStage_ACanaryGoesUpStepByStep(t *testing.T) {
	t.Parallel()
	r := onTheWay(t, model.StrategyCanary)
	r.live(20*time.Second, 0)
	if got := r.shares(); got[2] != 100 || got[1] != 900 {
		t.Fatalf("shares of the first step: %v", got)
	}
	if s := r.core.AppReply("app-shop").GetState(); !strings.Contains(s, "step 1 of 3") || !strings.Contains(s, "10 % of the requests") {
		t.Errorf("state %q", s)
	}
	r.live(75*time.Second, 0)
	if got := r.shares(); got[2] != 500 {
		t.Fatalf("shares of the second step: %v; %+v", got, r.deployment("rel-shop-2"))
	}
	r.live(2*time.Minute, 0)
	r.settle()
	if got := r.shares(); got[2] != 1000 || r.deployment("rel-shop-2").Status != model.DeploymentSucceeded {
		t.Errorf("at the end: shares %v, %+v", got, r.deployment("rel-shop-2"))
	}
	if got := r.said("deployment.step"); len(got) != 2 || !strings.Contains(got[0], "v2 has passed step 1") || !strings.Contains(got[0], "0 of") {
		t.Errorf("events %q", got)
	}
	if r.watched != "" {
		t.Error("its traffic is still watched")
	}
}

func TestStage_ACanaryThatFailsIsTakenBack(t *testing.T) {
	t.Parallel()
	r := onTheWay(t, model.StrategyCanary)
	r.live(time.Minute, 20)
	d := r.deployment("rel-shop-2")
	if d.Status != model.DeploymentFailed || d.Error.Code != model.CodeJudged || d.Error.Still != "v1 keeps serving 4 of 4" {
		t.Fatalf("deployment %+v, %v", d, d.Error)
	}
	if got := r.shares(); got[1] != 1000 {
		t.Errorf("shares %v", got)
	}
	r.settle()
	if got := r.on("shop"); len(got) != 4 || r.watched != "" {
		t.Errorf("%d instances are left", len(got))
	}
}

func TestStage_TheNextLeaderGoesOnWithTheStepAndCountsAnew(t *testing.T) {
	t.Parallel()
	r := onTheWay(t, model.StrategyCanary)
	r.live(90*time.Second, 0)
	if d := r.deployment("rel-shop-2"); d.Stage != 1 {
		t.Fatalf("stage %d", d.Stage)
	}
	r.inForce = r.table
	watches := r.watches
	r.lead()
	if err := r.core.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.agents["n1"].connect()
	r.live(20*time.Second, 0)
	if got := r.shares(); got[2] != 500 || r.deployment("rel-shop-2").Stage != 1 {
		t.Errorf("after the change: shares %v, stage %d", got, r.deployment("rel-shop-2").Stage)
	}
	if r.watches != watches+1 {
		t.Errorf("%d watches began, want one more than %d", r.watches, watches)
	}
	r.live(90*time.Second, 0)
	r.settle()
	if d := r.deployment("rel-shop-2"); d.Status != model.DeploymentSucceeded {
		t.Errorf("it ended as %+v", d)
	}
}

func TestStage_ACanaryNobodyVisitsIsHeldAndPromotedByAPerson(t *testing.T) {
	t.Parallel()
	r := unvisited(t)
	if d := r.deployment("rel-shop-2"); !d.Held || d.Stage != 0 || len(r.said("deployment.held")) != 1 {
		t.Fatalf("deployment %+v, events %q", d, r.said("deployment.held"))
	}
	r.edit("shop", func(a *model.App) { a.Promoted = "rel-shop-2" })
	r.settle()
	if d := r.deployment("rel-shop-2"); d.Status != model.DeploymentSucceeded || d.Held || r.shares()[2] != 1000 {
		t.Errorf("promoted: %+v, %v", d, r.shares())
	}
}

func TestStage_BlueGreenMovesAllRequestsAtOnceAndReturnsAtOnce(t *testing.T) {
	t.Parallel()
	r := onTheWay(t, model.StrategyBlueGreen)
	seen := map[string]bool{}
	r.watch = func() { seen[fmt.Sprint(r.shares())] = true }
	r.live(40*time.Second, 0)
	if got := r.shares(); got[2] != 1000 || len(r.on("shop")) != 8 {
		t.Fatalf("shares %v of %d instances: %+v", got, len(r.on("shop")), r.deployment("rel-shop-2"))
	}
	if len(seen) != 2 {
		t.Errorf("the requests were shared as %v", seen)
	}
	// What a person does to return: a release with the old content.
	back := r.releases["rel-shop-1"]
	back.ID, back.Number, back.Cause = "rel-shop-3", 3, model.CauseRollback
	r.releases[back.ID] = back
	r.edit("shop", func(a *model.App) { a.ReleaseID = back.ID })
	r.round()
	if got := r.shares(); got[2] != 0 || got[1] == 0 {
		t.Errorf("one round after the rollback: shares %v", got)
	}
	r.settle()
	if got := r.shares(); got[3] != 1000 || len(r.on("shop")) != 4 {
		t.Errorf("at the end: shares %v of %d instances", got, len(r.on("shop")))
	}
}

func TestStage_BlueGreenLetsTheOldOnesGoWhenTheirTimeIsOver(t *testing.T) {
	t.Parallel()
	r := onTheWay(t, model.StrategyBlueGreen)
	seen := map[string]bool{}
	r.watch = func() { seen[fmt.Sprint(r.shares())] = true }
	r.live(6*time.Minute, 0)
	r.settle()
	if d := r.deployment("rel-shop-2"); d.Status != model.DeploymentSucceeded || len(r.on("shop")) != 4 || len(seen) != 2 {
		t.Errorf("%d instances, %+v; the requests were shared as %v", len(r.on("shop")), d, seen)
	}
}

func TestStage_BlueGreenWithoutRoomForBothFailsAndSaysSoBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	r.deploy("shop", 3, func(s *model.Spec) { s.Strategy = model.StrategyBlueGreen })
	r.settle()
	q, err := r.core.Ask(&pb.WhatIfRequest{AppId: "app-shop"})
	if err != nil {
		t.Fatal(err)
	}
	if a := q.Answer(); a.GetFits() || a.GetLeftOut() != 2 {
		t.Errorf("asked before: %+v", a)
	}
	r.deploy("shop", 3, func(s *model.Spec) { s.Strategy = model.StrategyBlueGreen; s.Env = map[string]string{"A": "B"} })
	r.live(time.Minute, 0)
	d := r.deployment("rel-shop-2")
	if d.Status != model.DeploymentFailed || d.Error.Code != model.CodeNoMemory || r.shares()[1] != 1000 {
		t.Errorf("deployment %+v: %v, shares %v", d, d.Error, r.shares())
	}
}
