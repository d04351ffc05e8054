package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

// strategy makes the wanted release of an input go by a strategy.
func (in *Input) strategy(s string, change ...func(*model.Spec)) {
	r := in.Releases[in.App.ReleaseID]
	r.Cause, r.Spec.Strategy = model.CauseDeploy, s
	for _, f := range change {
		f(&r.Spec)
	}
	in.Releases[r.ID] = r
}

// staged is an app of four instances of r1 on its way to r2, in a stage that is
// complete.
func staged(strategy string, stage, beside int) Input {
	in := world(4, "r1", "r2")
	in.succeeded("r1")
	in.rolling("r2", "r1")
	in.strategy(strategy)
	d := in.Deployments["r2"]
	d.Stage = stage
	in.Deployments["r2"] = d
	for n := range 4 {
		in.serving(fmt.Sprint("old", n), "r1", n, model.Primary)
	}
	for n := range beside {
		in.serving(fmt.Sprint("new", n), "r2", n, model.Surge)
	}
	return in
}

// counted gives a stage the counts that were made since before.
func (in *Input) counted(ago time.Duration, is, old Counted) {
	in.Trial = &Trial{Key: key(in.Deployments["r2"]), Since: t0.Add(-ago), New: is, Old: old}
}

var (
	well = Counted{Requests: 200, P95: 20 * time.Millisecond}
	many = Counted{Requests: 900, P95: 20 * time.Millisecond}
)

func TestStage_ACanaryStartsItsPartBesideTheOldOnesAndStopsNothing(t *testing.T) {
	in := staged(model.StrategyCanary, 0, 0)
	p := compute(in)
	if len(p.Start) != 1 || p.Start[0] != (Start{Slot: 0, Role: model.Surge, ReleaseID: "r2"}) || len(p.Stop)+len(p.Promote) != 0 {
		t.Errorf("the first step of 10 %% of four: %+v", p)
	}
	if s, ok := SplitOf(in.App, in.Deployments["r2"], in.Releases["r2"]); !ok || s != (Split{Percent: 10, Of: 1}) {
		t.Errorf("split %+v %v", s, ok)
	}
	in = staged(model.StrategyCanary, 1, 1)
	if p := compute(in); len(p.Start) != 1 || len(p.Stop)+len(p.Promote) != 0 {
		t.Errorf("the second step of 50 %% of four: %+v", p)
	}
}

func TestStage_IsWatchedOnceAllOfItServes(t *testing.T) {
	in := staged(model.StrategyCanary, 0, 1)
	if p := compute(in); p.Watch != "r2/0" || len(p.Deploy)+len(p.Start)+len(p.Stop) != 0 {
		t.Errorf("complete: %+v", p)
	}
	in.Instances[4].Routed = false
	if p := compute(in); p.Watch != "" {
		t.Errorf("not in every router: watches %q", p.Watch)
	}
	in.counted(time.Second, Counted{}, Counted{})
	if p := compute(in); p.Watch != "r2/0" {
		t.Error("a watch that has begun ends with a blink of the instance")
	}
}

