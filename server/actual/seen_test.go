package actual

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func TestSeen_TellsAllThatWasSaidLast(t *testing.T) {
	t.Parallel()
	_, n := pair()
	runs := model.Observed{ID: "i", Phase: model.PhaseRunning, Container: "c", Addr: "10.0.0.1:80", StartedAt: t0, Singleton: true}
	sick := runs
	sick.Code, sick.Message = model.CodePullFailed, "the registry is away"
	gone := model.Observed{ID: "i", Phase: model.PhaseGone, Gone: model.GoneExited, ExitCode: 3, Code: model.CodeCrashed, Message: "ended", Logs: []string{"boom"}, StartedAt: t0.Add(time.Second)}
	for _, o := range []model.Observed{runs, sick, runs, gone, runs} {
		n.Sync([]model.Observed{o})
		if d := cmp.Diff(o, n.Seen("i").Observed()); d != "" || !n.Seen("i").Known {
			t.Errorf("phase %s (-said +told):\n%s", o.Phase, d)
		}
	}
	n.Sync(nil)
	if s := n.Seen("i"); s.Known || s.Since == 0 {
		t.Errorf("its agent speaks of it no more, and it is %+v", s)
	}
}
