package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/explain"
)

// serving is a rig with two nodes and an app of two instances that serve.
func serving(t tester) *rig {
	r := newRig(t)
	r.node("n1", 1024)
	r.node("n2", 1024)
	r.deploy("shop", 2)
	r.settle()
	if got := r.explained("shop"); got.Next != "" || len(got.Steps) != 1+2*6 {
		t.Fatalf("two instances serve, and yet: %+v", got)
	}
	return r
}

// edited is a serving app that people have changed, once that has come to rest.
func edited(change func(*model.App)) func(*testing.T) *rig {
	return func(t *testing.T) *rig {
		r := serving(t)
		r.edit("shop", change)
		r.settle()
		return r
	}
}

// each reason is produced by the real reconciler, planner and placement.
var reasons = []struct {
	why  explain.Reason
	link explain.Link
	make func(t *testing.T) *rig
	says string // in the text
	next string // in the next command
	show string // in the evidence
}{
	{explain.Deleted, explain.Desired, func(t *testing.T) *rig {
		r := serving(t)
		r.edit("shop", func(a *model.App) { a.DeletedAt = r.now })
		r.round()
		return r
	}, "2 instances are being stopped", "dinp undelete shop", ""},
	{explain.Undeployed, explain.Desired, func(t *testing.T) *rig {
		r := newRig(t)
		r.edit("shop", func(a *model.App) { a.Instances = 1 })
		r.round()
		return r
	}, "nothing was deployed", "dinp deploy shop", ""},
	{explain.ScaledDown, explain.Desired, edited(func(a *model.App) { a.Instances = 0 }), "scaled to 0", "dinp scale shop 1", ""},
	{explain.Paused, explain.Desired, edited(func(a *model.App) { a.Paused = true }), "paused", "dinp pause shop off", ""},
	{explain.Hidden, explain.Desired, edited(func(a *model.App) { a.Maintenance = true }), "maintenance page", "dinp maintenance shop off", ""},
	{explain.Failed, explain.Desired, func(t *testing.T) *rig {
		r := serving(t)
		for _, a := range r.agents {
			a.dies = map[string]bool{"rel-shop-2": true}
		}
		r.deploy("shop", 2)
		r.settle()
		return r
	}, "kept at v1", "dinp logs shop --release v2", "boom"},
	{explain.Held, explain.Desired, unvisited, "are needed to judge it", "dinp promote shop", ""},
	{explain.Trouble, explain.Placed, func(t *testing.T) *rig {
		r := serving(t)
		r.broken = errors.New("the database is away")
		r.edit("shop", func(a *model.App) { a.Instances = 3 })
		r.round()
		r.pass(3 * time.Second)
		return r
	}, "for 3s", "database", ""},
	{explain.SafeMode, explain.Placed, func(t *testing.T) *rig {
		r, _ := restored(t)
		r.settle()
		return r
	}, "older than what runs", "dinp safe-mode", "1h0m0s of it are missing"},
	{explain.NoRoom, explain.Placed, func(t *testing.T) *rig {
		r := serving(t)
		r.want("n2", model.Cordoned)
		r.edit("shop", func(a *model.App) { a.Instances = 7 })
		r.settle()
		return r
	}, "0 of 2 nodes fit 256 MiB", "dinp node n2 uncordon", "n2 is cordoned"},
	{explain.BackOff, explain.Placed, func(t *testing.T) *rig {
		r := crashes(t, 5)
		return r
	}, "the next start is in", "dinp logs shop", "boom"},
	{explain.Crashing, explain.Placed, func(t *testing.T) *rig {
		r := crashes(t, 8)
		for _, a := range r.agents { // one is being tried
			a.dies = nil
			a.hold = true
		}
		r.pass(10 * time.Minute)
		r.round()
		return r
	}, "one at a time is tried", "dinp logs shop", "boom"},
	{explain.Planned, explain.Placed, func(t *testing.T) *rig {
		r := serving(t)
		r.edit("shop", func(a *model.App) { a.Instances = 3 })
		for _, a := range r.wish.Apps { // taken in, and not planned yet
			r.core.wish(a, nil)
		}
		return r
	}, "the next round places it", "", ""},
	{explain.Alone, explain.Placed, func(t *testing.T) *rig {
		r := singleton(t)
		for _, a := range r.agents {
			a.hold = true
		}
		r.deploy("shop", 1)
		for range 3 {
			r.round()
			r.step()
		}
		return r
	}, "once the instance before it is gone", "dinp logs shop", ""},
	{explain.NodeUnknown, explain.Pulled, func(t *testing.T) *rig {
		r := serving(t)
		for _, a := range r.agents {
			a.hold = true
		}
		r.edit("shop", func(a *model.App) { a.Instances = 3 })
		r.round()
		r.silence(last(r, "shop"))
		r.pass(20 * time.Second)
		r.round()
		return r
	}, "silent", "forget", "replaced in 55s"},
	{explain.NodeLost, explain.Placed, func(t *testing.T) *rig {
		r := serving(t)
		r.silence("n1")
		r.pass(2 * time.Minute)
		r.settle()
		return r
	}, "another instance has taken over", "dinp node n1 forget", "last heard of"},
	{explain.EngineDown, explain.Pulled, func(t *testing.T) *rig {
		r := newRig(t)
		n := r.node("n1", 1024)
		n.hold = true
		r.deploy("shop", 1)
		r.round()
		n.engine = "permission denied"
		n.beat()
		r.round()
		return r
	}, "Docker does not answer on n1", "systemctl start docker", "permission denied"},
	{explain.AgentAway, explain.Pulled, func(t *testing.T) *rig {
		r := newRig(t)
		n := r.node("n1", 1024)
		n.hold = true
		r.deploy("shop", 1)
		r.round()
		n.leave()
		r.pass(5 * time.Second)
		r.round()
		return r
	}, "agent of n1 has left", "dinp node n1", "5s ago"},
	{explain.AgentReturns, explain.Pulled, func(t *testing.T) *rig {
		r := newRig(t)
		n := r.node("n1", 1024)
		n.hold = true
		r.deploy("shop", 1)
		r.round()
		n.leave()
		n.session++
		r.core.Handle(t.Context(), dispatch.SessionOpened{Session: n, Hello: n.hello})
		r.round()
		return r
	}, "has yet to tell", "", ""},
	{explain.NotSent, explain.Pulled, func(t *testing.T) *rig {
		r := newRig(t)
		n := r.node("n1", 1024)
		n.hold = true
		r.deploy("shop", 1)
		r.round()
		n.leave()
		n.connect()
		return r
	}, "not been told", "", ""},
	{explain.NotTaken, explain.Pulled, func(t *testing.T) *rig {
		r := newRig(t)
		r.node("n1", 1024).hold = true
		r.deploy("shop", 1)
		r.round()
		r.pass(3 * time.Second)
		return r
	}, "told 3s ago", "", ""},
	{explain.Queued, explain.Pulled, inPhase(model.Observed{Phase: model.PhaseAccepted}), "other pulls first", "", ""},
	{explain.Pulling, explain.Pulled, inPhase(model.Observed{Phase: model.PhasePulling}), "pulling the image for 20s", "", "apps/shop@sha256:1"},
	{explain.PullFails, explain.Pulled, inPhase(model.Observed{Phase: model.PhasePulling, Code: model.CodePullFailed, Message: "manifest unknown"}), "manifest unknown", "dinp node n1", "apps/shop@sha256:1"},
	{explain.Queued, explain.Started, inPhase(model.Observed{Phase: model.PhaseCreated}), "starts when others have", "", ""},
	{explain.Starting, explain.Started, inPhase(model.Observed{Phase: model.PhaseStarting}), "starting its container for 20s", "", ""},
	{explain.Ended, explain.Started, func(t *testing.T) *rig {
		r := serving(t)
		id := r.core.apps["app-shop"].rows[0].ID
		for _, a := range r.agents {
			if _, has := a.has[id]; has {
				a.tell(model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneOOM, Code: model.CodeCrashed, Message: "killed at its memory limit", Logs: []string{"heap"}})
			}
		}
		return r
	}, "killed at its memory limit", "dinp logs shop --instance 0", "heap"},
	{explain.NoMonitor, explain.Listening, func(t *testing.T) *rig {
		r := newRig(t)
		r.core.Handle(t.Context(), dispatch.MonitorClosed{Monitor: fakeMonitor{}})
		r.node("n1", 1024)
		r.deploy("shop", 1)
		r.mute = true
		r.settle()
		return r
	}, "no health monitor", "dinp hm", ""},
	{explain.NotProbed, explain.Listening, func(t *testing.T) *rig {
		r := newRig(t)
		r.node("n1", 1024)
		r.deploy("shop", 1)
		r.mute = true
		r.settle()
		return r
	}, "1 health monitors were told", "", ""},
	{explain.NotListening, explain.Listening, unwell("GET /: connect: refused", false), "does not answer on port 8080", "0.0.0.0:$PORT", "connect: refused"},
	{explain.NotListening, explain.Listening, unwell("GET /: connect: refused", true), "stopped answering on port 8080", "dinp logs shop --instance 0", "replaced 30s after"},
	{explain.Unhealthy, explain.Healthy, unwell("GET / → 500", false), "has not been well yet", "dinp logs shop --instance 0", "500"},
	{explain.Unhealthy, explain.Healthy, unwell("GET / → 500", true), "not well any more", "dinp logs shop --instance 0", "500"},
	{explain.MassSick, explain.Healthy, func(t *testing.T) *rig {
		r := newRig(t)
		r.node("n1", 64<<10)
		r.deploy("shop", 15)
		r.settle()
		r.sick["shop"] = true
		r.step()
		r.round()
		return r
	}, "not well any more", "dinp nodes", "what they share"},
	{explain.NotInTable, explain.Routed, func(t *testing.T) *rig {
		r := newRig(t)
		r.node("n1", 1024)
		r.deploy("shop", 1)
		r.round()
		r.step()
		r.round()
		r.step() // judged, and no round since
		return r
	}, "puts it into the routes", "", ""},
	{explain.Reserved, explain.Routed, func(t *testing.T) *rig {
		r := onTheWay(t, model.StrategyBlueGreen)
		for range 4 {
			r.round()
			r.step()
		}
		r.round()
		return r
	}, "until all of v2 may have them", "", ""},
	{explain.Reserved, explain.Routed, func(t *testing.T) *rig {
		r := onTheWay(t, model.StrategyBlueGreen)
		r.live(40*time.Second, 0)
		return r
	}, "v2 has them all: it stays, for a rollback", "", ""},
	{explain.RoutersBehind, explain.Routed, func(t *testing.T) *rig {
		r := newRig(t)
		r.node("n1", 1024)
		r.lazy = true
		r.deploy("shop", 1)
		r.settle()
		return r
	}, "1 of 1 routers have yet to take", "", "router r1 at 10.0.0.9:80"},
	{explain.NoRouter, explain.Routed, func(t *testing.T) *rig {
		r := serving(t)
		r.routers = nil
		return r
	}, "no router lives", "dinp router", ""},
	{explain.Leaving, explain.Desired, func(t *testing.T) *rig {
		r := serving(t)
		for _, a := range r.agents {
			a.hold = true
		}
		r.deploy("shop", 2)
		r.round()
		return r
	}, "to be replaced (replaced by a newer release); up to 1", "", ""},
	{explain.Proving, explain.Desired, func(t *testing.T) *rig {
		r := serving(t)
		r.deploy("shop", 2)
		for range 4 {
			r.round()
			r.step()
		}
		r.pass(3 * time.Second)
		return r
	}, "after 10s of good health: in 7s", "", ""},
	{explain.Surplus, explain.Desired, func(t *testing.T) *rig {
		r := serving(t)
		r.sick[r.core.apps["app-shop"].rows[0].ID] = true
		r.step()
		r.edit("shop", func(a *model.App) { a.Instances = 1 })
		r.round()
		return r
	}, "one too many", "", ""},
	{explain.Unrouting, explain.Stopping, func(t *testing.T) *rig {
		r := serving(t)
		r.lazy = true
		r.edit("shop", func(a *model.App) { a.Instances = 1 })
		r.round()
		return r
	}, "routers are to send it nothing first", "", "router r1"},
	{explain.Draining, explain.Stopping, func(t *testing.T) *rig {
		r := serving(t)
		r.edit("shop", func(a *model.App) { a.Instances = 1 })
		r.round()
		for _, a := range r.agents {
			a.hold = true
		}
		r.step()
		r.round()
		return r
	}, "being stopped (scaled down): phase running", "", ""},
	{explain.StopPending, explain.Stopping, func(t *testing.T) *rig {
		r := serving(t)
		r.agents[r.core.apps["app-shop"].rows[1].NodeID].leave()
		r.edit("shop", func(a *model.App) { a.Instances = 1 })
		r.round()
		r.step()
		r.round()
		return r
	}, "cannot be told", "dinp node", "last heard of"},
}

