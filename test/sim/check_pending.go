package sim

import (
	"fmt"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/explain"
)

// askEvery is how often the leader is asked why apps are as they are.
const askEvery = 5 * time.Second

// pending: the leader has a reason for every slot that does not serve, whatever
// is the matter.
func (c *checker) pending() {
	w := c.w
	s := w.leader()
	if s == nil || s.term.busy || w.now.Sub(s.term.began) < slack {
		return
	}
	for _, a := range w.people.living() {
		account, known := s.term.core.Explain(a.ID)
		if why := backwards(account); why != "" {
			c.fail("the times of a chain go forward", "%s: %s", a.Name, why)
		}
		if !known || c.changed(a.ID) || !c.keptUp(a) {
			continue
		}
		for n := range a.Instances {
			if why := unexplained(account, n); why != "" {
				c.fail("every pending instance has a reason", "slot %d of %s: %s", n, a.Name, why)
			}
		}
	}
}

// clocks are by whose the times of links are: those of an engine and those of a
// leader, whose clock may be set between an instance's row and the rest, are compared
// with their like only.
var clocks = map[explain.Link]string{explain.Pulled: "engine", explain.Started: "engine", explain.Listening: "leader", explain.Healthy: "leader"}

// backwards says which link of an instance was done before the one that it stands on.
func backwards(account explain.Account) string {
	last := map[string]explain.Step{}
	for _, s := range account.Steps {
		clock := clocks[s.Link]
		if clock == "" || !s.OK || s.At.IsZero() {
			continue
		}
		key := s.Instance + clock
		if before, ok := last[key]; ok && s.At.Before(before.At) {
			return fmt.Sprintf("%s is %s since %s, and %s since %s", s.Instance, before.Link, before.At, s.Link, s.At)
		}
		last[key] = s
	}
	return ""
}

// keptUp reports whether a release of an app is to run: the first that it ever
// had may have failed.
func (c *checker) keptUp(a model.App) bool {
	d, known := c.w.db.deployments[a.ReleaseID]
	return !known || !d.Ended() || kept(a, d) != ""
}

// unexplained says what an account lacks about a slot; "" for nothing.
func unexplained(account explain.Account, slot int) string {
	told := false
	for _, s := range account.Steps {
		general := s.Instance == "" && s.Link == explain.Desired
		if s.Slot != slot && !general {
			continue
		}
		if !s.OK && (s.Why == "" || s.Text == "") {
			return "the link " + string(s.Link) + " is not done, and nobody says why"
		}
		told = told || !s.OK || s.Link == explain.Routed
	}
	if !told {
		return "it does not serve, and no link of it is said to be missing"
	}
	return ""
}
