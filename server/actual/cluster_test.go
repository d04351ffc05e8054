package actual

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/wire"
)

var (
	t0     = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	limits = Limits{UnknownAfter: 15 * time.Second, LostAfter: 60 * time.Second}
)

func told(c *Cluster, id string, at time.Time) *Node {
	n := c.Node(id)
	n.Session, n.Heard, n.DockerOK, n.DockerTold = "s", at, true, true
	n.Sync(nil)
	return n
}

// at advances a node to a time and returns its status.
func at(c *Cluster, n *Node, now time.Time) model.NodeStatus {
	c.Advance(n, now)
	c.Breaker(now)
	c.Advance(n, now)
	return n.Status
}

// pair is a cluster of one node under test and one that never falls silent.
func pair() (*Cluster, *Node) {
	c := New(limits, t0)
	told(c, "other", t0.Add(24*time.Hour))
	n := told(c, "n", t0)
	at(c, c.Node("other"), t0)
	at(c, n, t0)
	return c, n
}

func TestAdvance_SilenceHasSteps(t *testing.T) { // DEFECTS 15, 34, 35, R8
	c, n := pair()
	for _, v := range []struct {
		silence time.Duration
		want    model.NodeStatus
	}{{0, model.NodeReady}, {14 * time.Second, model.NodeReady}, {15 * time.Second, model.NodeUnknown}, {74 * time.Second, model.NodeUnknown}, {75 * time.Second, model.NodeLost}, {99 * time.Hour, model.NodeLost}} {
		if got := at(c, n, t0.Add(v.silence)); got != v.want {
			t.Errorf("silent for %s: %s, want %s", v.silence, got, v.want)
		}
	}
}

func TestAdvance_TheEndOfAStreamIsOnlyAHint(t *testing.T) { // R8
	c, n := pair()
	n.Session, n.Synced = "", false
	if got := at(c, n, t0.Add(time.Second)); got != model.NodeReady || n.Placeable() {
		t.Errorf("without a stream: %s, placeable %v", got, n.Placeable())
	}
}

func TestAdvance_TellsWhenToLookAgain(t *testing.T) {
	c, n := pair()
	for _, v := range []struct{ now, want time.Duration }{{time.Second, 15 * time.Second}, {15 * time.Second, 75 * time.Second}} {
		if _, next := c.Advance(n, t0.Add(v.now)); !next.Equal(t0.Add(v.want)) {
			t.Errorf("at %s: look again after %s, want %s", v.now, next.Sub(t0), v.want)
		}
	}
	c.Breaker(t0.Add(75 * time.Second))
	if _, next := c.Advance(n, t0.Add(75*time.Second)); !next.IsZero() {
		t.Errorf("a lost node is looked at again after %s", next.Sub(t0))
	}
}

func TestAdvance_ANewTermCountsSilenceFromItsOwnBeginning(t *testing.T) { // DEFECTS 12, R6
	c := New(limits, t0)
	told(c, "other", t0.Add(24*time.Hour))
	at(c, c.Node("other"), t0)
	n := c.Node("n")
	n.SeenAt = t0.Add(-time.Hour)
	for _, d := range []time.Duration{time.Second, 74 * time.Second} {
		if got := at(c, n, t0.Add(d)); got != model.NodeUnknown {
			t.Errorf("after %s: %s", d, got)
		}
	}
}

func TestAdvance_AnEngineThatIsAwayIsToldFromASilentNode(t *testing.T) {
	c, n := pair()
	n.DockerOK = false
	if got := at(c, n, t0); got != model.NodeDockerDown {
		t.Errorf("status %s", got)
	}
}

func TestReport_PhasesNeverGoBack(t *testing.T) {
	_, n := pair()
	n.Report([]model.Observed{{ID: "i", Phase: model.PhaseRunning}})
	n.Report([]model.Observed{{ID: "i", Phase: model.PhasePulling}})
	if n.Seen("i").Phase != model.PhaseRunning {
		t.Errorf("phase %s", n.Seen("i").Phase)
	}
}

