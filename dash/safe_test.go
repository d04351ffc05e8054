package dash

import (
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestSafeMode_IsSeenByAllAndEndedByAdmins(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	since := time.UnixMilli(1_800_000_000_000).UTC()
	r.leads.set(func() {
		r.leads.roster = &pb.NodesReply{SafeMode: "the database ends yesterday"}
		r.leads.safe = &pb.SafeModeReply{
			On: true, SinceMs: since.UnixMilli(), Reason: "the database ends yesterday", Notes: []string{"1 of 3 nodes have not told yet what they run"},
			Apps: []*pb.SafeModeApp{{Name: "shop", Start: 2, Stop: 1, Unknown: 3}, {Name: "new.apps.test", Unknown: 1, Lost: true}},
		}
	})
	vic := r.user("vic", "")
	m := do[api.SafeMode](r, 200, "GET", "/safe-mode", vic, nil)
	if !m.On || !m.Since.Equal(since) || m.Reason == "" || len(m.Apps) != 2 || m.Apps[0] != (api.SafeModeApp{Name: "shop", Start: 2, Stop: 1, Unknown: 3}) || !m.Apps[1].Lost || len(m.Notes) != 1 {
		t.Errorf("safe mode: %+v", m)
	}
	if n := do[api.Nodes](r, 200, "GET", "/nodes", vic, nil); n.SafeMode != m.Reason {
		t.Errorf("nodes: %+v", n)
	}
	r.refused(model.CodeDenied, "DELETE", "/safe-mode", vic, nil)
	r.refused(model.CodeConflict, "DELETE", "/safe-mode", r.admin, nil) // none is written down

	if err := r.store.Apply(t.Context(), r.lease, store.Control{Safe: &model.SafeMode{Epoch: r.lease.Epoch, Since: since, Reason: m.Reason}}); err != nil {
		t.Fatal(err)
	}
	do[struct{}](r, 204, "DELETE", "/safe-mode", r.admin, nil)
	if w, err := r.store.Wish(t.Context()); err != nil || w.Safe != nil {
		t.Errorf("it goes on: %+v, %v", w.Safe, err)
	}
	if !strings.Contains(r.leads.nudges(), "nodes") {
		t.Error("the leader was not told")
	}
}
