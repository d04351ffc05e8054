package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store"
)

// Failure is an invariant that did not hold.
type Failure struct {
	Invariant string        // its name: short, and the same in every run
	At        time.Duration // since the run began
	Message   string
}

// Error implements error.
func (f *Failure) Error() string {
	return fmt.Sprintf("after %s: %s: %s", f.At, f.Invariant, f.Message)
}

// checker watches the invariants of DESIGN §9. The models call it at every
// effect: a commit, a container made or stopped, a route written, an order
// obeyed, a phase reported.
type checker struct {
	w       *World
	failure *Failure // the first

	wellAt   map[string]time.Time // instance → when a monitor first told a server that it is healthy
	hurtAt   map[string]time.Time // app → when last something happened to its instances that nobody ordered
	desired  map[string][]wish    // app → instances wanted, with times
	away     map[string]time.Time // node → since when it is not active
	commits  int                  // of the leader
	foreign  map[string]string    // node → id of a container that is not ours
	orphanAt map[string]time.Time // running container without a row → since when
}

type wish struct {
	at time.Time
	n  int
}

func newChecker(w *World) *checker {
	return &checker{
		w: w, wellAt: map[string]time.Time{}, hurtAt: map[string]time.Time{}, desired: map[string][]wish{}, away: map[string]time.Time{},
		foreign: map[string]string{}, orphanAt: map[string]time.Time{},
	}
}

func (c *checker) fail(invariant, format string, args ...any) {
	if c.failure == nil {
		c.failure = &Failure{Invariant: invariant, At: c.w.now.Sub(epoch), Message: fmt.Sprintf(format, args...)}
		c.w.say("!!!!", "%s: %s", invariant, c.failure.Message)
	}
}

// wished notes what people want of an app, or of nodes.
func (c *checker) wished(appID string) {
	if a, ok := c.w.db.apps[appID]; ok {
		n := a.Instances
		if !a.DeletedAt.IsZero() {
			n = 0
		}
		c.desired[appID] = append(c.desired[appID], wish{c.w.now, n})
	}
	for _, n := range c.w.nodes {
		if v := c.w.db.avail[n.name]; v == "" || v == model.Active {
			delete(c.away, n.name)
		} else if _, is := c.away[n.name]; !is {
			c.away[n.name] = c.w.now
		}
	}
}

// slack is how long the leader may not know of a change of the desired state:
// the sweep's period, and what a database may stall.
const slack = 2 * time.Minute

// most is the largest number of instances that somebody may still believe to be
// wanted, least the smallest.
func (c *checker) most(appID string) int {
	n := 0
	c.eachWish(appID, func(v int) { n = max(n, v) })
	return n
}

func (c *checker) least(appID string) int {
	n := 1 << 30
	c.eachWish(appID, func(v int) { n = min(n, v) })
	return n
}

func (c *checker) eachWish(appID string, f func(n int)) {
	all := c.desired[appID]
	for i, d := range all {
		if i+1 == len(all) || c.w.now.Sub(all[i+1].at) < slack {
			f(d.n)
		}
	}
}

// hurtAll notes a fault that may be felt by any app.
func (c *checker) hurtAll() {
	for _, a := range sorted(c.w.db.apps) {
		c.hurtAt[a.ID] = c.w.now
	}
}

// judged takes a monitor's word that has reached a server.
func (c *checker) judged(v model.Verdict) {
	if _, known := c.wellAt[v.InstanceID]; v.Healthy && !known {
		c.wellAt[v.InstanceID] = c.w.now
	}
}

// made: a container comes of a durable intent, once, where it was meant to be,
// and fits.
func (c *checker) made(n *node, s runtime.Spec) {
	id := s.InstanceID
	row, meant := c.w.db.everRows[id]
	if !meant {
		c.fail("intent before command", "a container of %s was made on %s, and no row of it was ever committed", id, n.name)
		return
	}
	if row.NodeID != n.name {
		c.fail("one node an instance", "%s was placed on %s and has a container on %s", id, row.NodeID, n.name)
	}
	total := 0
	for _, m := range c.w.nodes {
		total += m.made[id]
	}
	if total > 1 {
		c.fail("one container an instance", "%d containers of %s were made", total, id)
	}
	memory := int64(0)
	cs, _ := n.engine.All()
	for _, x := range cs {
		if x.State != runtime.Exited {
			memory += x.MemoryMiB
		}
	}
	if memory > n.memory {
		c.fail("limits within capacity", "%d MiB are promised on %s, which has %d", memory, n.name, n.memory)
	}
}

// signalled: who is sent the stop signal gets no requests any more, from any
// router that the leader could hear.
func (c *checker) signalled(n *node, id string) {
	row, ok := c.w.db.everRows[id]
	if !ok {
		return
	}
	a := c.w.db.apps[row.AppID]
	for _, r := range c.w.routers {
		if r.available() && !r.since.IsZero() && c.w.now.Sub(r.since) > 15*time.Second && r.keep.Served() == r.keep.Wanted() && r.sends(c.w.host(a), id) {
			c.fail("un-route before stop", "%s on %s is told to end while %s sends it requests", id, n.name, r.name)
		}
	}
}

