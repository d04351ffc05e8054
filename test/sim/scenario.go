package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

// scenario is what happens in a small cluster that is at rest.
type scenario struct {
	name     string
	do       func(w *World)
	monitors int                   // 0: one
	large    bool                  // 28 nodes in three zones
	stride   int                   // from one effect to the next that is tried with the same fault; 0: each
	then     func(w *World) string // says what is missing at its end if nothing went wrong; nil: nothing can be
}

var scenarios = []scenario{
	{name: "deploy", do: func(w *World) { w.people.deploy(0, isGood) }},
	{name: "deploy failing", do: func(w *World) { w.people.deploy(0, isCrashing) }},
	{name: "deploy by bluegreen", do: func(w *World) {
		w.people.how = model.StrategyBlueGreen
		w.people.deploy(0, isGood)
	}, stride: 3},
	{name: "deploy a canary", do: func(w *World) {
		w.people.how = model.StrategyCanary
		w.people.deploy(0, isGood)
	}, stride: 3},
	{name: "scale up", do: func(w *World) { w.people.scale(0, 4) }},
	{name: "scale beyond the room", do: func(w *World) {
		w.people.scale(0, 40)
		w.after(nil, sweepLength-10*time.Second, func() { w.people.scale(0, 2) })
	}, stride: 45},
	{name: "scale down", do: func(w *World) { w.people.scale(0, 1) }},
	{name: "scale down while starting", do: func(w *World) {
		id := w.people.launch("app", 4, false, isUneven) // the two that stay need longer
		w.after(nil, 12*time.Second, func() { w.people.scale(w.people.number(id), 2) })
	}},
	{name: "scale down while routes are written part by part", do: func(w *World) { // each takes its time
		var ids []string
		for range 5 {
			ids = append(ids, w.people.launch("app", 2, false, isGood))
		}
		w.after(nil, 25*time.Second, func() {
			name := w.leader().name
			w.net.slow[[2]string{name, "redis"}] = 500 * time.Millisecond
			for _, id := range ids {
				w.people.scale(w.people.number(id), 1)
			}
			w.after(nil, 30*time.Second, func() { delete(w.net.slow, [2]string{name, "redis"}) })
		})
	}, stride: 17},
	{name: "singleton moves", do: func(w *World) {
		id := w.people.launch("one", 1, true, isGood)
		w.after(nil, 10*time.Second, func() { w.people.deploy(w.people.number(id), isGood) })
	}},
	{name: "singleton given up", do: func(w *World) {
		id := w.people.launch("one", 1, true, isGood)
		w.after(nil, 10*time.Second, func() { w.giveUp(w.nodeOf(id), 22*time.Second) })
		w.after(nil, 2*time.Minute, func() {
			for _, n := range w.nodes {
				w.takeBack(n)
			}
		})
	}},
	{name: "bad node", do: func(w *World) {
		for range badApps * len(w.nodes) {
			w.people.launch("app", 1, false, isGood)
		}
		w.after(nil, 15*time.Second, func() { w.spoil(w.nodes[w.busy()], sweepLength) })
	}, stride: 23, then: func(w *World) string {
		if w.db.avail[w.nodes[w.busy()].name] != model.Cordoned {
			return "the bad node is not cordoned"
		}
		return ""
	}},
	{name: "delete", do: func(w *World) { w.people.delete(0) }},
	{name: "drain", do: func(w *World) { w.people.availability(w.busy(), model.Draining) }},
	{name: "node lost and back", do: func(w *World) {
		n := w.nodes[w.busy()]
		w.cutNode(n, 2, true)
		w.after(nil, 100*time.Second, func() { w.cutNode(n, 2, false) })
	}},
	{name: "cut off and back", do: func(w *World) { // first all but one, and that one later
		last := w.nodes[w.busy()]
		for _, n := range w.nodes {
			w.cutNode(n, 2, true)
			if n != last {
				w.after(nil, 100*time.Second, func() { w.cutNode(n, 2, false) })
			}
		}
		w.after(nil, 145*time.Second, func() { w.cutNode(last, 2, false) })
	}},
	{name: "many of a zone fall silent", do: func(w *World) { // more than accidents explain there, and few of all
		w.people.launch("app", 28, false, isGood)
		w.after(nil, 15*time.Second, func() { w.cutFor(100*time.Second, 4, "z1") })
	}, large: true, stride: 61},
	{name: "some of each zone fall silent", do: func(w *World) { // no more than accidents explain: they are lost one by one
		w.people.launch("app", 28, false, isGood)
		w.after(nil, 15*time.Second, func() {
			w.cutFor(130*time.Second, 2, "z1")
			w.cutFor(130*time.Second, 2, "z2")
		})
	}, large: true, stride: 61, then: func(w *World) string {
		if n := len(w.leader().term.lost); n != 4 {
			return fmt.Sprintf("%d nodes were lost, not 4", n)
		}
		return ""
	}},
	{name: "database restored", do: func(w *World) { // to before a deploy and an app that it has forgotten then
		w.people.scale(0, 3)
		w.after(nil, 50*time.Second, func() {
			w.people.deploy(0, isGood)
			w.people.create(1)
		})
		w.after(nil, 90*time.Second, func() { w.db.restore(100*time.Second, time.Second) })
	}, then: func(w *World) string {
		if w.db.safeOf == 0 {
			return "nobody has noticed that the database was restored"
		}
		return ""
	}, stride: 3},
	{name: "database restored to before an app ran", do: func(w *World) { // that has been scaled up from none since
		id := w.people.launch("idle", 0, false, isGood)
		w.after(nil, 85*time.Second, func() { w.people.scale(w.people.number(id), 2) })
		w.after(nil, 100*time.Second, func() {
			w.db.restore(70*time.Second, time.Second)
			w.cutBut(nil, true)
			w.after(nil, 10*time.Second, func() { w.cutBut(nil, false) }) // the leader has nobody to ask at first
		})
	}, then: func(w *World) string {
		if w.db.safeOf == 0 {
			return "nobody has noticed that the database was restored"
		}
		all := append(slices.Clone(w.redis.past), w.redis.redisState) // each lasts from when the one before it was written over
		for n, after := range all[1:] {
			if d := all[n].at.Sub(w.db.restored); d > 0 && d < decideAfter && len(w.check.endpoints(after.entries[route.BackendPrefix+"idle2."+domain])) == 0 {
				return "what runs of an app lost its route before anybody had decided"
			}
		}
		return ""
	}, stride: 17},
	{name: "singleton that a restored database does not know", do: func(w *World) {
		id := w.people.launch("one", 1, true, isGood)
		w.after(nil, 45*time.Second, func() { w.people.deploy(w.people.number(id), isGood) })
		w.after(nil, 90*time.Second, func() { w.db.restore(70*time.Second, time.Second) })
	}, then: func(w *World) string {
		if w.db.safeOf == 0 {
			return "nobody has noticed that the database was restored"
		}
		return ""
	}, stride: 3},
	{name: "singleton that only a late node knows", do: func(w *World) { // of which all others were away since the backup
		id := w.people.launch("one", 1, true, isGood)
		w.after(nil, 45*time.Second, func() {
			w.people.availability(slices.Index(w.nodes, w.nodeOf(id)), model.Cordoned)
			w.people.deploy(w.people.number(id), isGood)
		})
		w.after(nil, 60*time.Second, func() { w.cutBut(w.nodeOf(id), true) })
		w.after(nil, 125*time.Second, func() {
			knows := w.nodeOf(id)
			w.cutBut(knows, false)
			w.cutNode(knows, 2, true)
			w.db.restore(85*time.Second, time.Second)
			w.after(nil, 40*time.Second, func() { w.cutNode(knows, 2, false) })
		})
	}, then: func(w *World) string {
		if w.db.safeOf == 0 {
			return "nobody has noticed that the database was restored"
		}
		return ""
	}, stride: 17},
	{name: "database restored and clocks set back", do: func(w *World) { // to before the epoch that agents obey
		w.after(nil, 20*time.Second, func() { w.leader().kill() })
		w.after(nil, 40*time.Second, w.startServers)
		w.after(nil, 80*time.Second, func() {
			for _, s := range w.servers {
				s.clock.skew -= time.Hour
			}
			w.db.restore(100*time.Second, time.Second)
		})
	}, then: func(w *World) string {
		if w.db.safeOf == 0 {
			return "nobody has noticed that the database was restored"
		}
		return ""
	}, stride: 3},
	{name: "crash loop", do: func(w *World) { // of what was well for long
		for _, a := range w.people.living() {
			w.crashFor(a.ID, sweepLength-10*time.Second)
		}
	}, stride: 31},
	{name: "one of two monitors is blind", do: func(w *World) {
		n := w.nodes[w.busy()]
		w.cut(w.monitors[0].name, n.name, 2, true)
		w.after(nil, 30*time.Second, func() { w.people.deploy(0, isGood) })
		w.after(nil, 150*time.Second, func() { w.cut(w.monitors[0].name, n.name, 2, false) })
	}, monitors: 2, stride: 7},
	{name: "redis flushed and leader changes", do: func(w *World) {
		for range 2 * len(w.nodes) {
			w.people.launch("app", 1, false, isGood)
		}
		n := w.nodes[w.busy()]
		w.after(nil, 20*time.Second, func() { // one node cannot tell the next leader what it has
			w.cutNode(n, 1, true)
			w.cutNode(n, 2, true)
			w.redis.flush()
			w.leader().kill()
		})
		w.after(nil, time.Minute, func() {
			w.cutNode(n, 2, false)
			w.startServers()
		})
	}, stride: 60},
	{name: "redis set back while nobody leads", do: func(w *World) { // to before the route of an app that answers
		w.people.launch("app", 1, false, isGood)
		w.after(nil, 20*time.Second, func() {
			w.leader().kill()
			w.after(nil, 2*time.Second, func() { w.redis.stale(1) })
		})
		w.after(nil, time.Minute, w.startServers)
	}, stride: 9},
	{name: "redis set back while nobody leads and a node is silent", do: func(w *World) { // which alone has the app
		id := w.people.launch("app", 1, false, isGood)
		w.after(nil, 20*time.Second, func() {
			n := w.nodeOf(id)
			w.cutNode(n, 1, true)
			w.leader().kill()
			w.after(nil, 2*time.Second, func() { w.redis.stale(1) })
			w.after(nil, time.Minute, func() { w.cutNode(n, 1, false) })
		})
		w.after(nil, time.Minute, w.startServers)
	}, stride: 19},
	{name: "leader sleeps", do: func(w *World) { // goes on while nobody else leads, and agents come to it
		s := w.leader()
		w.suspend(s, 40*time.Second)
		w.cut(s.name, "db", 2, true)
		w.after(nil, 30*time.Second, func() { w.people.deploy(0, isGood) })
		w.after(nil, 40*time.Second, func() {
			w.leader().kill()
			for _, n := range w.nodes {
				n.agent.kill(false)
				n.agent.start()
			}
		})
		w.after(nil, time.Minute, func() {
			w.cut(s.name, "db", 2, false)
			w.startServers()
		})
	}, stride: 9},
	{name: "leader without its database", do: func(w *World) {
		s := w.leader()
		w.cut(s.name, "db", 2, true)
		w.after(nil, time.Minute, func() { w.cut(s.name, "db", 2, false) })
	}, stride: 9},
	{name: "leader changes while all looks dead", do: func(w *World) { // to monitors, which are cut off
		w.blindAll(true)
		w.after(nil, 30*time.Second, func() { w.leader().kill() })
		w.after(nil, 50*time.Second, w.startServers)
		w.after(nil, 2*time.Minute, func() { w.blindAll(false) })
	}, stride: 6},
	{name: "leader changes while redis is away and all looks dead", do: func(w *World) { // it learns late what was routed
		w.blindAll(true)
		w.after(nil, 30*time.Second, func() {
			w.redis.leave(time.Minute)
			w.leader().kill()
		})
		w.after(nil, 50*time.Second, w.startServers)
		w.after(nil, 2*time.Minute, func() { w.blindAll(false) })
	}, stride: 17},
	{name: "leader changes while redis is away and a node is silent", do: func(w *World) {
		id := w.people.launch("app", 1, false, isGood) // it has no other instance
		w.after(nil, 20*time.Second, func() {
			n := w.nodeOf(id)
			w.cutNode(n, 1, true)
			w.redis.leave(40 * time.Second)
			w.leader().kill()
			w.after(nil, 10*time.Second, w.startServers)
			w.after(nil, 80*time.Second, func() { w.cutNode(n, 1, false) })
		})
	}, stride: 17},
	{name: "leader changes while a node is silent", do: func(w *World) {
		id := w.people.launch("app", 1, false, isGood) // it has no other instance
		w.after(nil, 20*time.Second, func() {
			n := w.nodeOf(id)
			w.cutNode(n, 1, true)
			w.leader().kill()
			w.after(nil, 50*time.Second, func() {
				w.cutNode(n, 1, false)
				w.startServers()
			})
		})
	}, stride: 9},
	{name: "much at once on slow engines", do: func(w *World) { // to start, and later to remove and to start
		for _, n := range w.nodes {
			n.slow = 8 * time.Second
			w.after(nil, 100*time.Second, func() { n.restartDaemon(time.Second) })
		}
		for range 6 {
			w.people.launch("app", 3, false, isGood)
		}
	}, stride: 61, then: func(w *World) string {
		for _, op := range []instance.Op{instance.OpPull, instance.OpStart, instance.OpRemove} {
			if w.check.queued[op] == 0 {
				return names[op] + " has never waited"
			}
		}
		return ""
	}},
	{name: "record spoilt and container gone", do: func(w *World) { // and the next leader has never heard of it
		w.harm(Action{}, func(n *node, id string) {
			n.spoilRecord(id, 10*time.Second)
			n.engine.Vanish(id, true)
		})
		w.leader().kill()
		w.after(nil, 20*time.Second, w.startServers)
	}},
	{name: "leader changes", do: func(w *World) {
		w.leader().kill()
		w.after(nil, 20*time.Second, w.startServers)
	}},
}

