package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// committed checks what a leader wrote.
func (c *checker) committed(l store.Lease, ctl store.Control, before, after tables) {
	w := c.w
	w.touch()
	c.commits++
	var m *term
	for _, s := range w.servers {
		if s.term != nil && s.term.held.Epoch == l.Epoch && s.name == l.Owner {
			m = s.term
		}
	}
	if m == nil {
		c.fail("only a leader writes", "%s wrote with epoch %d and leads no more", l.Owner, l.Epoch)
		return
	}
	if before.safe != nil && c.safe() != nil && len(ctl.Insert)+len(ctl.Stop)+len(ctl.Role)+len(ctl.Delete)+len(ctl.Deployments)+len(ctl.Cordon) > 0 {
		c.fail("safe mode changes nothing", "%s writes %+v, and nobody has decided yet", m.s.name, ctl)
	}
	c.cleared(ctl, before)
	for _, i := range ctl.Insert {
		w.say(m.s.name, "row %s: %s v%d slot %d %s on %s", label(i.ID), w.db.apps[i.AppID].Name, w.db.releases[i.ReleaseID].Number, i.Slot, i.Role, i.NodeID)
		c.inserted(m, l, i, after)
	}
	for _, i := range ctl.Stop {
		w.say(m.s.name, "row %s stopping: %s", label(i.ID), i.Reason)
		c.reasoned(i, before)
		c.unwanted(i, before, after)
		c.succeeded(i, before, after)
	}
	for _, i := range ctl.Role {
		w.say(m.s.name, "row %s is %s", label(i.ID), i.Role)
		if i.Role == model.Suspect && before.instances[i.ID].Role != model.Suspect {
			c.lost(m, i)
		}
		if i.Role == model.Primary && before.instances[i.ID].Role == model.Surge {
			c.promoted(i, ctl, before)
		}
	}
	c.ended(ctl, before)
	for _, id := range ctl.Delete {
		w.say(m.s.name, "row %s deleted", label(id))
		c.deleted(id)
	}
	for _, d := range ctl.Deployments {
		w.say(m.s.name, "deployment of v%d of %s: %s", w.db.releases[d.ReleaseID].Number, w.db.apps[d.AppID].Name, d.Status)
	}
	for _, id := range ctl.Cordon {
		w.say(m.s.name, "node %s cordoned", id)
		c.cordoned(id, before, after)
	}
	c.budget(after)
	c.lasting(before, after)
	w.did("commit")
}

// lasting: what was decided once is not taken back.
func (c *checker) lasting(before, after tables) {
	for _, b := range sorted(before.instances) {
		a, there := after.instances[b.ID]
		if there && (b.Stopping && !a.Stopping || a.NodeID != b.NodeID || a.Slot != b.Slot || a.ReleaseID != b.ReleaseID || a.AppID != b.AppID) {
			c.fail("an instance stays what it is", "%s was %+v and is %+v", b.ID, b, a)
		}
	}
	for _, b := range sorted(before.deployments) {
		if a := after.deployments[b.ReleaseID]; b.Ended() && a.Status != b.Status {
			c.fail("an ended deployment stays ended", "that of %s was %s and is %s", b.ReleaseID, b.Status, a.Status)
		}
	}
}

// cleared: a rollout that begins gives all slots of its app a clean sheet, also
// those in which the release before it goes on ending by itself. They wait no more:
// a slot is won from an instance that it has, and while it waits it has none. So
// starts are counted from when the last rollout began; people begin each of those.
func (c *checker) cleared(ctl store.Control, before tables) {
	for _, d := range ctl.Deployments {
		if _, known := before.deployments[d.ReleaseID]; known || d.Status != model.DeploymentRunning {
			continue
		}
		maps.DeleteFunc(c.starts, func(key string, _ []time.Time) bool { return strings.HasPrefix(key, d.AppID+"/") })
	}
}

// maxStarts is how many instances a slot may be given within a minute: the first,
// two quick restarts, those after 5, 15 and 35 seconds, and as many again because
// a drain or a node's end may come in between.
const maxStarts = 12

// maxStartsLong is the same for three minutes, in which two more pauses pass.
const maxStartsLong = 16

func (c *checker) inserted(m *term, l store.Lease, i model.Instance, after tables) {
	if i.Epoch != l.Epoch {
		c.fail("a row carries its leader's epoch", "%s has %d, its leader %d", i.ID, i.Epoch, l.Epoch)
	}
	if d := m.silence(i.NodeID); d > limits.UnknownAfter {
		c.fail("no placement on a silent node", "%s goes to %s, silent for %s", i.ID, i.NodeID, d)
	}
	if m.open[i.NodeID] == "" {
		c.fail("no placement without a session", "%s goes to %s, of which the leader has no session", i.ID, i.NodeID)
	}
	if since, is := c.away[i.NodeID]; is && c.w.now.Sub(since) > slack {
		c.fail("no placement on a node that is not active", "%s goes to %s, which is %s", i.ID, i.NodeID, c.w.db.avail[i.NodeID])
	}
	memory := int64(0)
	for _, j := range after.instances {
		if j.NodeID == i.NodeID {
			memory += c.w.db.releases[j.ReleaseID].Spec.MemoryMiB
		}
	}
	for _, n := range c.w.nodes {
		if n.name == i.NodeID && memory > n.memory {
			c.fail("placements within capacity", "with %s, %d MiB are placed on %s, which has %d", i.ID, memory, n.name, n.memory)
		}
	}
	key := fmt.Sprintf("%s/%d/%s", i.AppID, i.Slot, i.ReleaseID)
	c.starts[key] = append(slices.DeleteFunc(c.starts[key], func(t time.Time) bool { return c.w.now.Sub(t) > 3*time.Minute }), c.w.now)
	late := 0
	for _, at := range c.starts[key] {
		if c.w.now.Sub(at) <= time.Minute {
			late++
		}
	}
	if n := len(c.starts[key]); late > maxStarts || n > maxStartsLong {
		c.fail("crash loops are braked", "%d instances of slot %d of %s were placed within a minute, %d within three", late, i.Slot, c.w.db.apps[i.AppID].Name, n)
	}
	if i.Slot >= c.most(i.AppID) {
		c.fail("no instance beyond the wanted", "%s has slot %d of %d", i.ID, i.Slot, c.most(i.AppID))
	}
}

// budget: no more instances than wanted, their surge, and those on nodes that
// cannot be asked. One in a slot that a scale-down took away serves until another
// does, which may itself be replaced meanwhile; none is placed there anew.
func (c *checker) budget(t tables) {
	surge := map[string]int{}
	for _, i := range t.instances {
		if i.Role == model.Surge && !i.Stopping && i.Slot < c.least(i.AppID) {
			surge[i.AppID]++
		}
	}
	for _, a := range sorted(t.apps) {
		if most := c.beside(t, a.ID) + max(1, (c.most(a.ID)+3)/4); surge[a.ID] > most {
			c.fail("surge within its budget", "%s has %d surge instances, %d are allowed", a.Name, surge[a.ID], most)
		}
	}
}

// beside is how many instances of an app may run beside the old ones: those of
// the widest stage that one of its releases goes through.
func (c *checker) beside(t tables, appID string) (n int) {
	for _, d := range t.deployments {
		r := t.releases[d.ReleaseID]
		if r.AppID != appID || d.FromReleaseID == "" {
			continue
		}
		for _, s := range r.Stages() {
			n = max(n, s.Instances(c.most(appID)))
		}
	}
	return n
}