// stops: nothing that runs is ended without an order that the database holds.
func (c *checker) stops(n *node, id string) {
	w := c.w
	if w.db.lostRows[id] {
		return
	}
	row, has := w.db.instances[id]
	switch {
	case has && !row.Stopping:
		c.fail("no stop without an order", "%s on %s is ended, and its row wants it", id, n.name)
	case has:
	case w.db.goneRows[id].IsZero():
		if since, seen := c.orphanAt[id]; !seen || w.now.Sub(since) < orphanAfter {
			c.fail("no stop without an order", "%s on %s is ended; it has no row, and was not left alone for %s", id, n.name, orphanAfter)
		}
	}
}

// phase: phases only move forward.
func (c *checker) phase(a *agent, o model.Observed) {
	if was := a.phases[o.ID]; o.Phase < was {
		c.fail("phases never go back", "%s on %s went from %s to %s", o.ID, a.n.name, was, o.Phase)
	}
	a.phases[o.ID] = o.Phase
}

// obeyed: no agent obeys an older leader than before.
func (c *checker) obeyed(n *node, m *pb.ServerMessage) {
	if m.GetEpoch() < n.obeyed {
		c.fail("no older epoch is obeyed", "%s has obeyed epoch %d and now obeys %d", n.name, n.obeyed, m.GetEpoch())
	}
	n.obeyed = max(n.obeyed, m.GetEpoch())
}

const maxInbox = 1024

// round begins a round of a leader.
func (c *checker) round(m *term) {
	m.round = c.w.now
	if len(m.inbox) > maxInbox {
		c.fail("queues are bounded", "%d events wait at %s", len(m.inbox), m.s.name)
	}
}

// roundFailed: the database never has to refuse a second primary, unless it has
// itself forgotten a stop.
func (c *checker) roundFailed(m *term, err error) {
	if errors.Is(err, errDuplicate) && c.w.db.failedOver.Before(m.began) {
		c.fail("one primary a slot", "%s asked for it: %v", m.s.name, err)
	}
}

// silence is how long a leader has heard nothing of a node, at its last round.
func (m *term) silence(node string) time.Duration {
	heard := m.heard[node]
	if heard.Before(m.began) {
		heard = m.began
	}
	return m.round.Sub(heard)
}

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
	for _, i := range ctl.Insert {
		w.say(m.s.name, "row %s: %s v%d slot %d %s on %s", label(i.ID), w.db.apps[i.AppID].Name, w.db.releases[i.ReleaseID].Number, i.Slot, i.Role, i.NodeID)
		c.inserted(m, l, i)
	}
	for _, i := range ctl.Stop {
		w.say(m.s.name, "row %s stopping: %s", label(i.ID), i.Reason)
		c.unwanted(i, before, after)
	}
	for _, i := range ctl.Role {
		w.say(m.s.name, "row %s is %s", label(i.ID), i.Role)
		if i.Role == model.Suspect && before.instances[i.ID].Role != model.Suspect {
			c.lost(m, i)
		}
	}
	for _, id := range ctl.Delete {
		w.say(m.s.name, "row %s deleted", label(id))
		c.deleted(id)
	}
	for _, d := range ctl.Deployments {
		w.say(m.s.name, "deployment of v%d of %s: %s", w.db.releases[d.ReleaseID].Number, w.db.apps[d.AppID].Name, d.Status)
	}
	c.budget(after)
}

func (c *checker) inserted(m *term, l store.Lease, i model.Instance) {
	if i.Epoch != l.Epoch {
		c.fail("a row carries its leader's epoch", "%s has %d, its leader %d", i.ID, i.Epoch, l.Epoch)
	}
	if d := m.silence(i.NodeID); d > 3*heartbeat {
		c.fail("no placement on a silent node", "%s goes to %s, silent for %s", i.ID, i.NodeID, d)
	}
	if since, is := c.away[i.NodeID]; is && c.w.now.Sub(since) > slack {
		c.fail("no placement on a node that is not active", "%s goes to %s, which is %s", i.ID, i.NodeID, c.w.db.avail[i.NodeID])
	}
	if i.Slot >= c.most(i.AppID) {
		c.fail("no instance beyond the wanted", "%s has slot %d of %d", i.ID, i.Slot, c.most(i.AppID))
	}
}

// lost: a loss needs the whole time of silence, and fewer silent nodes than
// would rather mean that the leader is cut off.
func (c *checker) lost(m *term, i model.Instance) {
	if d := m.silence(i.NodeID); d < 3*heartbeat+lostAfter {
		c.fail("no loss before its time", "%s on %s is given up after %s of silence", i.ID, i.NodeID, d)
	}
	silent, known := 0, 0
	for _, n := range c.w.nodes {
		if _, ok := c.w.db.nodes[n.name]; !ok {
			continue
		}
		known++
		if m.silence(n.name) >= 3*heartbeat {
			silent++
		}
	}
	if silent > max(3, known*15/100) || silent == known {
		c.fail("no losses while frozen", "%s on %s is given up while %d of %d nodes are silent", i.ID, i.NodeID, silent, known)
	}
}

