package actual

import (
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func TestSeen_TellsAllThatWasSaidLast(t *testing.T) {
	t.Parallel()
	_, n := pair()
	runs := model.Observed{ID: "i", Phase: model.PhaseRunning, Container: "c", Addr: "10.0.0.1:80", StartedAt: t0, Singleton: true}
	sick := runs
	sick.Code, sick.Message = model.CodePullFailed, "the registry is away"
	made := model.Observed{ID: "i", Phase: model.PhaseCreated, Container: "c", CreatedAt: t0.Add(-time.Minute)}
	slow := runs
	slow.CreatedAt = t0.Add(-17 * 24 * time.Hour)
	quick := runs
	quick.CreatedAt = t0
	gone := model.Observed{ID: "i", Phase: model.PhaseGone, Gone: model.GoneExited, ExitCode: 3, Code: model.CodeCrashed, Message: "ended", Logs: []string{"boom"}, StartedAt: t0.Add(time.Second)}
	for _, o := range []model.Observed{made, runs, sick, slow, runs, quick, gone, runs} {
		n.Sync([]model.Observed{o})
		if d := cmp.Diff(o, n.Seen("i").Observed()); d != "" || !n.Seen("i").Known {
			t.Errorf("phase %s (-said +told):\n%s", o.Phase, d)
		}
	}
	late := runs
	late.CreatedAt = t0.Add(time.Second) // a clock was set in between
	n.Sync([]model.Observed{late})
	if o := n.Seen("i").Observed(); !o.CreatedAt.Equal(t0) || !o.StartedAt.Equal(t0) {
		t.Errorf("made at %s, started at %s", o.CreatedAt, o.StartedAt)
	}
	n.Sync(nil)
	if s := n.Seen("i"); s.Known || s.Since == 0 {
		t.Errorf("its agent speaks of it no more, and it is %+v", s)
	}
}

// There may be a million of them.
func TestSeen_IsSmall(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(Seen{}); got > 96 {
		t.Errorf("what is known of an instance takes %d bytes", got)
	}
	if got := unsafe.Sizeof(Verdict{}); got > 64 {
		t.Errorf("a verdict takes %d bytes", got)
	}
}
