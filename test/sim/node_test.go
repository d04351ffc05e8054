package sim

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// daemonRig is a node whose daemon hangs, and which was asked for the container of
// i1 eight times since; all have timed out.
func daemonRig(t *testing.T) (w *World, n *node, p *process) {
	t.Helper()
	w, p = modelRig(t)
	n = w.nodes[0]
	w.db.everRows["i1"] = model.Instance{ID: "i1", NodeID: n.name}
	j, err := journal.OpenOn(n.disk, n.name, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n.agent.journal = j
	if err := n.rt.EnsureImage(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	n.hang(time.Hour)
	n.slow = time.Minute // what waits is done later than what comes then
	for range 8 {        // half of them have an effect
		if a := n.call(t, p, instance.OpCreate); !errors.Is(a.Err, runtime.ErrAway) {
			t.Fatal("a daemon that hangs answers", a.Err)
		}
	}
	n.slow = 0
	return w, n, p
}

// call asks a node's daemon about i1, and waits for the answer.
func (n *node) call(t *testing.T, p *process, op instance.Op) (out answer) {
	t.Helper()
	done := false
	n.ask(p, runtime.Spec{InstanceID: "i1", Image: "app", MemoryMiB: 64}, instance.Call{Op: op}, func(a answer) { out, done = a, true })
	for !done {
		if !n.w.step(n.w.now.Add(time.Hour)) {
			t.Fatal("the daemon never answers")
		}
	}
	return out
}

func (w *World) pass(d time.Duration) {
	for end := w.now.Add(d); w.step(end); {
		continue
	}
	w.now = w.now.Add(d)
}

// The container's name is reserved as soon as the daemon begins to make it: what waited
// and what comes then cannot both have one, the later when that of the other is gone.
func TestDaemon_ThatHungMakesOneContainerOfAllThatAskedForIt(t *testing.T) {
	t.Parallel()
	w, n, p := daemonRig(t)
	n.hungUntil = time.Time{} // the hang ends before its time
	n.goOn()
	for {
		a := n.call(t, p, instance.OpCreate)
		if a.Err == nil {
			break
		}
		if !errors.Is(a.Err, runtime.ErrAway) {
			t.Fatal(a.Err)
		}
		w.pass(time.Second)
	}
	if a := n.call(t, p, instance.OpRemove); a.Err != nil {
		t.Fatal(a.Err)
	}
	w.pass(2 * time.Hour)
	if _, all := n.engine.Count(n.name); all != 0 || n.made["i1"] != 1 || w.check.failure != nil {
		t.Errorf("%d containers were made, %d are left; %v", n.made["i1"], all, w.check.failure)
	}
}

func TestDaemon_ThatHungDoesInItsTimeWhatItHasTakenIn(t *testing.T) {
	t.Parallel()
	w, n, _ := daemonRig(t)
	w.pass(30 * time.Minute)
	if n.made["i1"] != 0 {
		t.Error("it is made while the daemon hangs")
	}
	w.pass(time.Hour)
	if n.made["i1"] != 1 {
		t.Errorf("%d containers were made", n.made["i1"])
	}
}

func TestDaemon_ThatIsRestartedForgetsWhatItHasTakenIn(t *testing.T) {
	t.Parallel()
	w, n, _ := daemonRig(t)
	n.restartDaemon(time.Second)
	w.pass(2 * time.Hour)
	if n.made["i1"] != 0 {
		t.Errorf("%d containers were made by the daemon after it", n.made["i1"])
	}
}
