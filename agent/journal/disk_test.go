package journal

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

func record(id string, p model.Phase) Record {
	return Record{Spec: runtime.Spec{InstanceID: id}, Status: model.Observed{ID: id, Phase: p}}
}

// A kill of the agent loses nothing; the machine's end what was not to last.
func TestDisk_PowerCutLosesOnlyWhatWasNotToLast(t *testing.T) {
	t.Parallel()
	d := NewDisk(time.Now)
	on := func() *Journal {
		t.Helper()
		j, err := OpenOn(d, "n1", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := on()
	if err := errors.Join(j.Put(record("i1", model.PhaseAccepted), true), j.Put(record("i1", model.PhasePulling), false), j.Put(record("i2", model.PhaseRunning), false),
		j.Bury("i3", time.Now()), j.Admit(7, "s1")); err != nil {
		t.Fatal(err)
	}
	phases := func(j *Journal) map[string]model.Phase {
		t.Helper()
		all, err := j.Records()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]model.Phase{}
		for _, r := range all {
			out[r.Spec.InstanceID] = r.Status.Phase
		}
		return out
	}
	if p := phases(on()); p["i1"] != model.PhasePulling || p["i2"] != model.PhaseRunning {
		t.Errorf("after a kill: %v", p)
	}
	d.PowerCut()
	k := on()
	if p := phases(k); p["i1"] != model.PhaseAccepted || len(p) != 1 {
		t.Errorf("after a power cut: %v", p)
	}
	if !k.Buried("i3") || k.Epoch() != (Epoch{Max: 7, Leader: "s1"}) || k.NodeID() != "n1" {
		t.Errorf("tombstone %v, epoch %v, node %s", k.Buried("i3"), k.Epoch(), k.NodeID())
	}
	d.Fail = errors.New("disk full")
	if k.Put(record("i4", model.PhaseAccepted), true) == nil || k.Admit(8, "s2") == nil || k.Epoch().Max != 7 {
		t.Error("a full disk took a write")
	}
	d.Fail = nil
	if missed := d.Missed("i4"); !missed || d.Missed("i1") || k.Put(record("i4", model.PhaseAccepted), true) != nil || d.Missed("i4") {
		t.Errorf("i4 was missed: %v; i1: %v; i4 once it was written: %v", missed, d.Missed("i1"), d.Missed("i4"))
	}
}
