package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

var t0 = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a one-app input that tests change line by line.
func world(instances int, releases ...string) Input {
	in := Input{
		App:      model.App{ID: "a", Name: "shop", Instances: instances, Generation: 1},
		Releases: map[string]model.Release{}, Deployments: map[string]model.Deployment{}, Slots: map[int]Slot{},
	}
	for n, id := range releases {
		in.Releases[id] = model.Release{ID: id, AppID: "a", Number: n + 1, Spec: model.Spec{}.WithDefaults()}
		in.App.ReleaseID = id
	}
	return in
}

func (in *Input) succeeded(release string) {
	in.Deployments[release] = model.Deployment{ReleaseID: release, AppID: "a", Status: model.DeploymentSucceeded}
	in.LastGood = release
}

func (in *Input) rolling(release, from string) {
	in.Deployments[release] = model.Deployment{
		ReleaseID: release, AppID: "a", FromReleaseID: from, Status: model.DeploymentRunning, StartedAt: t0, Deadline: t0.Add(5 * time.Minute),
	}
}

// failed notes a rollout that has failed.
func (in *Input) failed(release, from string) {
	in.rolling(release, from)
	d := in.Deployments[release]
	d.Status = model.DeploymentFailed
	in.Deployments[release] = d
}

// serving adds a ready, routed instance.
func (in *Input) serving(id, release string, slot int, role model.Role) *Instance {
	in.Instances = append(in.Instances, Instance{
		Instance: model.Instance{ID: id, AppID: "a", ReleaseID: release, Slot: slot, Role: role, NodeID: "n1", CreatedAt: t0.Add(-time.Hour)},
		Observed: &model.Observed{ID: id, Phase: model.PhaseRunning}, Judged: true, Healthy: true, HealthyAt: t0.Add(-time.Hour),
		Node: model.NodeReady, Routed: true, EverRouted: true,
	})
	return &in.Instances[len(in.Instances)-1]
}

func (in *Input) starting(id, release string, slot int, role model.Role) *Instance {
	i := in.serving(id, release, slot, role)
	i.CreatedAt, i.Healthy, i.Judged, i.HealthyAt, i.Routed, i.EverRouted = t0, false, false, time.Time{}, false, false
	return i
}

func (in *Input) gone(i *Instance, how model.Gone, code model.Code) {
	i.Observed = &model.Observed{ID: i.ID, Phase: model.PhaseGone, Gone: how, Code: code, Message: "exit code 1"}
}

func compute(in Input) Plan { return Compute(Default(), in, t0) }

func stops(p Plan) map[string]model.Reason {
	out := map[string]model.Reason{}
	for _, s := range p.Stop {
		out[s.ID] = s.Reason
	}
	return out
}

func TestCompute_FirstReleaseStartsEverySlotAndBeginsADeployment(t *testing.T) {
	p := compute(world(3, "r1"))
	if len(p.Start) != 3 || p.Start[2] != (Start{Slot: 2, Role: model.Primary, ReleaseID: "r1"}) {
		t.Errorf("starts %+v", p.Start)
	}
	if len(p.Deploy) != 1 || p.Deploy[0].Status != model.DeploymentRunning {
		t.Errorf("deployments %+v", p.Deploy)
	}
}

func TestCompute_ConvergedAppNeedsNothing(t *testing.T) {
	in := world(2, "r1")
	in.succeeded("r1")
	in.serving("i0", "r1", 0, model.Primary)
	in.serving("i1", "r1", 1, model.Primary)
	if p := compute(in); !cmp.Equal(p, Plan{}) {
		t.Errorf("plan %+v, want nothing", p)
	}
}

func TestCompute_PlacedButSilentInstanceIsNotStartedAgain(t *testing.T) { // DEFECTS 3, 4
	in := world(1, "r1")
	in.rolling("r1", "")
	in.starting("i0", "r1", 0, model.Primary).Observed = nil
	if p := compute(in); len(p.Start)+len(p.Stop) != 0 {
		t.Errorf("plan %+v, want to wait", p)
	}
}

