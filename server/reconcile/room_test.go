package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/plan"
)

// takenOver is a new term over a database that knows nodes n1 and n2, of which
// only n1, which has room for one instance, is back so far; an app of three
// instances was deployed meanwhile.
func takenOver(t tester) *rig {
	r := newRig(t)
	r.node("n1", 256)
	n2 := r.node("n2", 1024)
	r.settle()
	n2.leave()
	r.deploy("shop", 3)
	r.lead()
	r.agents["n1"].connect()
	r.round()
	return r
}

func (r *rig) deployment(release string) model.Deployment { return r.deployments[release] }

func TestRoom_SilentNodesAreNoProofThatThereIsNone(t *testing.T) {
	t.Parallel()
	r := takenOver(t)
	for range 8 { // well past the time after which want of room fails a deployment
		r.pass(5 * time.Second)
		r.round()
		r.step()
	}
	if d := r.deployment("rel-shop-1"); d.Status != model.DeploymentRunning {
		t.Fatalf("the deployment has %s while a node with room is silent: %v", d.Status, d.Error)
	}
	why := r.explained("shop")
	if !strings.Contains(why.Next, "dinp nodes") {
		t.Errorf("next is %q", why.Next)
	}
	r.agents["n2"].connect()
	r.settle()
	if d := r.deployment("rel-shop-1"); d.Status != model.DeploymentSucceeded {
		t.Errorf("the node is back and the deployment is %s: %v", d.Status, d.Error)
	}
}

func TestRoom_NodeThatIsLostIsWaitedForNoMore(t *testing.T) {
	t.Parallel()
	r := takenOver(t)
	r.node("n3", 256) // one of three silent is no mass loss
	r.node("n4", 64)
	for range 30 {
		r.pass(5 * time.Second)
		r.round()
		r.step()
	}
	d := r.deployment("rel-shop-1")
	if d.Status != model.DeploymentFailed || d.Error.Code != model.CodeNoMemory {
		t.Errorf("the silent node is lost and the deployment is %s: %v", d.Status, d.Error)
	}
}

func TestRoom_SilentNodeWithoutRoomIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := takenOver(t)
	r.want("n2", model.Cordoned)
	for range 3 {
		r.pass(5 * time.Second)
		r.round()
		r.step()
	}
	if d := r.deployment("rel-shop-1"); d.Status != model.DeploymentFailed {
		t.Errorf("nobody has room, and the deployment is %s", d.Status)
	}
}

// Nobody led while the deadline of a deployment passed, whose instances were up
// meanwhile.
func TestDeadline_ThatPassedBeforeTheTermWaitsForTheNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n1 := r.node("n1", 1024)
	r.mute = true // nobody judges: not ready
	r.deploy("shop", 2)
	for range 3 {
		r.round()
		r.step()
	}
	r.now = r.now.Add(time.Hour)
	r.mute = false
	r.lead()
	r.round()
	if d := r.deployment("rel-shop-1"); d.Status != model.DeploymentRunning {
		t.Fatalf("no node has spoken, and the deployment has %s: %v", d.Status, d.Error)
	}
	n1.connect()
	r.settle()
	if d := r.deployment("rel-shop-1"); d.Status != model.DeploymentSucceeded {
		t.Errorf("its instances are up, and the deployment is %s: %v", d.Status, d.Error)
	}
}

func TestRoom_AppsAlikeAreRefusedByOneLook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 100)
	for _, name := range []string{"a", "b"} {
		r.deploy(name, 2)
	}
	r.deploy("big", 2, func(s *model.Spec) { s.MemoryMiB = 512 })
	r.round()
	ask := func(name string) (looks int) {
		a := r.core.apps["app-"+name]
		before := r.core.noRoom.looks
		if at, _ := r.core.search(&decided{app: a}).node(plan.Start{ReleaseID: a.ReleaseID}, r.core.releases[a.ReleaseID].Spec); at >= 0 {
			t.Errorf("%s found room", name)
		}
		return r.core.noRoom.looks - before
	}
	ask("a")
	if ask("b") != 0 {
		t.Error("the nodes were looked through again for an app like the one before")
	}
	r.core.noRoom = noRoom{looks: r.core.noRoom.looks}
	if ask("a")+ask("big") != 2 {
		t.Error("an app that asks for more got the refusal of one that asks for less")
	}
	r.node("n2", 200)
	if ask("b") != 1 {
		t.Error("a node came, and the refusal is the one from before")
	}
	r.node("n3", 600)
	r.settle()
	if got := len(r.on("a")) + len(r.on("b")); got == 0 {
		t.Error("there is room, and nothing was placed")
	}
}

// What an app that waits costs must not depend on whether some of its instances
// have found room.
func TestRoom_AppsThatArePartlyPlacedAreRefusedByOneLookToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, n := range []string{"n1", "n2", "n3"} {
		r.node(n, 600)
	}
	const apps = 20
	for k := range apps {
		r.deploy(fmt.Sprintf("app%d", k), 3, func(s *model.Spec) { s.MemoryMiB = 80 })
	}
	r.settle()
	r.core.noRoom = noRoom{looks: r.core.noRoom.looks}
	before, partly := r.core.noRoom.looks, 0
	for k := range apps {
		a := r.core.apps[fmt.Sprintf("app-app%d", k)]
		if n := len(r.on(fmt.Sprintf("app%d", k))); n > 0 && n < 3 {
			partly++
		}
		at, why := r.core.search(&decided{app: a}).node(plan.Start{ReleaseID: a.ReleaseID}, r.core.releases[a.ReleaseID].Spec)
		if at >= 0 || why.Of("short of memory") != 3 {
			t.Errorf("%s: node %d, refused by %+v", a.Name, at, why)
		}
	}
	if looks := r.core.noRoom.looks - before; looks != 1 {
		t.Errorf("%d apps (%d of them on some nodes) cost %d looks at all nodes, want 1", apps, partly, looks)
	}
}