// cutFor cuts a few nodes of a zone, on which something runs, off for a while.
func (w *World) cutFor(d time.Duration, few int, zone string) {
	for _, n := range w.nodes {
		if n.zone != zone || few == 0 || len(n.made) == 0 {
			continue
		}
		few--
		w.cutNode(n, 2, true)
		w.after(nil, d, func() { w.cutNode(n, 2, false) })
	}
}

// cutBut cuts all nodes but one off, or joins them again.
func (w *World) cutBut(but *node, on bool) {
	for _, n := range w.nodes {
		if n != but {
			w.cutNode(n, 2, on)
		}
	}
}

// blindAll cuts all monitors off from all nodes, or joins them again.
func (w *World) blindAll(on bool) {
	for _, h := range w.monitors {
		for _, n := range w.nodes {
			w.cut(h.name, n.name, 2, on)
		}
	}
}

// busy is the number of the first node that has run something.
func (w *World) busy() int {
	return max(0, slices.IndexFunc(w.nodes, func(n *node) bool { return len(n.made) > 0 }))
}

// nodeOf is the node of an app's first instance.
func (w *World) nodeOf(appID string) *node {
	for _, i := range sorted(w.db.instances) {
		for _, n := range w.nodes {
			if i.AppID == appID && i.NodeID == n.name {
				return n
			}
		}
	}
	return w.nodes[0]
}