func TestCompute_NewReleaseSurgesAndLeavesTheOldOnesAlone(t *testing.T) { // DEFECTS 6, 7, 8
	in := world(4, "r1", "r2")
	in.succeeded("r1")
	for n := range 4 {
		in.serving(fmt.Sprint("i", n), "r1", n, model.Primary)
	}
	p := compute(in)
	if len(p.Stop) != 0 {
		t.Errorf("stops %+v before a new one is ready", p.Stop)
	}
	if want := []Start{{Slot: 0, Role: model.Surge, ReleaseID: "r2"}}; !cmp.Equal(p.Start, want) {
		t.Errorf("starts %+v, want one of four (25 %%)", p.Start)
	}
}

func TestCompute_SurgeTakesItsSlotOnlyWhenReadyRoutedAndSettled(t *testing.T) {
	cases := map[string]struct {
		change  func(s *Instance)
		promote bool
	}{
		"ready, routed, settled": {func(*Instance) {}, true},
		"not healthy":            {func(s *Instance) { s.Healthy = false }, false},
		"not routed everywhere":  {func(s *Instance) { s.Routed = false }, false},
		"ready for 9s":           {func(s *Instance) { s.HealthyAt = t0.Add(-9 * time.Second) }, false},
		"still starting":         {func(s *Instance) { s.Observed = &model.Observed{Phase: model.PhaseStarting} }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := world(1, "r1", "r2")
			in.succeeded("r1")
			in.rolling("r2", "r1")
			in.serving("old", "r1", 0, model.Primary)
			c.change(in.serving("new", "r2", 0, model.Surge))
			p := compute(in)
			if got := len(p.Promote) == 1; got != c.promote {
				t.Errorf("promote %v, want %v", got, c.promote)
			}
			if got := stops(p)["old"] == model.ReasonReplaced; got != c.promote {
				t.Errorf("old one stopped: %v, want %v", got, c.promote)
			}
		})
	}
}

func TestCompute_DeploymentSucceedsOnlyWhenTheOldReleaseAnswersNoMore(t *testing.T) {
	for _, exposed := range []bool{true, false} {
		in := world(1, "r1", "r2")
		in.succeeded("r1")
		in.rolling("r2", "r1")
		in.serving("new", "r2", 0, model.Primary)
		old := in.serving("old", "r1", 0, model.Primary)
		old.Stopping, old.Exposed = true, exposed
		p := compute(in)
		if got := len(p.Deploy) == 1 && p.Deploy[0].Status == model.DeploymentSucceeded; got == exposed {
			t.Errorf("old one exposed %v: deployments %+v", exposed, p.Deploy)
		}
	}
}

func TestCompute_LossDuringARolloutIsReplacedAtTheLastGoodRelease(t *testing.T) {
	in := world(2, "r1", "r2")
	in.succeeded("r1")
	in.rolling("r2", "r1")
	in.serving("i0", "r1", 0, model.Primary)
	in.gone(in.serving("i1", "r1", 1, model.Primary), model.GoneExited, model.CodeCrashed)
	p := compute(in)
	found := false
	for _, s := range p.Start {
		found = found || s == Start{Slot: 1, Role: model.Primary, ReleaseID: "r1"}
	}
	if !found {
		t.Errorf("starts %+v, want slot 1 at r1", p.Start)
	}
}

func TestCompute_ReleaseThatKeepsCrashingFailsAndTheOldOneServesOn(t *testing.T) {
	in := world(1, "r1", "r2")
	in.succeeded("r1")
	in.rolling("r2", "r1")
	in.serving("old", "r1", 0, model.Primary)
	in.starting("new", "r2", 0, model.Surge)
	for range 3 {
		in.Failures = append(in.Failures, Failure{At: t0, Code: model.CodeCrashed, Message: "exit code 3", Logs: []string{"boom"}})
	}
	p := compute(in)
	if len(p.Deploy) != 1 || p.Deploy[0].Status != model.DeploymentFailed {
		t.Fatalf("deployments %+v, want failed", p.Deploy)
	}
	e := p.Deploy[0].Error
	if e.Code != model.CodeCrashed || !strings.Contains(strings.Join(e.Evidence, "\n"), "boom") || e.Still != "v1 keeps serving 1 of 1" {
		t.Errorf("error %+v", e)
	}
	if got := stops(p); len(got) != 1 || got["new"] != model.ReasonAborted {
		t.Errorf("stops %v, want the new one only", got)
	}
}

