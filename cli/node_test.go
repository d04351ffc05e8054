package cli

import (
	"net/http"
	"testing"

	"github.com/dinp/dinp/common/api"
)

func TestNode_SaysWhatBecomesOfItsInstances(t *testing.T) {
	t.Parallel()
	for cmd, c := range map[string]struct {
		node api.Node
		want string
	}{
		"cordon":   {api.Node{Instances: 4}, "node web1 is cordoned: nothing new is placed there, and its 4 instances stay\n"},
		"drain":    {api.Node{Instances: 1, Status: "ready"}, "node web1 is draining: its 1 instance moves away, each when its replacement serves; dinp node web1 tells how far it is\n"},
		"uncordon": {api.Node{}, "node web1 is active: it takes instances\n"},
		"forget":   {api.Node{Instances: 1}, "node web1 is forgotten; its 1 instance is replaced\n"},
	} {
		f := newFake(t)
		c.node.ID, c.node.Name = "id1", "web1"
		f.mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, api.Nodes{Items: []api.Node{c.node}}) })
		f.mux.HandleFunc("PATCH /nodes/id1", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, c.node) })
		f.mux.HandleFunc("DELETE /nodes/id1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		if r := run(t, f, "node", "web1", cmd); r.code != 0 || r.err != c.want {
			t.Errorf("%s: exit code %d, got %q, want %q", cmd, r.code, r.err, c.want)
		}
	}
	lost := api.Nodes{Items: []api.Node{{ID: "id1", Name: "web1", Status: "lost", Instances: 2}}}
	f := newFake(t)
	f.mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, lost) })
	f.mux.HandleFunc("PATCH /nodes/id1", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, lost.Items[0]) })
	want(t, run(t, f, "node", "web1", "uncordon"), 0, "", "node web1 is active: it takes instances once it is back\n")
	want(t, run(t, f, "node", "web1", "drain"), 0, "", "warning: node web1 is lost: nothing on it can be stopped before it returns; if it never does: dinp node web1 forget")
}