// crashes is an app of n instances on eight nodes whose release ends by itself,
// after it has served.
func crashes(t *testing.T, n int) *rig {
	r := newRig(t)
	for i := range 8 {
		r.node(fmt.Sprint("n", i), 1024)
	}
	r.deploy("shop", n)
	r.settle()
	for _, a := range r.agents {
		a.dies = map[string]bool{"rel-shop-1": true}
		for id := range a.has {
			a.tell(model.Observed{ID: id, Phase: model.PhaseGone, Gone: model.GoneExited, Code: model.CodeCrashed, Message: "ended", Logs: []string{"boom"}})
		}
	}
	for range 4 {
		r.round()
		r.step()
	}
	r.round()
	return r
}

// inPhase is an app whose only instance was in a phase for 20 seconds.
func inPhase(o model.Observed) func(t *testing.T) *rig {
	return func(t *testing.T) *rig {
		r := newRig(t)
		n := r.node("n1", 1024)
		n.hold = true
		r.deploy("shop", 1)
		r.round()
		o.ID = r.core.apps["app-shop"].rows[0].ID
		n.tell(o)
		r.pass(20 * time.Second)
		r.round()
		return r
	}
}

// unwell is an app of which one instance answers probes badly, from the beginning
// or after it served.
func unwell(probe string, served bool) func(t *testing.T) *rig {
	return func(t *testing.T) *rig {
		r := newRig(t)
		r.node("n1", 1024)
		r.deploy("shop", 2)
		r.probe = probe
		if !served {
			r.sick["shop"] = true
		}
		for range 4 {
			r.round()
			r.step()
		}
		if served {
			r.settle()
			r.sick[r.core.apps["app-shop"].rows[0].ID] = true
			r.step()
			r.round()
		}
		return r
	}
}