func TestCompute_DeadlineRollsBackAndNamesTheProbe(t *testing.T) {
	in := world(1, "r1", "r2")
	in.succeeded("r1")
	in.rolling("r2", "r1")
	in.serving("old", "r1", 0, model.Primary)
	s := in.starting("new", "r2", 0, model.Surge)
	s.Judged, s.Probe = true, "GET / → connection refused"
	in.LastLogs = []string{"listening on 9999"}
	p := Compute(Default(), in, t0.Add(5*time.Minute))
	e := p.Deploy[0].Error
	if p.Deploy[0].Status != model.DeploymentFailed || e.Code != model.CodeNotReady || len(e.Evidence) != 2 {
		t.Fatalf("deployment %+v, error %+v", p.Deploy[0], e)
	}
	if got := stops(p); len(got) != 1 || got["new"] == "" {
		t.Errorf("stops %v", got)
	}
}

// A deadline that passed while nobody led says nothing of the release: its nodes
// speak first.
func TestCompute_PassedDeadlineWaitsUntilTheReleasesNodesWereHeard(t *testing.T) {
	after := t0.Add(time.Hour)
	cases := map[string]struct {
		change func(in *Input, i *Instance)
		fails  bool
	}{
		"heard, and not ready":    {func(*Input, *Instance) {}, true},
		"the term has just begun": {func(in *Input, _ *Instance) { in.Since = after.Add(-29 * time.Second) }, false},
		"the term has begun before it": {func(in *Input, _ *Instance) {
			d := in.Deployments["r2"]
			in.Since, d.StartedAt = after.Add(-29*time.Second), after.Add(-20*time.Second)
			in.Deployments["r2"] = d
		}, true},
		"its node has not spoken":            {func(_ *Input, i *Instance) { i.Observed, i.Node = nil, model.NodeUnknown }, false},
		"its node is lost":                   {func(_ *Input, i *Instance) { i.Observed, i.Node = nil, model.NodeLost }, true},
		"its node was heard and fell silent": {func(_ *Input, i *Instance) { i.Node = model.NodeUnknown }, true},
		"silent nodes would have room":       {func(in *Input, _ *Instance) { in.Refusal, in.Awaited = model.E(model.CodeNoMemory, "no room"), true }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := world(1, "r1", "r2")
			in.succeeded("r1")
			in.rolling("r2", "r1")
			in.serving("old", "r1", 0, model.Primary)
			c.change(&in, in.starting("new", "r2", 0, model.Surge))
			p := Compute(Default(), in, after)
			if got := len(p.Deploy) == 1 && p.Deploy[0].Status == model.DeploymentFailed; got != c.fails {
				t.Errorf("failed %v, want %v: %+v", got, c.fails, p)
			}
			if !c.fails && !in.Since.IsZero() && !p.Wake.Equal(in.Since.Add(30*time.Second)) {
				t.Errorf("wakes at %s", p.Wake)
			}
		})
	}
}

func TestCompute_FailedReleaseIsNotTriedAgainBySelf(t *testing.T) {
	in := world(1, "r1", "r2")
	in.succeeded("r1")
	in.failed("r2", "r1")
	in.serving("old", "r1", 0, model.Primary)
	if p := compute(in); !cmp.Equal(p, Plan{}) {
		t.Errorf("plan %+v, want r1 left in peace", p)
	}
}

func TestCompute_FailedRolloutBringsWonSlotsBackBySurge(t *testing.T) {
	in := world(2, "r1", "r2")
	in.succeeded("r1")
	in.failed("r2", "r1")
	in.serving("won", "r2", 0, model.Primary)
	in.serving("old", "r1", 1, model.Primary)
	p := compute(in)
	if want := []Start{{Slot: 0, Role: model.Surge, ReleaseID: "r1"}}; !cmp.Equal(p.Start, want) || len(p.Stop) != 0 {
		t.Errorf("plan %+v, want r1 to surge in slot 0 and nothing stopped", p)
	}
}

func TestCompute_FirstReleaseThatFailsLeavesNothingBehind(t *testing.T) {
	in := world(1, "r1")
	in.rolling("r1", "")
	in.starting("i0", "r1", 0, model.Primary)
	p := Compute(Default(), in, t0.Add(5*time.Minute))
	if len(p.Start) != 0 || stops(p)["i0"] != model.ReasonAborted {
		t.Errorf("plan %+v", p)
	}
}

