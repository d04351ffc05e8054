package model

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNextOfRebase_BeginsABatchAndStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		steps []RebaseStep
		begin []int
		end   RebaseStatus
	}{
		{[]RebaseStep{StepWaiting, StepWaiting, StepWaiting}, []int{0, 1}, RebaseRunning},
		{[]RebaseStep{StepDone, StepRolling, StepWaiting, StepWaiting}, []int{2}, RebaseRunning},
		{[]RebaseStep{StepBuilding, StepRolling, StepWaiting}, nil, RebaseRunning},
		{[]RebaseStep{StepFailed, StepRolling, StepWaiting}, nil, RebaseRunning},
		{[]RebaseStep{StepFailed, StepDone, StepWaiting}, nil, RebaseStopped},
		{[]RebaseStep{StepUnchanged, StepDone, StepSuperseded}, nil, RebaseDone},
		{nil, nil, RebaseDone},
	} {
		r := Rebase{Batch: 2}
		for _, s := range c.steps {
			r.Apps = append(r.Apps, RebaseApp{Step: s})
		}
		if begin, end := NextOfRebase(r); !slices.Equal(begin, c.begin) || end != c.end {
			t.Errorf("%v: begins %v, %s; want %v, %s", c.steps, begin, end, c.begin, c.end)
		}
	}
}

// However builds and rollouts end: never more than a batch under way, nothing begun after a failure, and it ends.
func TestNextOfRebase_EndsAndNeverBeginsMoreThanABatch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Rebase{Batch: rapid.IntRange(1, 4).Draw(t, "batch")}
		for range rapid.IntRange(0, 12).Draw(t, "apps") {
			r.Apps = append(r.Apps, RebaseApp{Step: StepWaiting})
		}
		for turn := 0; ; turn++ {
			begin, end := NextOfRebase(r)
			failed, under := false, 0
			for _, a := range r.Apps {
				failed = failed || a.Step == StepFailed
				if a.Step == StepBuilding {
					under++
				}
			}
			if failed && len(begin) > 0 || under+len(begin) > r.Batch {
				t.Fatalf("begins %v with %d under way of %d, failed %v", begin, under, r.Batch, failed)
			}
			if end != RebaseRunning {
				return
			}
			if turn > 100 {
				t.Fatal("it does not end")
			}
			for _, i := range begin {
				r.Apps[i].Step = StepBuilding
			}
			for i, a := range r.Apps {
				if a.Step == StepBuilding && rapid.Bool().Draw(t, "ends") {
					r.Apps[i].Step = rapid.SampledFrom([]RebaseStep{StepDone, StepDone, StepUnchanged, StepFailed}).Draw(t, "how")
				}
			}
			if i := slices.IndexFunc(r.Apps, func(a RebaseApp) bool { return a.Step == StepBuilding }); i >= 0 {
				r.Apps[i].Step = StepDone // something always goes on
			}
		}
	})
}
