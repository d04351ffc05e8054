package instance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
	"github.com/dinp/dinp/common/model"
)

func TestSet_StartsAnInstance_PhasesMoveForward(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		if o := n.want("i1", model.PhaseRunning); o.Addr == "" || o.Container == "" || o.CreatedAt.IsZero() || o.StartedAt.IsZero() || o.Code != "" {
			t.Errorf("running: %+v", o)
		}
		n.stop("i1", time.Minute, time.Second)
		n.want("i1", model.PhaseDraining)
		n.settle(2 * time.Minute)
		n.wantGone("i1", model.GoneExited, "")
		if seen := n.seen["i1"]; !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) < 7 {
			t.Errorf("phases reported: %v", seen)
		}
		n.wantContainers(0, 0)
	})
}

// DEFECTS 3, 4: a repeated order made another container.
func TestSet_StartOfAKnownInstance_IsANoOp(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		for range 5 {
			n.start("i1")
		}
		if n.engine.Made() != 1 {
			t.Errorf("%d containers made", n.engine.Made())
		}
	})
}

// DEFECTS 55: a create that succeeded and timed out was made again.
func TestSet_CreateTimesOutAfterItSucceeded_MakesNoSecondContainer(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.failing(fake.OpCreate, 2, fake.Fault{Err: runtime.ErrAway, After: true})
		n.start("i1")
		n.settle(10 * time.Second)
		n.want("i1", model.PhaseRunning)
		if n.engine.Made() != 1 {
			t.Errorf("%d containers made", n.engine.Made())
		}
	})
}

func TestSet_StartTimesOutAfterItSucceeded_IsFoundRunning(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.failing(fake.OpStart, 1, fake.Fault{Err: runtime.ErrAway, After: true})
		n.start("i1")
		n.settle(10 * time.Second)
		n.want("i1", model.PhaseRunning)
	})
}

// DEFECTS 16: a failed start left its container behind.
func TestSet_StartRefused_ContainerIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		s := spec("i1")
		s.Command = []string{"/no-such-program"}
		n.Start(s, time.Now())
		synctest.Wait()
		n.wantGone("i1", model.GoneFailed, model.CodeStartFailed)
		n.wantContainers(0, 0)
	})
}

func TestSet_ProcessEnds_IsGoneWithItsCode(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.engine.Exit("i1", 7, false)
		n.Poke("i1")
		synctest.Wait()
		if o := n.wantGone("i1", model.GoneExited, model.CodeCrashed); o.ExitCode != 7 || !strings.Contains(o.Message, "exit code 7") {
			t.Errorf("%+v", o)
		}
		n.wantContainers(0, 0)
	})
}

func TestSet_ProcessEndsAtOnce_IsGone(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1", "TEST_EXIT", "127")
		if o := n.wantGone("i1", model.GoneExited, model.CodeCrashed); !strings.Contains(o.Message, "not found") {
			t.Errorf("%+v", o)
		}
	})
}

func TestSet_OutOfMemory_SaysTheLimit(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.start("i1")
		n.engine.Exit("i1", 137, true)
		n.Poke("i1")
		synctest.Wait()
		if o := n.wantGone("i1", model.GoneOOM, model.CodeCrashed); !strings.Contains(o.Message, "100 MiB") {
			t.Errorf("%+v", o)
		}
	})
}

// DEFECTS 21: a failing pull was retried for ever, and nobody told.
func TestSet_PullFails_ThriceThenGone(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.failing(fake.OpPull, 99, fake.Fault{Err: errors.New("manifest unknown")})
		n.start("i1")
		if o := n.want("i1", model.PhasePulling); o.Code != model.CodePullFailed || !strings.Contains(o.Message, "try 1 of 3") {
			t.Errorf("while trying: %+v", o)
		}
		n.settle(time.Minute)
		if o := n.wantGone("i1", model.GoneFailed, model.CodePullFailed); !strings.Contains(o.Message, "manifest unknown") {
			t.Errorf("%+v", o)
		}
	})
}

func TestSet_PullFailsOnce_IsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.failing(fake.OpPull, 1, fake.Fault{Err: errors.New("connection reset")})
		n.start("i1")
		n.settle(time.Minute)
		if o := n.want("i1", model.PhaseRunning); o.Code != "" || o.Message != "" {
			t.Errorf("%+v", o)
		}
	})
}

