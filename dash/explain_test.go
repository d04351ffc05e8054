package dash

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestExplain_TellsWhatTheLeaderSays(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	app, err := r.store.App(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	r.leads.set(func() {
		r.leads.reasons[app.ID] = &pb.ExplainReply{State: "v1 serves on 1 of 2", Next: "dinp node n2 uncordon", Steps: []*pb.ExplainStep{
			{Link: "desired", Ok: true, Text: "2 × v1 wanted"},
			{Link: "placed", Ok: true, Instance: "aa11", Text: "v1 on n1"},
			{Link: "placed", Slot: 1, Why: "no-room", Text: "0 of 2 nodes fit", Code: "D140", Evidence: []string{"n2 is cordoned"}, Next: "dinp node n2 uncordon",
				Constraints: []*pb.Constraint{{Why: "cordoned", Nodes: 1, Only: 1}}, Misses: []*pb.Miss{{Node: "n2", Text: "n2 is cordoned"}}},
		}}
	})
	want := api.ExplainStep{
		Step: "placed", Slot: 1, Why: "no-room", Text: "0 of 2 nodes fit", Code: "D140", Evidence: []string{"n2 is cordoned"}, Next: "dinp node n2 uncordon",
		Constraints: []api.Constraint{{Why: "cordoned", Nodes: 1, Only: 1}}, Misses: []api.Miss{{Node: "n2", Text: "n2 is cordoned"}},
	}
	e := do[api.Explain](r, 200, "GET", "/apps/shop/explain", r.admin, nil)
	if len(e.Steps) != 3 || e.State != "v1 serves on 1 of 2" || e.Next != want.Next {
		t.Errorf("explain: %+v", e)
	} else if d := cmp.Diff(want, e.Steps[2]); d != "" {
		t.Error(d)
	}
	for _, id := range []string{"0", "aa", "aa11"} {
		if e := do[api.Explain](r, 200, "GET", "/apps/shop/instances/"+id+"/explain", r.admin, nil); len(e.Steps) != 2 || e.Steps[1].Instance != "aa11" {
			t.Errorf("explain %s: %+v", id, e)
		}
	}
	if e := do[api.Explain](r, 200, "GET", "/apps/shop/instances/1/explain", r.admin, nil); len(e.Steps) != 2 || e.Steps[1].Why != "no-room" {
		t.Errorf("explain the empty slot: %+v", e)
	}
	r.refused(model.CodeNotFound, "GET", "/apps/shop/instances/7/explain", r.admin, nil)
}
