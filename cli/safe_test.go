package cli

import (
	"net/http"
	"testing"

	"github.com/dinp/dinp/common/api"
)

func TestSafeMode_ShowsWhatWouldBeDone_AndEnds(t *testing.T) {
	t.Parallel()
	reply := api.SafeMode{
		On: true, Since: t0, Reason: "node n1 has orders of today, but the database ends yesterday", Notes: []string{"1 of 3 nodes have not told yet"},
		Apps: []api.SafeModeApp{{Name: "shop", Start: 2, Unknown: 3}, {Name: "new.apps.test", Unknown: 1, Lost: true}},
	}
	told(t, "safe-mode", "GET /safe-mode", reply, "the database ends yesterday", "Nothing is started or stopped", "shop           2        0        3", "serves until others do",
		"new.apps.test  0        0        1", "stops answering", "1 of 3 nodes have not told yet", "dinp safe-mode end")
	told(t, "safe-mode", "GET /safe-mode", api.SafeMode{}, "safe mode is off")
	told(t, "safe-mode --json", "GET /safe-mode", reply, `"unknown": 3`)
	told(t, "nodes", "GET /nodes", api.Nodes{SafeMode: reply.Reason}, "nothing is changed: node n1 has orders", "dinp safe-mode")

	f := newFake(t)
	f.mux.HandleFunc("DELETE /safe-mode", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if r := run(t, f, "safe-mode", "end"); r.code != 0 || f.seen("DELETE /safe-mode") != 1 {
		t.Errorf("end: exit code %d: %s", r.code, r.err)
	}
	if r := run(t, f, "safe-mode", "begin"); r.code != 2 || len(f.requests) != 1 {
		t.Errorf("begin: exit code %d: %s", r.code, r.err)
	}
}
