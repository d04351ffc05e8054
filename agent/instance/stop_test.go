package instance

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
	"github.com/dinp/dinp/common/model"
)

// DEFECTS 19: removal was a kill, with no drain.
func TestSet_Stop_DrainsThenSignalsThenKills(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1", "TEST_IGNORE_TERM", "1")
		n.stop("i1", 10*time.Second, 30*time.Second)
		n.settle(9 * time.Second)
		n.want("i1", model.PhaseDraining)
		n.wantContainers(1, 1)
		n.settle(2 * time.Second)
		n.want("i1", model.PhaseStopping)
		n.settle(27 * time.Second)
		n.wantContainers(1, 1)
		n.settle(3 * time.Second)
		if o := n.wantGone("i1", model.GoneExited, ""); o.ExitCode != 137 || o.Message != "stopped: scaled down" {
			t.Errorf("%+v", o)
		}
		n.wantContainers(0, 0)
	})
}

func TestSet_StopAgainWithLessDrain_Hurries(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.stop("i1", time.Hour, 0)
		n.stop("i1", 2*time.Hour, 0) // longer: no effect
		n.want("i1", model.PhaseDraining)
		n.stop("i1", 0, 0)
		n.settle(time.Second)
		n.wantGone("i1", model.GoneExited, "")
	})
}

func TestSet_StopAgainWhileStopping_KeepsTheGrace(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1", "TEST_IGNORE_TERM", "1")
		n.stop("i1", 0, 30*time.Second)
		n.stop("i1", 0, 30*time.Second)
		n.settle(29 * time.Second)
		n.wantContainers(1, 1)
		n.settle(2 * time.Second)
		n.wantGone("i1", model.GoneExited, "")
	})
}

func TestSet_ProcessEndsWhileDraining_IsGoneAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.stop("i1", time.Hour, 0)
		n.engine.Exit("i1", 0, false)
		n.Poke("i1")
		synctest.Wait()
		n.wantGone("i1", model.GoneExited, "")
	})
}

func TestSet_StopWhilePulling_EndsThePull(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.setHook(func(op fake.Op, _ string) fake.Fault { return fake.Fault{Hang: op == fake.OpPull} })
		n.start("i1")
		n.start("i2") // waits for the same pull, and goes on waiting
		n.stop("i1", 0, 0)
		n.wantGone("i1", model.GoneExited, "")
		n.want("i2", model.PhasePulling)
		n.stop("i2", 0, 0)
		n.wantGone("i2", model.GoneExited, "")
		if n.Pulling() != 0 {
			t.Error("the pull goes on for nobody")
		}
	})
}

func TestSet_StopWhileCreateIsUnanswered_WaitsForTheEngine(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.setHook(func(op fake.Op, _ string) fake.Fault {
			if op == fake.OpPull || op == fake.OpEvents {
				return fake.Fault{}
			}
			return fake.Fault{Err: runtime.ErrAway, After: true}
		})
		n.start("i1")
		n.settle(5 * time.Second)
		n.stop("i1", 0, 0)
		n.settle(time.Minute)
		if o, _ := n.Find("i1"); o.Phase == model.PhaseGone {
			t.Fatalf("concluded without an answer: %+v", o)
		}
		n.setHook(nil)
		n.settle(time.Minute)
		n.wantGone("i1", model.GoneExited, "")
		n.wantContainers(0, 0)
	})
}

// Found by the simulator: a stop cut the question off, the container came after the instance was told to be gone.
func TestSet_StopWhileCreateHangsAfterThePull_WaitsForTheEngine(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		pulled := false
		n.setHook(func(op fake.Op, _ string) fake.Fault {
			pulled = pulled || op == fake.OpPull
			return fake.Fault{Hang: pulled && op == fake.OpCreate}
		})
		n.start("i1")
		n.stop("i1", 0, 0)
		n.settle(30 * time.Second)
		if o, _ := n.Find("i1"); !pulled || o.Phase == model.PhaseGone {
			t.Fatalf("concluded without an answer: %+v", o)
		}
		n.setHook(nil)
		n.settle(time.Minute)
		n.wantGone("i1", model.GoneExited, "")
		n.wantContainers(0, 0)
	})
}

// R3: the stop overtakes the start.
func TestSet_StopOfUnknown_LeavesATombstone(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.stop("i1", 0, 0)
		n.wantGone("i1", model.GoneRejected, "")
		n.start("i1")
		n.wantGone("i1", model.GoneRejected, "")
		n.Forget([]string{"i1"}, time.Now())
		if _, ok := n.Find("i1"); ok {
			t.Error("not forgotten")
		}
		n.restart()
		n.start("i1")
		n.wantGone("i1", model.GoneRejected, "")
		if n.engine.Made() != 0 {
			t.Error("it was started")
		}
	})
}

func TestSet_Forget_KeepsWhatIsNotGone(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.Forget([]string{"i1", "never-heard-of"}, time.Now())
		n.want("i1", model.PhaseRunning)
	})
}

func TestSet_RemovalFails_IsGoneAndRemovedWithALaterList(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.failing(fake.OpRemove, 1, fake.Fault{Err: errBusy})
		n.stop("i1", 0, 0)
		n.settle(time.Second)
		n.wantGone("i1", model.GoneExited, "")
		n.wantContainers(0, 1)
		n.relist()
		n.wantContainers(0, 0)
	})
}