// silence cuts a node off.
func (r *rig) silence(node string) { r.agents[node].leave() }

// last is the node of an app's newest instance.
func last(r *rig, name string) string {
	rows := r.core.apps["app-"+name].rows
	return rows[len(rows)-1].NodeID
}

func TestExplain_EveryReasonOfTheRealReconciler(t *testing.T) {
	t.Parallel()
	seen := map[explain.Reason]bool{}
	for _, c := range reasons {
		seen[c.why] = true
		t.Run(fmt.Sprint(c.why, " ", c.link), func(t *testing.T) {
			t.Parallel()
			r := c.make(t)
			got := r.explained("shop")
			i := slices.IndexFunc(got.Steps, func(s explain.Step) bool { return s.Why == c.why && s.Link == c.link })
			if i < 0 {
				t.Fatalf("no step says so:\n%s", told(got))
			}
			s := got.Steps[i]
			if s.OK || !strings.Contains(s.Text, c.says) || !strings.Contains(s.Next, c.next) || c.next == "" && s.Next != "" || !strings.Contains(strings.Join(s.Evidence, "\n"), c.show) {
				t.Errorf("got %+v", s)
			}
			if c.next != "" && got.Next == "" {
				t.Errorf("the app's next command is missing:\n%s", told(got))
			}
		})
	}
	for _, why := range explain.Reasons() {
		if !seen[why] {
			t.Errorf("no test produces %q", why)
		}
	}
}

