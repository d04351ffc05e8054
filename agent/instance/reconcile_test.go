package instance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
	"github.com/dinp/dinp/common/model"
)

var errBusy = errors.New("device or resource busy")

func TestSet_ContainerVanishesQuietly_IsFoundLostByTheNextList(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.engine.Vanish("i1", true)
		n.relist()
		n.wantGone("i1", model.GoneLost, model.CodeCrashed)
	})
}

// DEFECTS 31, 36: what a list or one inspect did not show was counted dead.
func TestSet_MissingInAStaleList_IsNotGone(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		if err := n.Reconcile(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n.want("i1", model.PhaseRunning)
	})
}

func TestSet_InspectFails_ConcludesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.failing(fake.OpInspect, 5, fake.Fault{Err: runtime.ErrAway})
		n.Poke("i1")
		n.settle(2 * time.Second)
		if o := n.want("i1", model.PhaseRunning); o.Code != "" {
			t.Errorf("a node's condition is told of an instance: %+v", o)
		}
	})
}

// DEFECTS 14: one hung call stopped everything.
func TestSet_EngineHangs_OtherInstancesAndOrdersGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.setHook(func(op fake.Op, id string) fake.Fault { return fake.Fault{Hang: op == fake.OpStart && id == "i2"} })
		n.start("i2")
		n.start("i3")
		n.want("i2", model.PhaseStarting)
		n.want("i3", model.PhaseRunning)
		n.stop("i1", 0, 0)
		n.settle(time.Second)
		n.wantGone("i1", model.GoneExited, "")
	})
}

func TestSet_EngineRestarts_EndedInstancesAreTold(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		for _, id := range ids("i", 3) {
			n.start(id)
		}
		n.engine.Restart()
		n.relist()
		for _, id := range ids("i", 3) {
			n.wantGone(id, model.GoneExited, model.CodeCrashed)
		}
		n.wantContainers(0, 0)
	})
}

func TestSet_AgentRestarts_RunningInstancesAreUntouched(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		before := n.want("i1", model.PhaseRunning)
		n.restart()
		if after := n.want("i1", model.PhaseRunning); after.Container != before.Container || after.Addr != before.Addr {
			t.Errorf("before %+v, after %+v", before, after)
		}
		n.wantContainers(1, 1)
	})
}

func TestSet_AgentAwayWhileInstancesEnded_TellsThem(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		for _, id := range []string{"exited", "vanished", "kept"} {
			n.start(id)
		}
		n.kill()
		n.engine.Exit("exited", 3, false)
		n.engine.Vanish("vanished", true)
		n.up()
		n.relist()
		n.wantGone("exited", model.GoneExited, model.CodeCrashed)
		n.wantGone("vanished", model.GoneLost, model.CodeCrashed)
		n.want("kept", model.PhaseRunning)
	})
}

func TestSet_UnreadableRecord_ContainerIsAdoptedByItsLabel(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.kill()
		n.spoil("i1")
		n.up()
		n.relist()
		n.want("i1", model.PhaseRunning)
		if m, _ := n.Reserved(); m != 100 {
			t.Errorf("%d MiB reserved: the adopted one must count", m)
		}
		n.start("i1") // tells the spec; nothing is made twice
		n.wantContainers(1, 1)
		n.stop("i1", 0, 0)
		n.settle(time.Second)
		n.wantGone("i1", model.GoneExited, "")
	})
}

// spoil makes a record unreadable while no agent runs.
func (n *node) spoil(id string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, "instances", id+".json"), []byte(`{"spec`), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// Of its record the file's name is left: that it was given is known.
func TestSet_UnreadableRecordAndNoContainer_IsLostAndNeverMadeAgain(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.kill()
		n.spoil("i1")
		n.engine.Vanish("i1", true)
		n.up()
		n.restart() // whenever the agent ends before it has an answer, it knows no less
		n.wantGone("i1", model.GoneLost, model.CodeCrashed)
		n.start("i1") // of a leader that does not know yet
		n.restart()
		n.wantGone("i1", model.GoneLost, model.CodeCrashed)
		n.wantContainers(0, 0)
		if n.engine.Made() != 1 {
			t.Errorf("%d containers were made", n.engine.Made())
		}
		n.Forget([]string{"i1"}, time.Now())
		n.restart()
		if _, known := n.Find("i1"); known {
			t.Error("it is told again after it was forgotten")
		}
	})
}

func TestSet_UnreadableRecordAndNoAnswer_ConcludesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.kill()
		n.spoil("i1")
		n.up()
		n.failing(fake.OpInspect, 1, fake.Fault{Err: runtime.ErrAway})
		if n.reconcile() == nil {
			t.Error("the list counts as complete, and nobody knows of i1")
		}
		n.start("i1")
		if o, known := n.Find("i1"); known {
			t.Errorf("told as %+v before the engine has said anything of it", o)
		}
		n.relist()
		n.want("i1", model.PhaseRunning)
		n.wantContainers(1, 1)
	})
}

func TestSet_AdoptedContainerThatNeverRan_IsNotStarted(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		rt := n.engine.Node("n1", "10.0.0.1")
		if err := rt.EnsureImage(t.Context(), "img"); err != nil {
			t.Fatal(err)
		}
		if _, err := rt.Create(t.Context(), spec("i1")); err != nil {
			t.Fatal(err)
		}
		n.relist()
		n.want("i1", model.PhaseCreated)
		n.wantContainers(0, 1)
		n.start("i1") // now it is wanted
		n.want("i1", model.PhaseRunning)
	})
}

func TestSet_CreateTakesEffectAfterTheStop_ContainerIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.stop("i1", 0, 0)
		n.Forget([]string{"i1"}, time.Now())
		rt := n.engine.Node("n1", "10.0.0.1")
		if err := rt.EnsureImage(t.Context(), "img"); err != nil {
			t.Fatal(err)
		}
		if _, err := rt.Create(t.Context(), spec("i1")); err != nil {
			t.Fatal(err)
		}
		n.relist()
		n.wantContainers(0, 0)
	})
}

// TestSet_KilledAtEveryCall kills the agent before and after each call it makes
// of the engine while an instance comes up and goes down, starts it again, and
// sees that it ends as it should, with never a second container.
func TestSet_KilledAtEveryCall_NothingIsDoubledOrLost(t *testing.T) {
	for k := range 20 {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("call%d_after=%v", k, after), func(t *testing.T) {
				bubble(t, func(t *testing.T, n *node) { killedAt(t, n, k, after) })
			})
		}
	}
}

func killedAt(t *testing.T, n *node, k int, after bool) {
	calls := 0
	n.setHook(func(fake.Op, string) fake.Fault {
		n.mu.Lock()
		defer n.mu.Unlock()
		if calls++; calls != k+1 {
			return fake.Fault{}
		}
		n.cancel()
		return fake.Fault{Err: runtime.ErrAway, After: after}
	})
	n.start("i1")
	n.restart()
	n.start("i1") // the leader says it again with the new session
	n.settle(time.Minute)
	n.want("i1", model.PhaseRunning)
	n.wantContainers(1, 1)
	n.stop("i1", time.Second, time.Second)
	n.settle(time.Minute)
	n.restart()
	n.stop("i1", time.Second, time.Second)
	n.settle(time.Minute)
	n.wantGone("i1", model.GoneExited, "")
	n.wantContainers(0, 0)
	if n.engine.Made() != 1 {
		t.Errorf("%d containers made", n.engine.Made())
	}
}
