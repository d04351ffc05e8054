package instance

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Whatever the engine answers, in whatever order: the phase never goes back, an
// end comes only of an answer, and without questions a step is over.
func TestStep_PhasesNeverGoBackWhateverTheEngineSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_000_000, 0)
		r := journal.Record{Spec: runtime.Spec{InstanceID: "i1", MemoryMiB: 64}, Status: model.Observed{ID: "i1", Phase: model.PhaseAccepted}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "stop") == 0 && r.Stop == nil {
				r.Stop = order(nil, 3*time.Second, time.Second, "", now)
			}
			before := r.Status.Phase
			m := Next(r, now)
			for n := 0; m.Call.Op != OpNone; n++ {
				if n > 4 {
					t.Fatalf("a step asks without end: %+v", m)
				}
				a, asked := drawAnswer(t), m.Call.Op
				if m = Take(m.Record, m.Call, a, now); m.Record.Status.Phase == model.PhaseGone && errors.Is(a.Err, runtime.ErrAway) && asked != OpOutput {
					t.Fatal("no answer was taken for an end")
				}
			}
			if r = m.Record; r.Status.Phase < before {
				t.Fatalf("the phase went from %s back to %s", before, r.Status.Phase)
			}
			now = now.Add(max(m.Wait, time.Second))
		}
	})
}

func drawAnswer(t *rapid.T) Answer {
	errs := []error{nil, nil, nil, runtime.ErrAway, fmt.Errorf("%w: timeout", runtime.ErrAway), runtime.ErrNotFound, runtime.ErrForeign, runtime.ErrNoImage, errors.New("refused")}
	return Answer{
		Err:       rapid.SampledFrom(errs).Draw(t, "err"),
		Container: runtime.Container{ID: "c1", State: runtime.State(rapid.IntRange(0, 2).Draw(t, "state")), Addr: "10.0.0.1:1", OOM: rapid.Bool().Draw(t, "oom")},
	}
}

// The chain that people are shown begins with when the image was there.
func TestTake_TellsWhenTheContainerWasMade_AlsoOfOneThatWasFound(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	made := now.Add(-time.Minute)
	c := runtime.Container{ID: "c1", State: runtime.Created, CreatedAt: made}
	fresh := journal.Record{Status: model.Observed{Phase: model.PhaseAccepted}}
	if got := Take(fresh, Call{Op: OpCreate}, Answer{Container: c}, now).Record.Status; !got.CreatedAt.Equal(made) || got.Phase != model.PhaseCreated {
		t.Errorf("created: %+v", got)
	}
	found := adopted(c)
	if !found.Status.CreatedAt.Equal(made) {
		t.Errorf("adopted: %+v", found.Status)
	}
	c.State, c.StartedAt = runtime.Running, now
	older := journal.Record{Status: model.Observed{Phase: model.PhaseStarting}} // of an agent that did not note it yet
	if got := Take(older, Call{Op: OpInspect}, Answer{Container: c}, now).Record.Status; !got.CreatedAt.Equal(made) || !got.StartedAt.Equal(now) {
		t.Errorf("running: %+v", got)
	}
}