// told is an account for people.
func told(a explain.Account) string {
	var b strings.Builder
	for _, s := range a.Steps {
		fmt.Fprintf(&b, "%d %s %s ok=%v %s: %s %q → %s\n", s.Slot, s.Instance, s.Link, s.OK, s.Why, s.Text, s.Evidence, s.Next)
	}
	return b.String() + "next: " + a.Next
}

// While bluegreen keeps the old release nothing is on its way into the table.
func TestExplain_OldInstancesThatAreKeptAreNotOnTheirWayIntoTheTable(t *testing.T) {
	t.Parallel()
	r := onTheWay(t, model.StrategyBlueGreen)
	r.live(40*time.Second, 0)
	got, reserved := r.explained("shop"), 0
	for _, s := range got.Steps {
		if s.Why == explain.NotInTable {
			t.Errorf("the next round does not route it: %+v", s)
		}
		if s.Why == explain.Reserved {
			reserved++
		}
	}
	if reserved != 4 || got.Next != "" {
		t.Errorf("%d of the 4 old instances are kept, and the next command is %q:\n%s", reserved, got.Next, told(got))
	}
}

func TestApp_ServedByMoreThanAreWantedDoesNotSayMoreOfFewer(t *testing.T) {
	t.Parallel()
	r := serving(t)
	for _, a := range r.wish.Apps { // taken in, and not planned yet
		a.Instances = 1
		r.core.wish(a, nil)
	}
	if s := r.core.AppReply("app-shop").GetState(); s != "v1 serves on 2, 1 wanted" {
		t.Errorf("two serve and one is wanted: %q", s)
	}
}