// unwanted: an instance that answers is let go only while as many others answer
// as are wanted, or nobody wants it, or something that nobody ordered has just
// happened to the others.
func (c *checker) unwanted(i model.Instance, before, after tables) {
	w := c.w
	a := w.db.apps[i.AppID]
	if !c.serves(i) || !a.DeletedAt.IsZero() || before.instances[i.ID].Slot >= c.least(i.AppID) || w.now.Sub(c.hurtAt[i.AppID]) < slack || w.now.Sub(w.db.failedOver) < slack {
		return
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

// serves reports whether an instance's program answers, in truth.
func (c *checker) serves(i model.Instance) bool {
	_, x, s, ok := c.w.container(i.ID)
	return ok && c.w.healthy(x, s)
}

// deleted: a row goes after its container.
func (c *checker) deleted(id string) {
	if n, x, _, ok := c.w.container(id); ok && x.State == runtime.Running && !c.w.db.lostRows[id] {
		c.fail("a row outlives its container", "the row of %s is deleted while it runs on %s", id, n.name)
	}
}

// budget: no more instances than wanted, their surge, and those on nodes that
// cannot be asked.
func (c *checker) budget(t tables) {
	surge := map[string]int{}
	for _, i := range t.instances {
		if i.Role == model.Surge && !i.Stopping {
			surge[i.AppID]++
		}
	}
	for _, a := range sorted(t.apps) {
		if most := max(1, (c.most(a.ID)+3)/4); surge[a.ID] > most {
			c.fail("surge within its budget", "%s has %d surge instances, %d are allowed", a.Name, surge[a.ID], most)
		}
	}
}

// written checks what a leader published.
func (c *checker) written(before, after map[string]string, b route.Batch) {
	c.w.touch()
	for _, ch := range b.Changes {
		if !strings.HasPrefix(ch.Key, route.BackendPrefix) {
			continue
		}
		old, next := endpoints(before[ch.Key]), endpoints(after[ch.Key])
		var ids []string
		for _, e := range next {
			ids = append(ids, label(e.Instance))
			c.routed(old, e)
		}
		c.w.say("rds", "%s %s → %v", b.Version, strings.TrimPrefix(ch.Key, route.BackendPrefix), ids)
		if len(old) > 0 && len(next) == 0 {
			c.emptied(ch.Key, old)
		}
	}
}

func endpoints(text string) []route.Endpoint {
	b, err := route.DecodeBackend(text)
	if err != nil {
		return nil
	}
	return b.Endpoints
}

// routed: an endpoint was ready when it was added.
func (c *checker) routed(old []route.Endpoint, e route.Endpoint) {
	for _, o := range old {
		if o.Instance == e.Instance {
			return
		}
	}
	if _, well := c.wellAt[e.Instance]; !well {
		c.fail("an endpoint was ready when it was added", "%s was never healthy", e.Instance)
	}
	if n, x, _, ok := c.w.container(e.Instance); ok && x.State == runtime.Running && x.Addr != e.Addr {
		c.fail("an endpoint was ready when it was added", "%s is routed at %s and runs at %s on %s", e.Instance, e.Addr, x.Addr, n.name)
	}
}

// emptied: an app with an instance that answers keeps a route.
func (c *checker) emptied(key string, old []route.Endpoint) {
	host := strings.TrimPrefix(key, route.BackendPrefix)
	for _, e := range old {
		row, has := c.w.db.instances[e.Instance]
		a := c.w.db.apps[row.AppID]
		if !has || row.Stopping || c.w.host(a) != host || !a.DeletedAt.IsZero() {
			continue
		}
		if n, _, _, ok := c.w.container(e.Instance); ok && n.on() && c.serves(row) {
			c.fail("who answers keeps a route", "%s has no endpoint any more, and %s on %s answers", host, e.Instance, n.name)
		}
	}
}

// step checks what can be seen of the whole after an event.
func (c *checker) step() {
	w := c.w
	for _, n := range w.nodes {
		if id := c.foreign[n.name]; id != "" {
			if _, err := n.rt.Inspect(w.ctx, id); !errors.Is(err, runtime.ErrForeign) {
				c.fail("no foreign container is touched", "the container in the place of %s on %s is gone", id, n.name)
			}
		}
		cs, specs := n.engine.All()
		for i, x := range cs {
			if specs[i].InstanceID == "" {
				continue
			}
			_, has := w.db.instances[x.InstanceID]
			if _, seen := c.orphanAt[x.InstanceID]; has || x.State != runtime.Running {
				delete(c.orphanAt, x.InstanceID)
			} else if !seen {
				c.orphanAt[x.InstanceID] = w.now
			}
		}
	}
	for _, r := range w.routers {
		r.watch()
	}
}
