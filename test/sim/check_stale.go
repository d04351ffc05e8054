package sim

import (
	"strings"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/route"
)

// staleAfter is how long an endpoint may outlive its instance when nothing is
// broken: the agent tells it at once, and the next write takes it out.
const staleAfter = time.Minute

// stale: no endpoint stays after its instance is gone, but while something is
// broken or somebody has to decide.
func (c *checker) stale() {
	w := c.w
	there := c.inRedis()
	for id := range c.goneAt {
		if there[id] == "" {
			delete(c.goneAt, id)
		}
	}
	for _, id := range sortedKeys(there) {
		if _, x, _, ok := w.container(id); ok && x.State == runtime.Running {
			delete(c.goneAt, id)
			continue
		}
		since, known := c.goneAt[id]
		if !known {
			c.goneAt[id] = w.now
		} else if w.now.Sub(since) > staleAfter && c.calm() {
			c.fail("no endpoint outlives its instance", "%s is routed for %s, %s after its end", label(id), there[id], w.now.Sub(since))
		}
	}
}

// calm reports whether a leader has been at work for long, with nothing broken
// and all nodes speaking.
func (c *checker) calm() bool {
	s := c.w.leader()
	if s == nil || c.broken > 0 || c.w.db.safe != nil || c.w.now.Sub(s.term.began) < slack || c.w.now.Sub(c.w.db.failedOver) < 2*slack {
		return false
	}
	for _, at := range c.hurtAt {
		if c.w.now.Sub(at) < slack {
			return false
		}
	}
	whole, _ := c.quiet(s.term)
	return whole.silent == 0
}

// inRedis are the instances that Redis holds, with the host they serve.
func (c *checker) inRedis() map[string]string {
	out := map[string]string{}
	for key, value := range c.w.redis.entries {
		host, is := strings.CutPrefix(key, route.BackendPrefix)
		if !is {
			continue
		}
		for _, e := range c.endpoints(value) {
			out[e.Instance] = host
		}
	}
	return out
}
