package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/dispatch"
)

func TestBeat_OneThatSaysNothingNewIsNoEventAndKeepsItsNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("n1", 8192)
	r.deploy("a", 2)
	r.settle()
	r.pass(5 * time.Second)
	before := n.news
	for range 60 {
		r.pass(5 * time.Second)
		r.round()
		if s := r.core.nodes["n1"].Status; s != model.NodeReady {
			t.Fatalf("its node is %s", s)
		}
	}
	if n.news != before {
		t.Errorf("%d of 60 beats were events", n.news-before)
	}
	if got, want := r.core.NodesReply().GetNodes()[0].GetHeardMs(), r.now.UnixMilli(); got != want {
		t.Errorf("heard at %d, want %d", got, want)
	}
}

func TestBeat_SilenceAfterBeatsThatWereOnlyNotedIsSeenInTime(t *testing.T) { // R8
	t.Parallel()
	r := newRig(t)
	n := r.node("n1", 8192)
	r.node("n2", 8192)
	r.settle()
	r.pass(time.Minute)
	r.round()
	n.away = true // its host has no power: nobody says that the stream has ended
	unknown := r.now.Add(r.core.cfg.Limits.UnknownAfter)
	for r.now.Before(unknown) {
		if s := r.core.nodes["n1"].Status; s != model.NodeReady {
			t.Fatalf("%s %s before three beats were missed", s, unknown.Sub(r.now))
		}
		r.pass(min(time.Second, unknown.Sub(r.now)))
		r.round()
	}
	if s := r.core.nodes["n1"].Status; s != model.NodeUnknown {
		t.Fatalf("three beats were missed, and it is %s", s)
	}
	n.away = false
	r.pass(5 * time.Second)
	r.round()
	if s := r.core.nodes["n1"].Status; s != model.NodeReady {
		t.Errorf("it beats again, and is %s", s)
	}
}

// A leader that was held up for longer than a node may be silent finds what came meanwhile.
func TestBeat_CountsFromWhenItCameHoweverLongARoundTook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 8192)
	r.settle()
	r.pass(5 * time.Second)
	r.round()
	r.pass(10 * time.Minute) // no round in all this time
	r.round()
	if s := r.core.nodes["n1"].Status; s != model.NodeReady {
		t.Errorf("it has beaten all the time, and is %s", s)
	}
}

// A beat that says what the one before it said may be wrong, once what we know has
// changed.
func TestBeat_IsComparedAgainWhenWhatWeKnowHasChanged(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*rig, *fakeAgent, model.Observed){
		"we forgot an instance": func(r *rig, n *fakeAgent, o model.Observed) {
			r.core.unsee(r.core.nodes[n.NodeID()], o.ID)
		},
		"it reported what it does not count in": func(r *rig, n *fakeAgent, o model.Observed) {
			o.Addr = "10.0.0.1:9"
			r.core.Handle(t.Context(), dispatch.Reported{Session: n, Instances: []model.Observed{o}})
		},
	} {
		r := newRig(t)
		n := r.node("n1", 8192)
		r.deploy("a", 2)
		r.settle()
		r.pass(5 * time.Second)
		change(r, n, n.has[r.core.apps["app-a"].rows[0].ID])
		n.todo = nil
		r.pass(5 * time.Second)
		if len(n.todo) != 1 {
			t.Errorf("%s: it was told %v, want one question for everything", what, n.todo)
		}
	}
}

func TestRound_NodesThatBeatWakeNobodyEach(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 100 {
		r.node(fmt.Sprint("n", i), 8192)
		r.now = r.now.Add(50 * time.Millisecond) // each is due at a time of its own
	}
	r.settle()
	r.pass(30 * time.Second)
	rounds := 0
	for began := r.now; r.now.Sub(began) < time.Minute; rounds++ {
		wait, err := r.core.Round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.pass(wait)
	}
	if rounds > 90 {
		t.Errorf("%d rounds in a minute in which 100 nodes only beat", rounds)
	}
}