func TestSame_TheDigestFollowsEveryChange(t *testing.T) {
	c, n := pair()
	a, b := model.Observed{ID: "a", Phase: model.PhaseRunning, Addr: "1.2.3.4:5"}, model.Observed{ID: "b", Phase: model.PhasePulling}
	n.Sync([]model.Observed{a, b})
	b.Phase = model.PhaseRunning
	n.Report([]model.Observed{b})
	if !n.Same(wire.Digest([]model.Observed{b, a})) {
		t.Error("after a report")
	}
	c.Forget(n, "a")
	if !n.Same(wire.Digest([]model.Observed{b})) || n.Same(wire.Digest(nil)) {
		t.Error("after a forget")
	}
	n.Sync(nil)
	if !n.Same(wire.Digest(nil)) {
		t.Error("after a sync")
	}
}

// judge tells a verdict and returns whether it changed the common one.
func judge(c *Cluster, monitor string, healthy bool, now time.Time) (changed bool) {
	c.Judge(monitor, []model.Verdict{{InstanceID: "i", Healthy: healthy}}, now, func(string) { changed = true })
	return changed
}

func TestAnsweredAt_IsTheFirstAnswerToAnyMonitor_AndNotAfterItWasHealthy(t *testing.T) {
	t.Parallel()
	c := New(limits, t0)
	hear := func(monitor string, healthy bool, answers, at time.Duration) {
		c.Judge(monitor, []model.Verdict{{InstanceID: "i", Healthy: healthy, Answers: answers}}, t0.Add(at), func(string) {})
	}
	want := func(at time.Duration) {
		t.Helper()
		if got := c.AnsweredAt(c.Verdict("i")); !got.Equal(t0.Add(at)) {
			t.Errorf("answered %s into the term, want %s", got.Sub(t0), at)
		}
	}
	hear("a", false, 0, time.Second)
	if at := c.AnsweredAt(c.Verdict("i")); !at.IsZero() {
		t.Errorf("it has not answered, and did at %s", at)
	}
	hear("a", false, 2*time.Second, 10*time.Second)
	want(8 * time.Second)
	hear("b", true, time.Second, 12*time.Second)
	want(8 * time.Second)
	hear("a", true, 14*time.Second, 13*time.Second)
	want(-time.Second) // before the term
	hear("b", true, 13*time.Second, 13*time.Second)
	want(-time.Second)

	c.Assume("j", t0.Add(time.Second)) // it was routed, and its monitor is new
	c.Judge("a", []model.Verdict{{InstanceID: "j", Healthy: true, Answers: time.Second}}, t0.Add(20*time.Second), func(string) {})
	if at := c.AnsweredAt(c.Verdict("j")); !at.Equal(t0.Add(time.Second)) {
		t.Errorf("it was well before it answered: %s", at.Sub(t0))
	}
	c.Judge("a", []model.Verdict{{InstanceID: "k", Healthy: true, Answers: 3 * time.Second}}, t0.Add(3*time.Second), func(string) {})
	if at := c.AnsweredAt(c.Verdict("k")); at.IsZero() || at.Sub(t0).Abs() > time.Millisecond {
		t.Errorf("an answer when the term began: %s", at)
	}
}

func TestJudge_OneMonitorThatIsCutOffCondemnsNobody(t *testing.T) { // DEFECTS 50
	c := New(limits, t0)
	judge(c, "near", true, t0)
	judge(c, "far", false, t0.Add(time.Second))
	if v := c.Verdict("i"); !v.Healthy || !v.HealthyAt().Equal(t0) {
		t.Errorf("verdict %+v", v)
	}
	judge(c, "near", false, t0.Add(2*time.Second))
	if v := c.Verdict("i"); v.Healthy || !v.SickAt().Equal(t0.Add(2*time.Second)) {
		t.Errorf("verdict %+v", v)
	}
	c.MonitorGone("near")
	if v := c.Verdict("i"); v.Healthy || !v.Judged {
		t.Errorf("a monitor that left changed the verdict: %+v", v)
	}
}