func TestStage_IsJudgedByWhatWasCounted(t *testing.T) {
	failing := func(c Counted, n uint64) Counted { c.Failed = n; return c }
	slow := func(c Counted, p95 time.Duration) Counted { c.P95 = p95; return c }
	cases := map[string]struct {
		ago     time.Duration
		is, old Counted
		want    outcome
	}{
		"as good as the old one":                    {time.Minute, well, many, passed},
		"as good, and its time is not over":         {59 * time.Second, well, many, waiting},
		"fails, and its time is not over":           {time.Second, failing(well, 20), many, worse},
		"its first four requests fail":              {time.Second, Counted{Requests: 4, Failed: 4}, many, worse},
		"its first three requests fail":             {time.Second, Counted{Requests: 3, Failed: 3}, many, waiting},
		"one failure of a hundred is chance":        {time.Minute, failing(well, 1), many, passed},
		"fails no more than the old one does":       {time.Minute, failing(well, 20), failing(many, 180), passed},
		"fails twice as much as the old one":        {time.Minute, failing(well, 100), failing(many, 180), worse},
		"is slower, and its time is not over":       {59 * time.Second, slow(well, time.Second), many, waiting},
		"is slower":                                 {time.Minute, slow(well, time.Second), many, worse},
		"is slower, and too few requests tell so":   {time.Minute, Counted{Requests: 199, P95: time.Second}, many, passed},
		"is slower by less than a visitor notices":  {time.Minute, slow(well, 90*time.Millisecond), many, passed},
		"is slower by less than the half":           {time.Minute, slow(well, 900*time.Millisecond), slow(many, 500*time.Millisecond), passed},
		"is slow, and the old one had no requests":  {time.Minute, slow(well, time.Second), Counted{}, passed},
		"too few requests":                          {9 * time.Minute, Counted{Requests: 49}, many, waiting},
		"too few requests for too long":             {10 * time.Minute, Counted{Requests: 49}, many, held},
		"no requests for too long":                  {time.Hour, Counted{}, Counted{}, held},
		"requests that come late still decide":      {time.Hour, Counted{Requests: 50}, many, passed},
		"failures that come late still decide":      {time.Hour, Counted{Requests: 40, Failed: 9}, many, worse},
		"few requests and slow is no proof of much": {10 * time.Minute, Counted{Requests: 40, P95: time.Minute}, many, held},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := staged(model.StrategyCanary, 0, 1)
			in.counted(c.ago, c.is, c.old)
			p := compute(in)
			got := waiting
			if len(p.Deploy) == 1 {
				switch d := p.Deploy[0]; {
				case d.Status == model.DeploymentFailed:
					got = worse
					if d.Error.Code != model.CodeJudged || !strings.Contains(d.Error.Message, "requests failed") || d.Error.Still != "v1 keeps serving 4 of 4" {
						t.Errorf("error %+v", d.Error)
					}
					if stops(p)["new0"] != model.ReasonAborted || len(p.Stop) != 1 {
						t.Errorf("stops %+v, want the canary alone", p.Stop)
					}
				case d.Stage == 1:
					got = passed
				case d.Held:
					got = held
				}
			}
			if got != c.want {
				t.Errorf("outcome %d, want %d: %+v", got, c.want, p.Deploy)
			}
		})
	}
}

func TestStage_HeldIsSaidOnceAndWaitsForAPerson(t *testing.T) {
	in := staged(model.StrategyCanary, 0, 1)
	in.counted(time.Hour, Counted{Requests: 3}, many)
	in.Deployments["r2"] = compute(in).Deploy[0]
	if p := compute(in); len(p.Deploy)+len(p.Start)+len(p.Stop) != 0 {
		t.Errorf("again: %+v", p)
	}
	if s := Progress(Default(), in, t0); !strings.Contains(s, "held") || !strings.Contains(s, "dinp promote shop") || !strings.Contains(s, "step 1 of 3") {
		t.Errorf("told as %q", s)
	}
	in.App.Promoted = "r2"
	p := compute(in)
	if len(p.Deploy) != 1 || p.Deploy[0].Stage != 2 || p.Deploy[0].Held || len(p.Promote) != 1 || stops(p)["old0"] != model.ReasonReplaced {
		t.Errorf("promoted: %+v", p)
	}
}

func TestStage_PromotionSkipsTheJudgementAndNotTheReadiness(t *testing.T) {
	in := staged(model.StrategyCanary, 0, 1)
	in.App.Promoted = "r2"
	in.Instances[4].Healthy = false
	if p := compute(in); len(p.Deploy)+len(p.Promote)+len(p.Stop) != 0 {
		t.Errorf("not ready: %+v", p)
	}
	in.Instances[4].Healthy = true
	in.counted(time.Second, Counted{Requests: 9, Failed: 9}, many)
	if p := compute(in); len(p.Deploy) != 1 || p.Deploy[0].Status != model.DeploymentRunning || p.Deploy[0].Stage != 2 {
		t.Errorf("ready, failing, and promoted: %+v", p)
	}
}