func TestCompute_SilentNodeChangesNothing(t *testing.T) { // DEFECTS 15, 34, R8
	in := world(2, "r1")
	in.succeeded("r1")
	in.serving("i0", "r1", 0, model.Primary).Node = model.NodeUnknown
	in.serving("i1", "r1", 1, model.Primary).Node = model.NodeDockerDown
	if p := compute(in); len(p.Start)+len(p.Stop)+len(p.Suspect) != 0 {
		t.Errorf("plan %+v, want nothing", p)
	}
}

func TestCompute_LostNodeIsReplacedUnlessTheBreakerIsOpen(t *testing.T) { // R8, R9
	for _, frozen := range []bool{false, true} {
		in := world(1, "r1")
		in.succeeded("r1")
		in.serving("i0", "r1", 0, model.Primary).Node = model.NodeLost
		in.Frozen = frozen
		p := compute(in)
		if got := len(p.Suspect) == 1 && len(p.Start) == 1; got == frozen || len(p.Stop) != 0 {
			t.Errorf("frozen %v: plan %+v", frozen, p)
		}
	}
}

func TestCompute_ReturningNodeKeepsItsInstanceUnlessTheReplacementIsReady(t *testing.T) { // R10
	in := world(1, "r1")
	in.succeeded("r1")
	in.serving("original", "r1", 0, model.Suspect)
	in.starting("replacement", "r1", 0, model.Primary)
	p := compute(in)
	if !cmp.Equal(p.Keep, []string{"original"}) || stops(p)["replacement"] != model.ReasonCancelled || len(p.Stop) != 1 {
		t.Errorf("replacement not ready: plan %+v", p)
	}
	in = world(1, "r1")
	in.succeeded("r1")
	in.serving("original", "r1", 0, model.Suspect)
	in.serving("replacement", "r1", 0, model.Primary)
	p = compute(in)
	if len(p.Keep) != 0 || stops(p)["original"] != model.ReasonLost || len(p.Stop) != 1 {
		t.Errorf("replacement ready: plan %+v", p)
	}
}

// Its release may be wanted no more: the rollout has failed while the node was away.
func TestCompute_ReturningInstanceOfAnotherReleaseServesUntilAnotherDoes(t *testing.T) { // R10
	back := func() Input {
		in := world(1, "r1", "r2")
		in.succeeded("r1")
		in.failed("r2", "r1")
		in.serving("original", "r2", 0, model.Suspect)
		return in
	}
	p := compute(back())
	if want := []Start{{Slot: 0, Role: model.Surge, ReleaseID: "r1"}}; !cmp.Equal(p.Keep, []string{"original"}) || !cmp.Equal(p.Start, want) || len(p.Stop) != 0 {
		t.Errorf("no replacement: plan %+v", p)
	}
	in := back()
	in.starting("replacement", "r1", 0, model.Primary)
	if p = compute(in); len(p.Keep)+len(p.Start)+len(p.Stop) != 0 {
		t.Errorf("replacement not ready: plan %+v", p)
	}
	in = back()
	in.serving("replacement", "r1", 0, model.Primary)
	if p = compute(in); len(p.Keep) != 0 || stops(p)["original"] != model.ReasonLost || len(p.Stop) != 1 {
		t.Errorf("replacement ready: plan %+v", p)
	}
}

func TestCompute_ScaleDownStopsTheHighestSlots(t *testing.T) { // DEFECTS 20
	in := world(1, "r1")
	in.succeeded("r1")
	for n := range 3 {
		in.serving(fmt.Sprint("i", n), "r1", n, model.Primary)
	}
	if got := stops(compute(in)); len(got) != 2 || got["i0"] != "" {
		t.Errorf("stops %v", got)
	}
}

func TestCompute_DeletedAppLosesEverything(t *testing.T) { // DEFECTS 11
	in := world(2, "r1")
	in.succeeded("r1")
	in.App.DeletedAt = t0
	in.serving("i0", "r1", 0, model.Primary)
	in.serving("i1", "r1", 1, model.Primary).Node = model.NodeUnknown
	p := compute(in)
	if got := stops(p); len(got) != 2 || got["i1"] != model.ReasonDeleted || len(p.Start) != 0 {
		t.Errorf("plan %+v", p)
	}
}

