package reconcile

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

func (r *rig) nodeState(id string) *pb.NodeState {
	r.t.Helper()
	for _, n := range r.core.NodesReply().GetNodes() {
		if n.GetId() == id {
			return n
		}
	}
	r.t.Fatalf("no node %s", id)
	return nil
}

func TestNodes_ADrainTellsHowFarItIsAndWhenItIsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	r.node("n2", 1024)
	r.deploy("shop", 2)
	r.settle()
	if n := r.nodeState("n1"); n.GetDrained() || n.GetMessage() != "" {
		t.Fatalf("nobody drains it: %v", n)
	}
	r.want("n1", model.Draining)
	r.round()
	if n := r.nodeState("n1"); n.GetDrained() || !strings.Contains(n.GetMessage(), "1 instance yet to move") {
		t.Errorf("it has begun: %v", n)
	}
	r.settle()
	if n := r.nodeState("n1"); !n.GetDrained() || n.GetInstances() != 0 || !strings.Contains(n.GetMessage(), "drained") {
		t.Errorf("it is over: %v", n)
	}
	r.want("n1", model.Active)
	r.round()
	if n := r.nodeState("n1"); n.GetDrained() || n.GetMessage() != "" {
		t.Errorf("it was taken back: %v", n)
	}
}

// A drain that cannot go on says so where people look for it: at the node. What
// serves there goes on serving.
func TestNodes_ADrainThatWaitsNamesTheAppsAndWhatFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	r.deploy("shop", 1)
	r.deploy("cart", 1)
	r.settle()
	r.edit("cart", func(a *model.App) { a.Paused = true })
	r.want("n1", model.Draining)
	r.settle()
	n := r.nodeState("n1")
	for _, want := range []string{"2 instances yet to move", "cart waits: it is paused", "shop waits: 0 of 1 nodes fit"} {
		if !strings.Contains(n.GetMessage(), want) {
			t.Errorf("%q lacks %q", n.GetMessage(), want)
		}
	}
	if n.GetDrained() || len(r.endpoints("shop")) != 1 {
		t.Errorf("drained: %v; shop's endpoints: %v", n.GetDrained(), r.endpoints("shop"))
	}
	if s := r.core.AppReply("app-shop").GetState(); !strings.Contains(s, "v1 serves on 1 of 1; waiting: 0 of 1 nodes fit") {
		t.Errorf("the app's state: %q", s)
	}
}

// What is said of a node that is silent is what becomes of its instances, and not
// how far a drain is that it cannot be told of.
func TestNodes_SilentOneSaysWhatBecomesOfItsInstances(t *testing.T) {
	t.Parallel()
	r := serving(t)
	r.silence("n1")
	note := func(after time.Duration) string {
		r.pass(after)
		r.round()
		return r.nodeState("n1").GetMessage()
	}
	got := note(20 * time.Second)
	if heard := clock(r.core.nodes["n1"].Heard); !strings.HasPrefix(got, "nothing was heard of it since "+heard+"; its 1 instance is replaced at ") {
		t.Errorf("unknown: %q", got)
	}
	r.want("n1", model.Draining)
	if got := note(70 * time.Second); !strings.HasSuffix(got, "; if the host never returns: dinp node n1 forget") || !strings.Contains(got, "; 1 instance may still run there;") {
		t.Errorf("lost: %q", got)
	}
	if got := r.nodeState("n2").GetMessage(); got != "" {
		t.Errorf("the other node: %q", got)
	}
}

// A node whose agent's certificate has expired is silent, and its host runs: that is
// said where people look, at the node and at what was on it.
func TestNodes_AnAgentThatIsTurnedAwaySaysWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	r.node("n2", 1024)
	r.deploy("shop", 2)
	r.settle()
	expired := errors.New("the certificate of agent n1 is good from May to August, and it is September here")
	r.core.deps.TurnedAway = func(node string) error {
		if node == "n1" {
			return expired
		}
		return nil
	}
	if m := r.nodeState("n1").GetMessage(); m != "" {
		t.Errorf("it is here: %q", m)
	}
	r.silence("n1")
	for _, status := range []model.NodeStatus{model.NodeReady, model.NodeUnknown, model.NodeLost} {
		if n := r.nodeState("n1"); n.GetStatus() != string(status) || n.GetMessage() != "its agent was turned away: "+expired.Error() {
			t.Errorf("want %s: %v", status, n)
		}
		found := false
		for _, s := range r.explained("shop").Steps {
			if !s.OK && slices.Contains(s.Evidence, "its agent was turned away: "+expired.Error()) {
				found = s.Code == model.CodeNoCertificate && strings.Contains(s.Next, "dinp join SERVER")
			}
		}
		if !found && status != model.NodeReady {
			t.Errorf("%s: the explanation says nothing of it: %+v", status, r.explained("shop").Steps)
		}
		r.pass(map[model.NodeStatus]time.Duration{model.NodeReady: 20 * time.Second, model.NodeUnknown: 70 * time.Second}[status])
		r.round()
	}
	if m := r.nodeState("n2").GetMessage(); m != "" {
		t.Errorf("the other node: %q", m)
	}
}