func TestSet_ImageVanishesAfterEachPull_GivesUp(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.failing(fake.OpCreate, 99, fake.Fault{Err: runtime.ErrNoImage})
		n.start("i1")
		n.settle(time.Minute)
		n.wantGone("i1", model.GoneFailed, model.CodePullFailed)
	})
}

func TestSet_PullsOnceForManyInstances(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		release := make(chan struct{})
		n.setHook(func(op fake.Op, _ string) fake.Fault {
			if op == fake.OpPull {
				<-release
			}
			return fake.Fault{}
		})
		for _, id := range ids("i", 5) {
			n.start(id)
		}
		close(release)
		synctest.Wait()
		n.wantContainers(5, 5)
		if got := n.engine.Pulled("img"); got != 1 {
			t.Errorf("pulled %d times", got)
		}
	})
}

// R17: at most three pulls, four starts.
func TestSet_AsksTheEngineForFewThingsAtOnce(t *testing.T) {
	for op, most := range map[fake.Op]int{fake.OpPull: pullLanes, fake.OpStart: startLanes, fake.OpRemove: removeLanes} {
		bubble(t, func(t *testing.T, n *node) {
			now, peak := 0, 0
			n.setHook(func(o fake.Op, _ string) fake.Fault {
				if o == op {
					n.mu.Lock()
					now++
					peak = max(peak, now)
					n.mu.Unlock()
					<-time.After(time.Second)
					n.mu.Lock()
					now--
					n.mu.Unlock()
				}
				return fake.Fault{}
			})
			for i, id := range ids("i", 10) {
				s := spec(id)
				s.Image = fmt.Sprint("img", i)
				n.Start(s, time.Now())
			}
			n.settle(time.Minute)
			for _, id := range ids("i", 10) {
				n.Stop(id, 0, 0, "", time.Now())
			}
			n.settle(time.Minute)
			n.wantContainers(0, 0)
			if peak != most {
				t.Errorf("%d %ss at once, want %d", peak, op, most)
			}
		})
	}
}

// DEFECTS 25, 26, 28: room is what was not promised yet; an exact fit fits.
func TestSet_AdmitsByItsOwnSum(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		for _, id := range ids("i", 10) { // 10 × 100 of 1000 MiB
			n.start(id)
		}
		n.wantContainers(10, 10)
		n.start("more")
		if o := n.wantGone("more", model.GoneRejected, model.CodeNoMemory); !strings.Contains(o.Message, "100 MiB asked, 0 of 1000 MiB left") {
			t.Errorf("%+v", o)
		}
		n.stop("i-0", 0, 0)
		n.settle(time.Second)
		n.start("again")
		n.want("again", model.PhaseRunning)
		if m, _ := n.Reserved(); m != 1000 {
			t.Errorf("%d MiB reserved", m)
		}
	})
}

// DEFECTS 24: a memory of zero or less was an unlimited container.
func TestSet_RefusesSizesThatAreNone(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		for i, memory := range []int64{0, -1, 1 << 40} {
			s := spec(fmt.Sprint("i", i))
			s.MemoryMiB = memory
			n.Start(s, time.Now())
			n.wantGone(s.InstanceID, model.GoneRejected, model.CodeNoMemory)
		}
		s := spec("cpu")
		s.CPUMilli = 4001
		n.Start(s, time.Now())
		n.wantGone("cpu", model.GoneRejected, model.CodeNoMemory)
	})
}

func TestSet_RefusesIDsThatAreNoNames(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		for _, id := range []string{"", "../../etc/passwd", "a b", strings.Repeat("x", 65)} {
			n.start(id)
			n.stop(id, 0, 0)
		}
		if got := n.Snapshot(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// DEFECTS 39: a container with our variables but not our labels was adopted and killed.
func TestSet_ForeignContainer_IsNeverTouched(t *testing.T) {
	bubble(t, func(t *testing.T, n *node) {
		n.engine.Occupy("i1")
		n.start("i1")
		n.wantGone("i1", model.GoneFailed, model.CodeStartFailed)
		n.relist()
		if _, err := n.engine.Node("", "").Inspect(t.Context(), "i1"); err != nil {
			t.Errorf("the foreign container: %v", err)
		}
	})
}
