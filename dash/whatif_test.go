package dash

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestWhatIf_AsksTheLeader(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.refused(model.CodeNoRelease, "GET", "/whatif?app=shop&add=1", r.admin, nil)
	app, err := r.store.App(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	r.release("shop", 1, model.DeploymentSucceeded)
	lease, err := r.store.TakeLease(t.Context(), store.Lease{Name: "whatif"}, "s", "", 2) // the stage leads with another epoch
	if err == nil {
		err = r.store.Apply(t.Context(), lease, store.Control{Nodes: []model.Node{{ID: "id-1", Name: "n1"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]*pb.WhatIfRequest{
		"/whatif?drain=n1":                               {Drain: "id-1"},
		"/whatif?lose=id-1":                              {Lose: "id-1"},
		"/whatif?lose_zone=b":                            {LoseZone: "b"},
		"/whatif?app=shop&add=3":                         {AppId: app.ID, Add: 3},
		"/whatif?app=shop&memory=1G&cpu=0.5&instances=2": {AppId: app.ID, MemoryMib: 1024, CpuMilli: 500, Instances: 2},
		"/whatif?app=shop&strategy=bluegreen":            {AppId: app.ID, Strategy: model.StrategyBlueGreen},
	} {
		a := do[api.WhatIf](r, 200, "GET", path, r.admin, nil)
		if a.Fits || a.Moved != 1 || len(a.Moves) != 1 || a.Moves[0].To != "n2" || len(a.Misfits) != 1 || a.Misfits[0].Next != "add a node" || a.Before.FreeMiB != 512 || a.After.More != 3 {
			t.Errorf("%s: %+v", path, a)
		}
		r.leads.set(func() {
			if got := r.leads.questions[len(r.leads.questions)-1]; !proto.Equal(got, want) {
				t.Errorf("%s asks %v, want %v", path, got, want)
			}
		})
	}
	for path, code := range map[string]model.Code{
		"/whatif": model.CodeBadRequest, "/whatif?drain=n1&lose=n1": model.CodeBadRequest, "/whatif?drain=nobody": model.CodeNotFound, "/whatif?app=nobody&add=1": model.CodeNotFound,
		"/whatif?app=shop&add=1000": model.CodeBadSize, "/whatif?app=shop&memory=many": model.CodeBadSize, "/whatif?app=shop&strategy=sudden": model.CodeBadSize, "/whatif?apps=shop": model.CodeBadRequest,
		"/whatif?app=shop&instances=0": model.CodeBadSize, "/whatif?app=shop&add=0": model.CodeBadSize, "/whatif?app=shop&instances=-1": model.CodeBadRequest, "/whatif?app=shop&add=-1": model.CodeBadRequest,
	} {
		r.refused(code, "GET", path, r.admin, nil)
	}
}