func TestStage_BlueGreenSwitchesWhenAllAreReadyAndKeepsTheOldOnes(t *testing.T) {
	in := staged(model.StrategyBlueGreen, 0, 0)
	if p := compute(in); len(p.Start) != 4 || len(p.Stop) != 0 {
		t.Errorf("starts %+v, want all four beside", p.Start)
	}
	split := func(in Input) Split {
		s, _ := SplitOf(in.App, in.Deployments["r2"], in.Releases["r2"])
		return s
	}
	in = staged(model.StrategyBlueGreen, 0, 4)
	if s := split(in); s != (Split{0, 4}) {
		t.Errorf("before the change: split %+v", s)
	}
	in.Instances[7].HealthyAt = t0.Add(-9 * time.Second)
	if p := compute(in); len(p.Deploy) != 0 {
		t.Errorf("one is not ready for long enough: %+v", p.Deploy)
	}
	in.Instances[7].HealthyAt = t0.Add(-10 * time.Second)
	p := compute(in)
	if len(p.Deploy) != 1 || p.Deploy[0].Stage != 1 || len(p.Stop)+len(p.Promote) != 0 {
		t.Fatalf("all ready: %+v", p)
	}
	in.Deployments["r2"] = p.Deploy[0]
	if s := split(in); s != (Split{100, 4}) {
		t.Errorf("after the change: split %+v", s)
	}
	in.counted(5*time.Minute-1, Counted{}, Counted{})
	if p := compute(in); len(p.Deploy)+len(p.Stop)+len(p.Promote) != 0 {
		t.Errorf("the old ones stay: %+v", p)
	}
	in.counted(5*time.Minute, Counted{}, Counted{})
	in.Instances[0].Exposed = true // or the deployment would have succeeded
	p = compute(in)
	if len(p.Promote) != 4 || len(p.Stop) != 4 || p.Deploy[0].Stage != 2 {
		t.Errorf("their time is over: %+v", p)
	}
	in.Deployments["r2"] = p.Deploy[0]
	if s := split(in); s != (Split{100, 4}) {
		t.Errorf("the old ones get requests again: split %+v", s)
	}
}

func TestStage_OldInstancesAreLookedAfterAtTheOldRelease(t *testing.T) {
	in := staged(model.StrategyCanary, 0, 1)
	in.Instances[2].Draining = true
	p := compute(in)
	if len(p.Start) != 1 || p.Start[0] != (Start{Slot: 2, Role: model.Surge, ReleaseID: "r1", Avoid: "n1"}) || len(p.Stop) != 0 {
		t.Fatalf("a drained one: %+v", p)
	}
	in.serving("other", "r1", 2, model.Surge)
	if p := compute(in); len(p.Promote) != 1 || p.Promote[0].ID != "other" || stops(p)["old2"] != model.ReasonDrained || len(p.Stop) != 1 {
		t.Errorf("its replacement is ready: %+v", p)
	}
	in = staged(model.StrategyCanary, 0, 1)
	in.gone(&in.Instances[0], model.GoneExited, model.CodeCrashed)
	if p := compute(in); len(p.Promote) != 0 || len(p.Start) != 1 || p.Start[0] != (Start{Slot: 0, Role: model.Primary, ReleaseID: "r1"}) {
		t.Errorf("one that ended, beside the canary: %+v", p)
	}
}

