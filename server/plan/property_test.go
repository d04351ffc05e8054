package plan

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

// cluster is a toy that carries plans out: enough of an engine to see whether
// plans lead where they should.
type cluster struct {
	t     *rapid.T
	in    Input
	now   time.Time
	next  int
	steps int
	bad   map[string]bool // releases that never get ready
	watch string          // as the last plan asked for
}

func (c *cluster) apply(p Plan) {
	gone := map[string]bool{}
	for _, r := range p.Reap {
		gone[r.ID] = true
		if r.Failed {
			c.in.Slots = with(c.in.Slots, r.Slot, Failed(Default(), c.in.Slots[r.Slot], c.find(r.ID).Instance, c.now))
		}
	}
	var kept []Instance
	for _, i := range c.in.Instances {
		if !gone[i.ID] {
			kept = append(kept, i)
		}
	}
	c.in.Instances = kept
	for _, s := range p.Stop {
		c.find(s.ID).Stopping = true
	}
	for _, id := range p.Suspect {
		c.find(id).Role = model.Suspect
	}
	for _, m := range p.Promote {
		c.find(m.ID).Role = model.Primary
	}
	for _, id := range p.Keep {
		c.find(id).Role = model.Primary
	}
	for _, d := range p.Deploy {
		c.in.Deployments = put(c.in.Deployments, d)
		if d.Status == model.DeploymentSucceeded {
			c.in.LastGood = d.ReleaseID
		}
	}
	for _, s := range p.Start {
		c.next++
		c.in.Instances = append(c.in.Instances, Instance{
			Instance: model.Instance{ID: fmt.Sprintf("i%03d", c.next), AppID: "a", ReleaseID: s.ReleaseID, Slot: s.Slot, Role: s.Role, NodeID: "n", CreatedAt: c.now},
			Node:     model.NodeReady,
		})
	}
	c.unique()
}

func (c *cluster) find(id string) *Instance {
	for n := range c.in.Instances {
		if c.in.Instances[n].ID == id {
			return &c.in.Instances[n]
		}
	}
	c.t.Fatalf("plan names an instance that is not there: %s", id)
	return nil
}

// unique is the database's rule: one live instance a slot and role.
func (c *cluster) unique() {
	seen := map[string]bool{}
	for _, i := range c.in.Instances {
		if i.Stopping {
			continue
		}
		k := fmt.Sprint(i.Slot, i.Role)
		if seen[k] {
			c.t.Fatalf("two live instances in slot and role %s: %s", k, c.dump())
		}
		seen[k] = true
	}
}

func (c *cluster) ready() int {
	n := 0
	for i := range c.in.Instances {
		if c.in.Instances[i].Ready() {
			n++
		}
	}
	return n
}

func (c *cluster) dump() string {
	b, err := json.Marshal(c.in)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// deploy makes a release the wanted one.
func (c *cluster) deploy(number int, bad bool) {
	id := fmt.Sprint("r", number)
	c.in.Releases[id] = model.Release{ID: id, Number: number, Spec: model.Spec{}.WithDefaults()}
	c.in.App.ReleaseID, c.bad[id] = id, bad
}

// tick is how much time passes between two looks.
const tick = 5 * time.Second

// live lets a tick pass: stopping instances end, starting ones come up.
func (c *cluster) live() {
	c.now = c.now.Add(tick)
	for n := range c.in.Instances {
		i := &c.in.Instances[n]
		switch {
		case i.Node != model.NodeReady:
		case i.Stopping:
			i.Observed = &model.Observed{ID: i.ID, Phase: model.PhaseGone, Gone: model.GoneExited}
		case i.Observed == nil:
			i.Observed = &model.Observed{ID: i.ID, Phase: model.PhaseRunning}
		case i.Observed.Phase == model.PhaseRunning && !c.bad[i.ReleaseID] && !i.Healthy:
			i.Judged, i.Healthy, i.HealthyAt, i.Routed, i.EverRouted = true, true, c.now, true, true
		}
	}
}

// step plans once and carries the plan out. Every so often it also checks that
// planning is a pure function.
func (c *cluster) step() {
	p := Compute(Default(), c.in, c.now)
	if c.steps++; c.steps%20 == 1 {
		before := c.dump()
		again := Compute(Default(), c.in, c.now)
		if after := c.dump(); before != after {
			c.t.Fatalf("the input was changed:\n%s\n%s", before, after)
		}
		if !cmp.Equal(p, again) {
			c.t.Fatalf("same input, other plan: %s", cmp.Diff(p, again))
		}
	}
	c.apply(p)
	c.watch = p.Watch
}

func TestProperty_WithoutFaultsAppsConvergeAndNeverServeLessThanWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &cluster{t: t, in: world(rapid.IntRange(1, 6).Draw(t, "instances"), "r1"), now: t0, bad: map[string]bool{}}
		for range 60 {
			c.step()
			c.live()
		}
		release := 1
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			old := c.in.App.Instances
			switch rapid.IntRange(0, 2).Draw(t, "change") {
			case 0, 1:
				release++
				c.deploy(release, rapid.Bool().Draw(t, "bad"))
			case 2:
				c.in.App.Instances = rapid.IntRange(1, 6).Draw(t, "scale")
			}
			floor := min(old, c.in.App.Instances)
			for range rapid.IntRange(1, 130).Draw(t, "ticks") {
				c.step()
				if got := c.ready(); got < floor {
					t.Fatalf("%d ready, want at least %d: %s", got, floor, c.dump())
				}
				surge := max(1, (c.in.App.Instances*25+99)/100)
				if live := len(c.in.Instances); live > max(old, c.in.App.Instances)*2+surge {
					t.Fatalf("%d instances for %d wanted", live, c.in.App.Instances)
				}
				c.live()
			}
			for range 130 {
				c.step()
				c.live()
			}
		}
		for range 3 {
			c.step()
		}
		if p := Compute(Default(), c.in, c.now); len(p.Start)+len(p.Stop)+len(p.Promote)+len(p.Reap)+len(p.Deploy) != 0 {
			t.Fatalf("not at rest: %+v", p)
		}
		if c.ready() != c.in.App.Instances || len(c.in.Instances) != c.in.App.Instances {
			t.Fatalf("%d ready, %d instances, %d wanted", c.ready(), len(c.in.Instances), c.in.App.Instances)
		}
	})
}