func TestAssume_IsOverruledByTheFirstWord(t *testing.T) {
	c := New(limits, t0)
	c.Assume("i", t0)
	if v := c.Verdict("i"); !v.Healthy || v.Judged {
		t.Errorf("assumed %+v", v)
	}
	if !judge(c, "m", false, t0) || c.Verdict("i").Healthy || !c.Verdict("i").Judged {
		t.Errorf("the first word is not news: %+v", c.Verdict("i"))
	}
}

// When a term begins monitors say so of every instance, and each app would be
// planned as many times.
func TestAssume_IsConfirmedWithoutAChange(t *testing.T) {
	c := New(limits, t0)
	c.Assume("i", t0)
	if judge(c, "m", true, t0.Add(time.Second)) {
		t.Error("a verdict that confirms what was assumed is a change")
	}
	if v := c.Verdict("i"); !v.Healthy || !v.Judged || !v.HealthyAt().Equal(t0) {
		t.Errorf("confirmed %+v", v)
	}
	if !judge(New(limits, t0), "m", false, t0) {
		t.Error("a first verdict on what nothing was assumed of is no change")
	}
}

func TestSick_ManyAtOnceAreNotBelieved(t *testing.T) { // R12
	c := New(limits, t0)
	tell := func(from, to int, healthy bool) {
		for i := from; i < to; i++ {
			c.Judge("m", []model.Verdict{{InstanceID: fmt.Sprint(i), Healthy: healthy}}, t0, func(string) {})
		}
	}
	tell(0, 32, true)
	tell(100, 132, false) // never were healthy: their release's own fault
	if tell(0, 10, false); c.Sick.Mass() {
		t.Error("10 of 32")
	}
	if tell(10, 11, false); !c.Sick.Mass() {
		t.Error("11 of 32 are not too many")
	}
	c.Forget(told(c, "n", t0), "0")
	if c.Sick.Mass() {
		t.Error("10 of 31 after one was forgotten")
	}
	if tell(1, 11, true); c.Sick != (Sick{healthy: 31}) {
		t.Errorf("after recovery %+v", c.Sick)
	}
}

// silence makes a cluster of nodes in the given zones, the first of each silent,
// and advances it until the silent ones could be lost.
func silence(zones ...struct{ nodes, silent int }) *Cluster {
	c := New(limits, t0)
	for z, v := range zones {
		for i := range v.nodes {
			n := told(c, fmt.Sprintf("%d-%d", z, i), t0.Add(time.Hour))
			is := n.Node
			is.Zone = fmt.Sprint(z)
			c.Describe(n, is)
			if i < v.silent {
				n.Heard = t0
			}
		}
	}
	for _, d := range []time.Duration{0, 15 * time.Second, 75 * time.Second} {
		c.look(t0.Add(d))
	}
	return c
}

// look advances all nodes as the reconciler does those that are due.
func (c *Cluster) look(now time.Time) {
	all := slices.Sorted(maps.Keys(c.Nodes))
	for _, id := range all {
		c.Advance(c.Nodes[id], now)
	}
	c.Breaker(now)
	for _, id := range all {
		c.Advance(c.Nodes[id], now)
	}
}

func (c *Cluster) lost() (n int) {
	for _, v := range c.Nodes {
		if v.Status == model.NodeLost {
			n++
		}
	}
	return n
}

type nodesOf = struct{ nodes, silent int }

func TestBreaker_OpensOnlyBeyondAccidents(t *testing.T) { // R9
	for _, v := range []struct {
		zones  []nodesOf
		frozen bool
	}{
		{[]nodesOf{{1, 0}}, false}, {[]nodesOf{{1, 1}}, true}, {[]nodesOf{{2, 1}}, false}, {[]nodesOf{{2, 2}}, true},
		{[]nodesOf{{10, 3}}, false}, {[]nodesOf{{10, 4}}, true}, {[]nodesOf{{40, 6}}, false}, {[]nodesOf{{40, 7}}, true},
		{[]nodesOf{{90, 0}, {10, 3}}, false}, {[]nodesOf{{90, 0}, {10, 4}}, true},
	} {
		c := silence(v.zones...)
		if c.Frozen() != v.frozen || v.frozen && c.lost() > 0 {
			t.Errorf("%v: frozen %v with %d lost, want %v", v.zones, c.Frozen(), c.lost(), v.frozen)
		}
	}
}