func TestStage_ThatIsCompleteIsNotLate(t *testing.T) {
	in := staged(model.StrategyCanary, 0, 1)
	in.Trial = &Trial{Key: "r2/0", Since: t0}
	late := t0.Add(time.Hour)
	p := Compute(Default(), in, late)
	if len(p.Deploy) != 1 || p.Deploy[0].Status != model.DeploymentRunning || !p.Deploy[0].Deadline.Equal(late.Add(5*time.Minute)) {
		t.Errorf("complete, an hour later: %+v", p.Deploy)
	}
	in.Instances[4].Healthy = false
	if p := Compute(Default(), in, late); len(p.Deploy) != 1 || p.Deploy[0].Status != model.DeploymentFailed {
		t.Errorf("not complete for so long: %+v", p.Deploy)
	}
}

func TestStage_NoneWithoutSomethingToRunBeside(t *testing.T) {
	cases := map[string]func(in *Input){
		"a rolling one":     func(in *Input) { in.strategy(model.StrategyRolling) },
		"the first release": func(in *Input) { in.rolling("r2", "") },
		"a singleton":       func(in *Input) { in.App.Singleton = true },
		"scaled to 0":       func(in *Input) { in.App.Instances = 0 },
		"a rollback": func(in *Input) {
			r := in.Releases["r2"]
			r.Cause = model.CauseRollback
			in.Releases["r2"] = r
		},
	}
	for name, change := range cases {
		in := staged(model.StrategyCanary, 0, 0)
		change(&in)
		if s, ok := SplitOf(in.App, in.Deployments["r2"], in.Releases["r2"]); ok || Progress(Default(), in, t0) != "" {
			t.Errorf("%s has a stage: %+v", name, s)
		}
	}
}

// Whatever happens to instances and numbers, the old release keeps all of its
// instances until every stage is passed, and all of them end in peace.
func TestProperty_TheOldReleaseServesUntilTheStagesArePassed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "instances")
		c := &cluster{t: t, in: world(n, "r1"), now: t0, bad: map[string]bool{}}
		for range 10 {
			c.step()
			c.live()
		}
		c.in.Releases["r2"] = model.Release{ID: "r2", Number: 2, Spec: model.Spec{}.WithDefaults()}
		c.in.App.ReleaseID = "r2"
		c.in.strategy(rapid.SampledFrom(model.Strategies[1:]).Draw(t, "strategy"), func(s *model.Spec) { s.Observe = model.Duration(20 * time.Second) })
		c.bad["r2"] = rapid.IntRange(0, 3).Draw(t, "bad") == 0
		is := Counted{Requests: 200, Failed: uint64(rapid.SampledFrom([]int{0, 0, 150}).Draw(t, "failed"))}
		steps := c.in.Releases["r2"].Stages()
		watched := ""
		for range 100 {
			d := c.in.Deployments["r2"]
			if d.Status == model.DeploymentRunning && d.Stage < len(steps) {
				if old := c.of("r1"); old != n {
					t.Fatalf("%d of %d old ones serve in stage %d: %s", old, n, d.Stage, c.dump())
				}
				if now := len(c.in.Instances) - n; now > steps[d.Stage].Instances(n) {
					t.Fatalf("%d beside %d in stage %d", now, n, d.Stage)
				}
			}
			c.step()
			if c.watch != watched {
				watched, c.in.Trial = c.watch, &Trial{Key: c.watch, Since: c.now, New: is, Old: Counted{Requests: 900}}
			}
			c.live()
		}
		want := "r2"
		if c.bad["r2"] || is.Failed > 0 && len(steps) > 0 && steps[0].Judged {
			want = "r1"
		}
		if c.of(want) != n || len(c.in.Instances) != n {
			t.Fatalf("%d of %d serve %s: %s", c.of(want), n, want, c.dump())
		}
	})
}

// of counts the ready instances of a release.
func (c *cluster) of(release string) (n int) {
	for i := range c.in.Instances {
		if i := &c.in.Instances[i]; i.ReleaseID == release && i.Ready() {
			n++
		}
	}
	return n
}
