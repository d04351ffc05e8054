package sim

import (
	"strings"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// written checks what a leader published.
func (c *checker) written(before, after map[string]string, b route.Batch) {
	c.w.touch()
	c.w.did("routes")
	if c.safe() != nil && len(b.Changes) > 0 {
		c.fail("safe mode changes nothing", "%s is written, and nobody has decided yet", b.Version)
	}
	if !b.Partial {
		c.whole = b.Epoch
	}
	for _, ch := range b.Changes {
		if !strings.HasPrefix(ch.Key, route.BackendPrefix) {
			continue
		}
		old, next := c.endpoints(before[ch.Key]), c.endpoints(after[ch.Key])
		var ids []string
		for _, e := range next {
			ids = append(ids, label(e.Instance))
			c.routed(old, e, b.Epoch)
		}
		c.w.say("rds", "%s %s → %v", b.Version, strings.TrimPrefix(ch.Key, route.BackendPrefix), ids)
		if len(old) > 0 && len(next) == 0 {
			c.emptied(ch.Key, old)
		}
	}
}

// backend reads what Redis holds for an app; nil is what cannot be read. The same
// texts are looked at every second, so what they say is remembered.
func (c *checker) backend(text string) *route.Backend {
	b, known := c.backends[text]
	if !known {
		if read, err := route.DecodeBackend(text); err == nil {
			b = &read
		}
		c.backends[text] = b
	}
	return b
}

func (c *checker) endpoints(text string) []route.Endpoint {
	if b := c.backend(text); b != nil {
		return b.Endpoints
	}
	return nil
}

// routed: an endpoint was ready when it was added. A leader that finds a Redis that has lost
// what was routed cannot know which of its apps' instances were: if none answers, those of a
// release that was rolled out may have been, if they are older than its term.
func (c *checker) routed(old []route.Endpoint, e route.Endpoint, term int64) {
	for _, o := range old {
		if o.Instance == e.Instance {
			return
		}
	}
	row := c.w.db.everRows[e.Instance]
	unknown := c.w.redis.lost && row.Epoch < term && c.w.db.deployments[row.ReleaseID].Status == model.DeploymentSucceeded
	if _, well := c.wellAt[e.Instance]; !well && !unknown {
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
		if !has || c.stopping(row) || c.w.host(a) != host || !a.DeletedAt.IsZero() {
			continue
		}
		if n, _, _, ok := c.w.container(e.Instance); ok && n.on() && !n.halted[row.ID] && c.serves(row) {
			c.fail("who answers keeps a route", "%s has no endpoint any more, and %s on %s answers", host, e.Instance, n.name)
		}
	}
}

// stopping reports whether a row is to go, or was once: a failover may have
// forgotten it since.
func (c *checker) stopping(i model.Instance) bool {
	return i.Stopping || c.w.db.everRows[i.ID].Stopping
}

// pointed: whatever is written in parts, no domain points to an app that the router
// does not know, but to one that was deleted, before its leader has said all of the
// table once: it does not know of the domains of an app that went while nobody led.
func (c *checker) pointed(r *simRouter, t *table.Table) {
	domains := t.Domains()
	live := map[string]bool{}
	for _, a := range c.w.db.apps {
		live[c.w.host(a)] = live[c.w.host(a)] || a.DeletedAt.IsZero()
	}
	for _, d := range sortedKeys(domains) {
		if (live[domains[d]] || c.whole == t.Version().Epoch) && t.Host(domains[d]) == nil {
			c.fail("a domain points to an app", "%s serves %s, which points to %s, and nothing of that", r.name, d, domains[d])
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
	c.pointed(r, after)
	for _, a := range sorted(w.db.apps) {
		old, now := before.Host(w.host(a)), after.Host(w.host(a))
		if old == nil || now != nil && len(now.Endpoints()) > 0 || !a.DeletedAt.IsZero() {
			continue
		}
		for _, e := range old.Endpoints() {
			row, has := w.db.instances[e.Instance]
			if n, _, _, ok := w.container(e.Instance); has && !c.stopping(row) && ok && n.on() && !n.halted[row.ID] && c.serves(row) {
				c.fail("a router keeps who answers", "%s serves %s by nobody any more, and %s on %s answers", r.name, a.Name, e.Instance, n.name)
			}
		}
	}
}