func TestProperty_NodesThatComeAndGoNeverDoubleASlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &cluster{t: t, in: world(rapid.IntRange(1, 4).Draw(t, "instances"), "r1"), now: t0, bad: map[string]bool{}}
		// A first release whose nodes are away for all its time fails, and rightly;
		// this is about an app that has served.
		c.in.succeeded("r1")
		statuses := []model.NodeStatus{model.NodeReady, model.NodeUnknown, model.NodeLost, model.NodeDockerDown}
		for range rapid.IntRange(1, 80).Draw(t, "ticks") {
			if n := len(c.in.Instances); n > 0 {
				c.in.Instances[rapid.IntRange(0, n-1).Draw(t, "which")].Node = rapid.SampledFrom(statuses).Draw(t, "status")
			}
			c.step()
			c.live()
		}
		for n := range c.in.Instances {
			c.in.Instances[n].Node = model.NodeReady
		}
		for range 100 {
			c.step()
			c.live()
		}
		if c.ready() != c.in.App.Instances || len(c.in.Instances) != c.in.App.Instances {
			t.Fatalf("%d ready, %d instances, %d wanted: %s", c.ready(), len(c.in.Instances), c.in.App.Instances, c.dump())
		}
	})
}

// Rests lets a sweep pass over apps without planning them: it must never hide
// one that has something to do.
func TestRests_MeansThatThereIsNothingToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := world(rapid.IntRange(0, 4).Draw(t, "instances"), "r1")
		in.succeeded("r1")
		rests := true
		for n := range rapid.IntRange(0, 5).Draw(t, "rows") {
			i := in.serving(fmt.Sprint("i", n), rapid.SampledFrom([]string{"r1", "r1", "r1", "r2"}).Draw(t, "release"), n, rapid.SampledFrom([]model.Role{model.Primary, model.Primary, model.Primary, model.Surge, model.Suspect}).Draw(t, "role"))
			i.Healthy = rapid.IntRange(0, 9).Draw(t, "healthy") > 0
			i.Judged = rapid.IntRange(0, 9).Draw(t, "judged") > 0
			i.Stopping = rapid.IntRange(0, 9).Draw(t, "stopping") == 0
			i.Draining = rapid.IntRange(0, 9).Draw(t, "draining") == 0
			i.Routed = rapid.IntRange(0, 9).Draw(t, "routed") > 0
			if rapid.IntRange(0, 9).Draw(t, "node") == 0 {
				i.Node = rapid.SampledFrom([]model.NodeStatus{model.NodeUnknown, model.NodeLost, model.NodeDockerDown}).Draw(t, "status")
			}
		}
		for n := range in.Instances {
			rests = rests && in.Instances[n].Rests(&in.App, n)
		}
		if !rests || len(in.Instances) != in.App.Instances {
			return
		}
		if p := compute(in); cmp.Diff(p, Plan{}) != "" {
			t.Fatalf("at rest, and yet the plan is %+v", p)
		}
	})
}

// A leader that begins takes what routes led to for running, and plans nothing when
// the node of such an instance confirms it: by that nothing may change.
func TestCompute_WhetherTheNodeOfWhatServesHasSpokenChangesNothing(t *testing.T) {
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		c := &cluster{t: t, in: world(rapid.IntRange(1, 6).Draw(t, "instances"), "r1"), now: t0, bad: map[string]bool{}}
		release := 1
		for range rapid.IntRange(1, 40).Draw(t, "ticks") {
			switch rapid.IntRange(0, 9).Draw(t, "change") {
			case 0:
				release++
				c.deploy(release, rapid.Bool().Draw(t, "bad"))
			case 1:
				c.in.App.Instances = rapid.IntRange(1, 6).Draw(t, "scale")
			case 2:
				if n := len(c.in.Instances); n > 0 {
					c.in.Instances[rapid.IntRange(0, n-1).Draw(t, "which")].Node = rapid.SampledFrom([]model.NodeStatus{model.NodeReady, model.NodeUnknown, model.NodeLost}).Draw(t, "status")
				}
			}
			for n := range c.in.Instances {
				i := &c.in.Instances[n]
				if was := i.Node; i.Role == model.Primary && i.Ready() && !i.Draining && was != model.NodeLost {
					i.Node = model.NodeReady
					ready := Compute(Default(), c.in, c.now)
					i.Node = model.NodeUnknown
					if diff := cmp.Diff(ready, Compute(Default(), c.in, c.now)); diff != "" {
						t.Fatalf("%s is planned otherwise when its node has yet to speak:\n%s%s", i.ID, diff, c.dump())
					}
					i.Node = was
					compared++
				}
			}
			c.step()
			c.live()
		}
	})
	if compared == 0 {
		t.Error("nothing that was drawn serves")
	}
}
