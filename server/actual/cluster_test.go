package actual

import (
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
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

func TestStatus_SilenceHasSteps(t *testing.T) { // DEFECTS 15, 34, 35, R8
	c := New(t0)
	n := told(c, "n", t0)
	for silence, want := range map[time.Duration]model.NodeStatus{
		0: model.NodeReady, 14 * time.Second: model.NodeReady, 15 * time.Second: model.NodeUnknown,
		74 * time.Second: model.NodeUnknown, 75 * time.Second: model.NodeLost,
	} {
		if got := c.Status(n, limits, t0.Add(silence)); got != want {
			t.Errorf("silent for %s: %s, want %s", silence, got, want)
		}
	}
	n.Session, n.Synced = "", false // its stream ended: only a hint
	if got := c.Status(n, limits, t0.Add(time.Second)); got != model.NodeReady || n.Placeable() {
		t.Errorf("without a stream: %s, placeable %v", got, n.Placeable())
	}
}

func TestStatus_ANewTermCountsSilenceFromItsOwnBeginning(t *testing.T) { // DEFECTS 12, R6
	c := New(t0)
	n := c.Node("n")
	n.SeenAt = t0.Add(-time.Hour)
	if got := c.Status(n, limits, t0.Add(time.Second)); got != model.NodeUnknown {
		t.Errorf("at the beginning: %s", got)
	}
	if got := c.Status(n, limits, t0.Add(74*time.Second)); got != model.NodeUnknown {
		t.Errorf("before the loss time has passed in this term: %s", got)
	}
}

func TestStatus_AnEngineThatIsAwayIsToldFromASilentNode(t *testing.T) {
	c := New(t0)
	n := c.Node("n")
	n.Session, n.Heard, n.DockerTold = "s", t0, true
	if got := c.Status(n, limits, t0); got != model.NodeDockerDown {
		t.Errorf("status %s", got)
	}
}

func TestReport_PhasesNeverGoBack(t *testing.T) {
	n := told(New(t0), "n", t0)
	n.Report([]model.Observed{{ID: "i", Phase: model.PhaseRunning}})
	if taken := n.Report([]model.Observed{{ID: "i", Phase: model.PhasePulling}}); len(taken) != 0 || n.Observed["i"].Phase != model.PhaseRunning {
		t.Errorf("taken %v, phase %s", taken, n.Observed["i"].Phase)
	}
}

func TestJudge_OneMonitorThatIsCutOffCondemnsNobody(t *testing.T) { // DEFECTS 50
	c := New(t0)
	c.Judge("near", []model.Verdict{{InstanceID: "i", Healthy: true}}, t0)
	c.Judge("far", []model.Verdict{{InstanceID: "i", Healthy: false}}, t0.Add(time.Second))
	if v := c.Verdicts["i"]; !v.Healthy || !v.HealthyAt.Equal(t0) {
		t.Errorf("verdict %+v", v)
	}
	c.Judge("near", []model.Verdict{{InstanceID: "i", Healthy: false}}, t0.Add(2*time.Second))
	if v := c.Verdicts["i"]; v.Healthy || !v.SickAt.Equal(t0.Add(2*time.Second)) {
		t.Errorf("verdict %+v", v)
	}
	c.MonitorGone("near")
	if v := c.Verdicts["i"]; v.Healthy || !v.Judged {
		t.Errorf("a monitor that left changed the verdict: %+v", v)
	}
}

func TestAssume_IsOverruledByTheFirstWord(t *testing.T) {
	c := New(t0)
	c.Assume("i", t0)
	if v := c.Verdicts["i"]; !v.Healthy || v.Judged {
		t.Errorf("assumed %+v", v)
	}
	if changed := c.Judge("m", []model.Verdict{{InstanceID: "i", Healthy: true}}, t0); len(changed) != 1 || !c.Verdicts["i"].Judged {
		t.Errorf("the first word is not news: %v %+v", changed, c.Verdicts["i"])
	}
}

func TestFrozen_OpensTheBreakerOnlyBeyondAccidents(t *testing.T) { // R9
	for _, v := range []struct {
		nodes, silent int
		want          bool
	}{{1, 0, false}, {1, 1, true}, {2, 1, false}, {2, 2, true}, {10, 3, false}, {10, 4, true}, {40, 6, false}, {40, 7, true}} {
		c := New(t0)
		for i := range v.nodes {
			n := told(c, string(rune('A'+i)), t0.Add(time.Hour))
			if i < v.silent {
				n.Heard = t0
			}
		}
		if got := c.Frozen(limits, t0.Add(time.Hour)); got != v.want {
			t.Errorf("%d of %d silent: frozen %v, want %v", v.silent, v.nodes, got, v.want)
		}
	}
}