func TestCompute_CrashLoopBacksOff(t *testing.T) { // DEFECTS 17, R13
	cfg := Default()
	var s Slot
	var waits []time.Duration
	for range 12 {
		s = Failed(cfg, s, model.Instance{AppID: "a", NodeID: "n7"}, t0)
		waits = append(waits, s.NextStart.Sub(t0))
	}
	want := []time.Duration{0, 0, 5e9, 10e9, 20e9, 40e9, 80e9, 160e9, 300e9, 300e9, 300e9, 300e9}
	for i := range want {
		if waits[i] < want[i]*4/5 || waits[i] > want[i]*6/5 {
			t.Errorf("wait %d is %s, want %s give or take a fifth", i, waits[i], want[i])
		}
	}
	if s.Node != "n7" {
		t.Errorf("failed on %q", s.Node)
	}
	in := world(1, "r1")
	in.succeeded("r1")
	in.Slots[0] = Slot{Failures: 4, NextStart: t0.Add(10 * time.Second)}
	p := compute(in)
	if len(p.Start) != 0 || len(p.Pending) != 1 || !p.Wake.Equal(t0.Add(10*time.Second)) {
		t.Errorf("plan %+v, want to wait", p)
	}
}

// A node whose disk is full, or that has what was forgotten of it, refuses every
// start at once: without a pause the slot would be placed there again and again.
// One without room says so of itself, not of the app.
func TestCompute_NodeThatRefusesLetsTheSlotWait(t *testing.T) {
	for code, failed := range map[model.Code]bool{model.CodeInternal: true, model.CodeNoMemory: false, model.CodeCutOff: false, "": false} {
		in := world(1, "r1")
		in.succeeded("r1")
		in.gone(in.starting("i1", "r1", 0, model.Primary), model.GoneRejected, code)
		if p := compute(in); len(p.Reap) != 1 || p.Reap[0].Failed != failed || p.Reap[0].Waits() != (code != "") {
			t.Errorf("rejected with %q: %+v", code, p.Reap)
		}
	}
}

// What failed together does not start together.
func TestFailed_SlotsWaitApart(t *testing.T) { // R13
	waits := map[time.Time]bool{}
	for slot := range 50 {
		waits[Failed(Default(), Slot{Failures: 9}, model.Instance{AppID: "a", Slot: slot}, t0).NextStart] = true
	}
	if len(waits) < 40 {
		t.Errorf("50 slots wait for %d different times", len(waits))
	}
}

func TestCompute_AReleaseThatFailsEverywhereIsTriedByOneInstanceOnly(t *testing.T) { // R13
	in := world(5, "r1")
	in.succeeded("r1")
	in.Nodes = 9
	for n := range 4 {
		in.Slots[n] = Slot{Failures: 3, NextStart: t0, Node: fmt.Sprint("n", min(n, 2))}
	}
	p := compute(in)
	if len(p.Start) != 1 || len(p.Pending) != 4 || p.Pending[0].Code != model.CodeCrashed {
		t.Errorf("starts %v, pending %v", p.Start, p.Pending)
	}
	in.Slots[2], in.Slots[3] = Slot{Failures: 3, NextStart: t0, Node: "n1"}, Slot{}
	if p := compute(in); len(p.Start) != 5 {
		t.Errorf("on two of nine nodes: starts %v, want all five", p.Start)
	}
}

func TestCompute_ScalingDownKeepsWhatServesUntilEnoughOthersDo(t *testing.T) { // R12
	in := world(2, "r1")
	in.succeeded("r1")
	for n := range 4 {
		i := in.serving(fmt.Sprint("i", n), "r1", n, model.Primary)
		i.Healthy = n >= 2
	}
	if got := stops(compute(in)); len(got) != 0 {
		t.Errorf("stopped %v while the slots that stay do not serve", got)
	}
	in.Instances[0].Healthy = true
	if got := stops(compute(in)); len(got) != 1 || got["i2"] != model.ReasonScaled {
		t.Errorf("stopped %v, want one of the surplus", got)
	}
}

func TestCompute_AnEpidemicReplacesNobody(t *testing.T) { // R12
	in := world(2, "r1")
	in.succeeded("r1")
	for n := range 2 {
		i := in.serving(fmt.Sprint("i", n), "r1", n, model.Primary)
		if n == 0 {
			i.Healthy, i.SickAt = false, t0.Add(-time.Hour)
		}
	}
	if p := compute(in); len(p.Start) != 1 {
		t.Errorf("one sick instance: starts %v, want its replacement", p.Start)
	}
	in.MassSick = true
	if p := compute(in); len(p.Start)+len(p.Stop) != 0 {
		t.Errorf("in an epidemic: starts %v, stops %v", p.Start, p.Stop)
	}
}

