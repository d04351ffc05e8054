package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

// failing is a rig of nodes on which six apps run, one instance each on n1, and
// the end of those by themselves.
func failing(t tester, nodes int) *rig {
	r := newRig(t)
	r.node("n1", 8192)
	for i := range 6 {
		r.deploy(fmt.Sprint("a", i), 1)
	}
	r.settle()
	for i := 2; i <= nodes; i++ {
		r.node(fmt.Sprint("n", i), 8192)
	}
	return r
}

// crash ends an app's instance on n1.
func (r *rig) crash(app string) {
	for _, row := range r.core.apps["app-"+app].rows {
		if row.NodeID == "n1" {
			r.agents["n1"].tell(model.Observed{ID: row.ID, Phase: model.PhaseGone, Gone: model.GoneExited, Code: model.CodeCrashed, Message: "ended"})
		}
	}
	r.round()
}

func (r *rig) cordoned() (events []string) {
	for _, e := range r.events {
		if e.Verb == "node.cordoned" {
			events = append(events, e.Message)
		}
	}
	return events
}

func TestSuspicion_NodeThatFailsFiveAppsIsCordoned(t *testing.T) { // R13
	t.Parallel()
	r := failing(t, 3)
	for i := range 4 {
		r.crash(fmt.Sprint("a", i))
	}
	if len(r.cordoned()) != 0 {
		t.Fatal("cordoned after four apps")
	}
	r.crash("a4")
	if len(r.cordoned()) != 0 {
		t.Fatal("cordoned before its agent can have told of its engine")
	}
	r.pass(badFor)
	r.round()
	got := r.cordoned()
	if len(got) != 1 || !strings.Contains(got[0], "(a0, a1, a2, a3, a4)") || !strings.Contains(got[0], "dinp node n1 uncordon") {
		t.Fatalf("events %q", got)
	}
	if r.core.nodes["n1"].wanted != model.Cordoned || r.wish.Availabilities["n1"] != model.Cordoned {
		t.Error("it is not cordoned")
	}
	r.deploy("new", 3)
	r.settle()
	for _, id := range r.on("new") {
		if id == "n1" {
			t.Error("an instance was placed on it all the same")
		}
	}
	r.want("n1", model.Active)
	r.settle()
	if r.core.nodes["n1"].wanted == model.Cordoned || len(r.cordoned()) != 1 {
		t.Error("a person's word did not take it back")
	}
}

// A restarted engine takes all its containers with it: that is no fault of the node's.
func TestSuspicion_EngineThatRestartsOrIsAwayAcquits(t *testing.T) {
	t.Parallel()
	for what, trouble := range map[string]func(*fakeAgent){
		"away":      func(a *fakeAgent) { a.engine = "no answer" },
		"restarted": func(a *fakeAgent) { a.turns++ },
	} {
		r := failing(t, 3)
		for i := range 6 {
			r.crash(fmt.Sprint("a", i))
		}
		trouble(r.agents["n1"])
		r.pass(5 * time.Second)
		r.agents["n1"].engine = ""
		for range 6 {
			r.pass(5 * time.Second)
			r.round()
		}
		if got := r.cordoned(); len(got) != 0 {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestSuspicion_TimeForgets(t *testing.T) {
	t.Parallel()
	r := failing(t, 2)
	for i := range 5 {
		r.crash(fmt.Sprint("a", i))
		r.pass(2 * time.Minute)
	}
	if got := r.cordoned(); len(got) != 0 {
		t.Errorf("five apps in ten minutes: %q", got)
	}
}

func TestSuspicion_LastNodeStaysOpen(t *testing.T) {
	t.Parallel()
	r := failing(t, 1)
	for i := range 6 {
		r.crash(fmt.Sprint("a", i))
	}
	if got := r.cordoned(); len(got) != 0 {
		t.Errorf("the only node: %q", got)
	}
}

func TestSuspicion_AppsThatEndEverywhereSayNothingOfANode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 8192)
	r.node("n2", 8192)
	for i := range 6 {
		r.deploy(fmt.Sprint("a", i), 2)
	}
	r.settle()
	for _, node := range []string{"n2", "n1"} {
		for id := range r.agents[node].has {
			r.agents[node].tell(model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneExited, Code: model.CodeCrashed, Message: "ended"})
		}
	}
	for range 5 {
		r.round()
	}
	if got := r.cordoned(); len(got) > 0 {
		t.Errorf("bad releases were taken for bad nodes: %q", got)
	}
}

// R9: the node that fell silent first was lost in the moment in which the leader found
// all of them silent, because it had stood still itself.
func TestNodes_ALeaderThatStoodStillLosesNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, id := range []string{"n1", "n2", "n3"} {
		r.node(id, 2048)
	}
	r.deploy("shop", 3)
	r.settle()
	r.agents["n1"].leave()
	r.pass(30 * time.Second)
	r.round()
	r.now = r.now.Add(80 * time.Second)
	r.round()
	r.pass(5 * time.Second)
	r.round()
	if s := r.core.nodes["n1"].Status; s != model.NodeUnknown || len(r.core.rows) != 3 {
		t.Errorf("n1 is %s, and there are %d instances", s, len(r.core.rows))
	}
	r.pass(55 * time.Second)
	r.round()
	if s := r.core.nodes["n1"].Status; s != model.NodeUnknown {
		t.Errorf("n1 is %s before its time of silence has begun anew and passed", s)
	}
	r.pass(10 * time.Second)
	r.round()
	if s := r.core.nodes["n1"].Status; s != model.NodeLost {
		t.Errorf("n1 is %s", s)
	}
}
