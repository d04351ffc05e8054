package reconcile

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

func TestRow_RestsWhenThePlannerWouldSaySo(t *testing.T) {
	t.Parallel()
	saidYes, saidNo := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		r := cluster(t)
		for _, id := range []string{"n0", "n1"} {
			switch n := r.agents[id]; {
			case n == nil:
			case rapid.IntRange(0, 3).Draw(t, "fault of "+id) == 0:
				n.leave()
				r.pass(time.Duration(rapid.IntRange(0, 30).Draw(t, "for")) * time.Second)
			case rapid.IntRange(0, 3).Draw(t, "drain "+id) == 0:
				r.want(id, model.Draining)
			}
		}
		for range rapid.IntRange(0, 4).Draw(t, "rounds") {
			r.round()
			r.step()
		}
		c := r.core
		for _, a := range c.apps {
			for slot, row := range a.rows {
				row.seenRouted = false
				got, told := row.rests(slot, c.deps.Routes.Served()), model.Observed{}
				i := c.view(row, &told)
				want := i.Rests(&a.App, slot) && row.node.session != nil
				if got != want {
					t.Errorf("%s on %s: rests %v, the planner would say %v: %+v", row.ID, row.NodeID, got, want, i)
				}
				if got {
					saidYes++
				} else {
					saidNo++
				}
			}
		}
	})
	if saidYes == 0 || saidNo == 0 {
		t.Errorf("%d instances that were drawn rest, %d do not: both kinds are wanted", saidYes, saidNo)
	}
}