func TestBreaker_LossesComeAtABoundedRate(t *testing.T) { // R9
	c := silence(nodesOf{100, 10})
	if c.lost() != lossBurst {
		t.Fatalf("%d lost at once, want %d", c.lost(), lossBurst)
	}
	for i := range 7 {
		now := t0.Add(75*time.Second + time.Duration(i+1)*lossEvery)
		c.look(now)
		if want := lossBurst + i + 1; c.lost() != want {
			t.Errorf("%d lost after %s, want %d", c.lost(), now.Sub(t0), want)
		}
	}
}

func TestBreaker_ThawCountsTheLossTimeAnew(t *testing.T) { // R9
	c := silence(nodesOf{10, 4})
	back := c.Node("0-0")
	back.Heard = t0.Add(2 * time.Hour)
	now := t0.Add(10 * time.Minute)
	c.Advance(back, now)
	if !c.Breaker(now) || c.Frozen() {
		t.Fatal("the breaker stayed open with 3 of 10 silent")
	}
	still := c.Node("0-1")
	if s := at(c, still, now.Add(59*time.Second)); s != model.NodeUnknown {
		t.Errorf("59 s after the thaw: %s", s)
	}
	if s := at(c, still, now.Add(60*time.Second)); s != model.NodeLost {
		t.Errorf("60 s after the thaw: %s", s)
	}
}

func TestNode_AssumedInstanceRunsUntilItsNodeSpeaks(t *testing.T) {
	t.Parallel()
	n := New(Limits{}, time.Unix(0, 0)).Node("n1")
	n.Assume("i1", "10.0.0.1:1")
	if o := n.Seen("i1"); !o.Known || o.Phase != model.PhaseRunning || o.Addr != "10.0.0.1:1" {
		t.Fatalf("assumed as %+v", o)
	}
	n.Sync(nil)
	n.Assume("i1", "10.0.0.1:1")
	if o := n.Seen("i1"); o.Known {
		t.Errorf("its node does not have it, and yet it is %+v", o)
	}
}

func TestMissedBeats_ADeadNodeIsNoticedWithinThreePeriodsAndOneThatBeatsNever(t *testing.T) {
	const period = 5 * time.Second
	l := MissedBeats(period, time.Minute)
	if l.UnknownAfter >= 3*period || l.UnknownAfter <= 2*period || l.LostAfter != time.Minute {
		t.Errorf("%+v", l)
	}
	// The last beat before a node's death came at most a period before it: of the time
	// that it may take to notice, a quarter of a second at least is left for the round.
	if left := 3*period - l.UnknownAfter; left < 250*time.Millisecond {
		t.Errorf("%s are left", left)
	}
}

// A leader that stood still finds all silent at once. What fell silent before it did is
// due to be lost by then, but the breaker has yet to count the others (seed 418050).
func TestBreaker_CountsWhoIsSilentBeforeALossIsBelieved(t *testing.T) { // R9
	t.Parallel()
	c := New(limits, t0)
	n := told(c, "n1", t0)
	told(c, "n2", t0.Add(30*time.Second))
	told(c, "n3", t0.Add(30*time.Second))
	c.look(t0.Add(40 * time.Second))
	if n.Status != model.NodeUnknown || c.Frozen() {
		t.Fatalf("n1 is %s, frozen: %v", n.Status, c.Frozen())
	}
	c.look(t0.Add(80 * time.Second))
	if c.lost() > 0 || !c.Frozen() {
		t.Errorf("%d nodes are lost as all are silent, frozen: %v", c.lost(), c.Frozen())
	}
}