func TestCompute_MassProbeFailureKillsNothing(t *testing.T) { // DEFECTS 49, 50, R12
	in := world(3, "r1")
	in.succeeded("r1")
	for n := range 3 {
		i := in.serving(fmt.Sprint("i", n), "r1", n, model.Primary)
		i.Healthy, i.SickAt = false, t0.Add(-time.Hour)
	}
	p := compute(in)
	if len(p.Stop) != 0 || len(p.Start) != 1 {
		t.Errorf("plan %+v, want one surge and no stop", p)
	}
}

// All monitors saw it dead, its replacement serves, and then nothing is heard of
// its node any more (found by the simulator).
func TestCompute_ReplacementThatServesStaysUntilWhatItReplacesDoes(t *testing.T) { // R12
	in := world(1, "r1")
	in.succeeded("r1")
	in.serving("new", "r1", 0, model.Surge)
	old := in.serving("old", "r1", 0, model.Primary)
	old.Healthy, old.SickAt, old.Node = false, t0.Add(-time.Minute), model.NodeUnknown
	if p := compute(in); len(p.Stop)+len(p.Start) != 0 {
		t.Errorf("while its node is silent: stops %v, starts %v", p.Stop, p.Start)
	}
	old.Healthy, old.SickAt, old.Node = true, time.Time{}, model.NodeReady
	if p := compute(in); stops(p)["new"] != model.ReasonCancelled || len(p.Stop) != 1 {
		t.Errorf("once it serves again: stops %v", p.Stop)
	}
}

func TestCompute_PausedAppIsLeftAlone(t *testing.T) {
	in := world(1, "r1", "r2")
	in.succeeded("r1")
	in.App.Paused = true
	in.serving("i0", "r1", 0, model.Primary)
	in.serving("i5", "r1", 5, model.Primary)
	p := compute(in)
	if len(p.Start)+len(p.Stop)+len(p.Promote) != 0 {
		t.Errorf("plan %+v", p)
	}
}

func TestCompute_NoRoomFailsTheDeploymentWithTheRefusal(t *testing.T) {
	in := world(1, "r1", "r2")
	in.succeeded("r1")
	in.rolling("r2", "r1")
	in.serving("i0", "r1", 0, model.Primary)
	in.Unplaceable, in.Refusal = t0.Add(-time.Minute), model.E(model.CodeNoMemory, "0 of 1 nodes fit")
	p := compute(in)
	if len(p.Deploy) != 1 || p.Deploy[0].Error.Code != model.CodeNoMemory || p.Deploy[0].Error.Still == "" {
		t.Errorf("plan %+v", p)
	}
}

func TestCompute_DrainedNodeIsLeftBySurgeElsewhere(t *testing.T) {
	in := world(1, "r1")
	in.succeeded("r1")
	in.serving("i0", "r1", 0, model.Primary).Draining = true
	p := compute(in)
	if want := []Start{{Slot: 0, Role: model.Surge, ReleaseID: "r1", Avoid: "n1"}}; !cmp.Equal(p.Start, want) || len(p.Stop) != 0 {
		t.Errorf("plan %+v", p)
	}
}

// A leader whose term has just begun times what was placed before it from then on:
// a row's age says nothing of what was started only now (R14).
func TestCompute_AgeBeforeTheTermMakesNoInstanceOverdue(t *testing.T) {
	t.Parallel()
	for ago, want := range map[time.Duration]int{0: 0, 4*time.Minute + 59*time.Second: 0, 5 * time.Minute: 1} {
		in := world(1, "r1")
		in.succeeded("r1")
		i := in.starting("i1", "r1", 0, model.Primary)
		i.Judged, i.CreatedAt = true, t0.Add(-time.Hour)
		in.Since = t0.Add(-ago)
		if p := compute(in); len(p.Start) != want || len(p.Stop) != 0 {
			t.Errorf("%s after the term began: starts %+v, stops %+v, want %d starts", ago, p.Start, p.Stop, want)
		}
	}
}
