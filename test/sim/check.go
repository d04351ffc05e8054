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
	"github.com/dinp/dinp/router/table"
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
	drains   map[string]time.Time // instance → it gets no stop signal before
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
		drains: map[string]time.Time{}, foreign: map[string]string{}, orphanAt: map[string]time.Time{},
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
	if due := c.drains[id]; c.w.now.Before(due.Add(-time.Millisecond)) {
		c.fail("drained before the stop signal", "%s on %s is told to end %s before its drain is over", id, n.name, due.Sub(c.w.now))
	}
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
	row, has := w.db.instances[id]
	switch {
	case row.Stopping || w.db.everRows[id].Stopping: // a failover may have forgotten it since
	case has:
		c.fail("no stop without an order", "%s on %s is ended, and its row wants it", id, n.name)
	case w.db.goneRows[id].IsZero():
		since, seen := c.orphanAt[id]
		if at, lost := w.db.lostRows[id]; lost {
			since, seen = at, true
		}
		if !seen || w.now.Sub(since) < orphanAfter {
			c.fail("no stop without an order", "%s on %s is ended; it has no row, and was not left alone for %s", id, n.name, orphanAfter)
		}
	}
}

// ordered: orders go to who has told everything in this session.
func (c *checker) ordered(x *serverSession, id string) {
	c.w.did("order")
	if !x.synced {
		c.fail("no order before a full sync", "%s orders %s about %s, which has not told what it has", x.m.s.name, x.node, id)
	}
}

// taken: when a server takes the lease, no other acts any more, but one that is
// stopped and does not know it yet.
func (c *checker) taken(owner string) {
	w := c.w
	for _, s := range w.servers {
		if s.name != owner && s.leads() && !s.p.pausedUntil.After(w.now) && s.p.now().Before(s.term.right) && w.now.Sub(w.db.failedOver) > leaseTTL {
			c.fail("one server acts", "%s takes the lease, and %s acts on for %s", owner, s.name, s.term.right.Sub(s.p.now()))
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
	if stop := m.GetStop(); stop != nil {
		due := c.w.now.Add(time.Duration(stop.GetDrainMs()) * time.Millisecond)
		if old, told := c.drains[stop.GetInstanceId()]; !told || due.Before(old) {
			c.drains[stop.GetInstanceId()] = due
		}
	}
}

const maxInbox = 1024

// round begins a round of a leader.
func (c *checker) round(m *term) {
	m.round = c.w.now
	if silent, known := c.silent(m); frozen(silent, known) {
		m.frozen = m.round
	}
	if len(m.inbox) > maxInbox {
		c.fail("queues are bounded", "%d events wait at %s", len(m.inbox), m.s.name)
	}
}

// silent counts the nodes of which a leader hears nothing, and all.
func (c *checker) silent(m *term) (silent, known int) {
	for _, n := range c.w.nodes {
		if _, ok := c.w.db.nodes[n.name]; !ok {
			continue
		}
		known++
		if m.silence(n.name) >= 3*heartbeat {
			silent++
		}
	}
	return silent, known
}

// frozen is the breaker's rule (R9).
func frozen(silent, known int) bool {
	return silent > max(3, known*15/100) || silent > 0 && silent == known
}

// roundFailed: the database never has to refuse a second primary.
func (c *checker) roundFailed(m *term, err error) {
	m.failed = m.round
	if errors.Is(err, errDuplicate) {
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
		c.inserted(m, l, i, after)
	}
	for _, i := range ctl.Stop {
		w.say(m.s.name, "row %s stopping: %s", label(i.ID), i.Reason)
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
	for _, id := range ctl.Delete {
		w.say(m.s.name, "row %s deleted", label(id))
		c.deleted(id)
	}
	for _, d := range ctl.Deployments {
		w.say(m.s.name, "deployment of v%d of %s: %s", w.db.releases[d.ReleaseID].Number, w.db.apps[d.AppID].Name, d.Status)
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

func (c *checker) inserted(m *term, l store.Lease, i model.Instance, after tables) {
	if i.Epoch != l.Epoch {
		c.fail("a row carries its leader's epoch", "%s has %d, its leader %d", i.ID, i.Epoch, l.Epoch)
	}
	if d := m.silence(i.NodeID); d > 3*heartbeat {
		c.fail("no placement on a silent node", "%s goes to %s, silent for %s", i.ID, i.NodeID, d)
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
	if silent, known := c.silent(m); frozen(silent, known) {
		c.fail("no losses while frozen", "%s on %s is given up while %d of %d nodes are silent", i.ID, i.NodeID, silent, known)
	}
	if d := c.w.now.Sub(m.frozen); d < lostAfter && c.w.now.Sub(m.failed) > slack {
		c.fail("the time of silence begins anew after a freeze", "%s on %s is given up %s after so many nodes were silent that none was believed lost", i.ID, i.NodeID, d)
	}
}

// succeeded: an instance that answers is replaced only by one that has answered.
func (c *checker) succeeded(i model.Instance, before, after tables) {
	was, a := before.instances[i.ID], c.w.db.apps[i.AppID]
	switch i.Reason {
	case model.ReasonReplaced, model.ReasonDrained, model.ReasonUnhealthy:
		if was.Role != model.Primary {
			return
		}
	case model.ReasonLost:
		if was.Role != model.Suspect || i.ReleaseID != a.ReleaseID {
			return
		}
	default:
		return
	}
	if !c.serves(i) || !a.DeletedAt.IsZero() || was.Slot >= c.least(i.AppID) {
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
		if old.AppID != i.AppID || old.Slot != i.Slot || before.instances[old.ID].Role != model.Primary || !wellOld || w.now.Sub(was) < minReady || w.now.Sub(c.hurtAt[i.AppID]) < slack || !c.serves(old) {
			continue
		}
		if d := w.now.Sub(at); d < minReady {
			c.fail("who takes a slot was ready for a while", "%s takes slot %d of %s after %s", i.ID, i.Slot, w.db.apps[i.AppID].Name, d)
		}
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
	if n, x, _, ok := c.w.container(id); ok && x.State == runtime.Running && c.w.db.lostRows[id].IsZero() {
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
	c.w.did("routes")
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

// served: a router never goes back, and never leaves an app that it sent to
// without any instance while one of them answers.
func (c *checker) served(r *simRouter, before, after *table.Table) {
	w := c.w
	if after.Version().Less(before.Version()) {
		c.fail("a router never goes back", "%s served %s and serves %s", r.name, before.Version(), after.Version())
	}
	for _, a := range sorted(w.db.apps) {
		old, now := before.Host(w.host(a)), after.Host(w.host(a))
		if old == nil || now != nil && len(now.Endpoints()) > 0 || !a.DeletedAt.IsZero() {
			continue
		}
		for _, e := range old.Endpoints() {
			row, has := w.db.instances[e.Instance]
			if n, _, _, ok := w.container(e.Instance); has && !row.Stopping && ok && n.on() && c.serves(row) {
				c.fail("a router keeps who answers", "%s serves %s by nobody any more, and %s on %s answers", r.name, a.Name, e.Instance, n.name)
			}
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
