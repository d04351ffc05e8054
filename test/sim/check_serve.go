package sim

import (
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// succeeded: an instance that answers is replaced only by one that has answered.
func (c *checker) succeeded(i model.Instance, before, after tables) {
	was, a := before.instances[i.ID], c.w.db.apps[i.AppID]
	switch i.Reason {
	case model.ReasonReplaced, model.ReasonDrained, model.ReasonUnhealthy:
		if was.Role != model.Primary {
			return
		}
	case model.ReasonLost:
		if was.Role != model.Suspect {
			return
		}
	default:
		return
	}
	if !c.serves(i) || !a.DeletedAt.IsZero() || a.Singleton || was.Slot >= c.least(i.AppID) {
		return
	}
	for _, j := range after.instances {
		if _, well := c.wellAt[j.ID]; well && !j.Stopping && j.AppID == i.AppID && j.Slot == i.Slot {
			return
		}
	}
	c.fail("who answers is replaced by one that has answered", "%s of slot %d of %s is stopped (%s), and no other of the slot was ever ready", i.ID, i.Slot, a.Name, i.Reason)
}

// promoted: who takes the slot of one that serves has been ready for long enough.
func (c *checker) promoted(i model.Instance, ctl store.Control, before tables) {
	w := c.w
	at, well := c.wellAt[i.ID]
	if !well {
		c.fail("who takes a slot is ready", "%s takes slot %d of %s and was never ready", i.ID, i.Slot, w.db.apps[i.AppID].Name)
	}
	for _, old := range ctl.Stop {
		was, wellOld := c.wellAt[old.ID]
		if old.AppID != i.AppID || old.Slot != i.Slot || before.instances[old.ID].Role != model.Primary || !wellOld || w.now.Sub(was) < minReady || c.hurt(i.AppID) || !c.serves(old) ||
			old.Reason == model.ReasonUnhealthy { // then monitors could not reach it, and any that is ready is better
			continue
		}
		if d := w.now.Sub(at); d < minReady {
			c.fail("who takes a slot was ready for a while", "%s takes slot %d of %s after %s", i.ID, i.Slot, w.db.apps[i.AppID].Name, d)
		}
	}
}

// heardWithin is how long a word may be on its way to the leader when nothing is
// broken.
const heardWithin = 5 * time.Second

// unwanted: an instance that answers is let go only while as many others answer
// as are wanted, or nobody wants it, or something that nobody ordered has just
// happened to the others.
func (c *checker) unwanted(i model.Instance, before, after tables) {
	w := c.w
	a := w.db.apps[i.AppID]
	if !c.serves(i) || !a.DeletedAt.IsZero() || a.Singleton || c.hurt(i.AppID) || w.now.Sub(w.db.failedOver) < slack {
		return
	}
	d := after.deployments[a.ReleaseID]
	if d.Ended() && kept(a, d) == "" {
		return // no release of it has ever succeeded, so none is kept up
	}
	was := before.instances[i.ID]
	superseded := was.Role == model.Surge && was.ReleaseID != a.ReleaseID && was.ReleaseID != d.FromReleaseID // before it took its slot
	if at, well := c.wellAt[i.ID]; (superseded || was.Slot >= c.least(i.AppID)) && (!well || w.now.Sub(at) < heardWithin) {
		return // nobody wants it, and the leader need not know yet that it answers
	}
	left := 0
	for _, j := range after.instances {
		if j.AppID == i.AppID && !j.Stopping && c.serves(j) {
			left++
		}
	}
	if want := c.least(i.AppID); left < want {
		c.fail("as many serve as are wanted", "%s is stopped (%s), which leaves %d of %d of %s", i.ID, i.Reason, left, want, a.Name)
	}
}