func TestExplain_LostInstanceWithoutAReplacementDoesNotClaimOne(t *testing.T) {
	t.Parallel()
	r := serving(t)
	r.want("n2", model.Cordoned)
	r.silence("n1")
	r.pass(2 * time.Minute)
	r.settle()
	for _, s := range r.explained("shop").Steps {
		if s.Why == explain.NodeLost && s.Instance != "" {
			if !strings.Contains(s.Text, "for another one there is no room yet") {
				t.Errorf("nothing has taken over: %q", s.Text)
			}
			return
		}
	}
	t.Errorf("nothing is told of the lost instance:\n%s", told(r.explained("shop")))
}

func TestExplain_RefusalCountsEveryConstraintAndNamesTheNearest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		r.node(fmt.Sprint("n", i), int64(300+100*i))
	}
	r.want("n4", model.Cordoned)
	r.deploy("big", 1, func(s *model.Spec) { s.MemoryMiB = 720 })
	r.round()
	for _, s := range r.explained("big").Steps {
		if s.Why != explain.NoRoom {
			continue
		}
		if len(s.Misses) != 3 || s.Misses[0].Node != "n3" || s.Misses[0].ShortMiB != 120 {
			t.Errorf("misses %+v", s.Misses)
		}
		got := map[string]int{}
		for _, c := range s.Counts {
			got[c.Why] = c.Nodes
		}
		if got["short of memory"] != 5 || got["cordoned"] != 1 {
			t.Errorf("counts %+v", s.Counts)
		}
		return
	}
	t.Error("nothing explains why big has no instance")
}

// Slot 3 lacks room since the app was scaled up, however long slot 2 has.
func TestExplain_EachSlotSaysSinceWhenItHasNoRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 512)
	r.deploy("shop", 2)
	r.settle()
	want := map[int]time.Time{}
	for slot := 2; slot < 4; slot++ {
		r.pass(time.Hour)
		want[slot] = r.now
		r.edit("shop", func(a *model.App) { a.Instances = slot + 1 })
		r.round()
	}
	r.pass(time.Minute)
	r.round()
	if diff := cmp.Diff(want, roomless(r)); diff != "" {
		t.Errorf("since when the slots have no room (-want +got):\n%s", diff)
	}

	r.node("n2", 256) // one more finds room: the other has had none all the time
	r.settle()
	if diff := cmp.Diff(map[int]time.Time{3: want[3]}, roomless(r)); diff != "" {
		t.Errorf("after slot 2 found room (-want +got):\n%s", diff)
	}
	r.edit("shop", func(a *model.App) { a.Instances = 3 })
	r.settle()
	r.pass(time.Hour)
	r.edit("shop", func(a *model.App) { a.Instances = 4 })
	r.round()
	if diff := cmp.Diff(map[int]time.Time{3: r.now}, roomless(r)); diff != "" {
		t.Errorf("a slot that is wanted anew (-want +got):\n%s", diff)
	}
}

// roomless is since when each of the shop's slots that lack room is said to.
func roomless(r *rig) map[int]time.Time {
	out := map[int]time.Time{}
	for _, s := range r.explained("shop").Steps {
		if s.Why == explain.NoRoom {
			out[s.Slot] = s.At
		}
	}
	return out
}

func TestExplain_RefusedConstraintsAreDroppedByACommandThatCanBeTyped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 512)
	r.edit("shop", func(a *model.App) { a.Constraints = "zone==nowhere" })
	r.deploy("shop", 1)
	r.round()
	if got := r.explained("shop"); !strings.Contains(got.Next, "dinp place shop any") {
		t.Errorf("next is %q", got.Next)
	}
}

func TestExplain_ChangesNothing(t *testing.T) {
	t.Parallel()
	r := serving(t)
	r.edit("shop", func(a *model.App) { a.Instances = 4 })
	for _, a := range r.wish.Apps {
		r.core.wish(a, nil)
	}
	before := r.core.index.Changes()
	first := told(r.explained("shop"))
	if again := told(r.explained("shop")); again != first || r.core.index.Changes() != before || r.ids != 2 {
		t.Errorf("explained twice:\n%s\n%s", first, again)
	}
}
