package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
)

// drainTold is how many apps that hold a drain up are named.
const drainTold = 3

// drain tells how far the emptying of a node is, and what holds it up; over, once
// nothing that we know of is on it. Both are zero of a node that nobody empties.
func (c *Core) drain(n *node) (over bool, note string) {
	if n.wanted != model.Draining {
		return false, ""
	}
	ending, unknown := 0, c.unknownOn(n)
	held := map[string]string{} // apps whose instances have yet to move, and what they wait for
	for _, r := range n.rows {
		if r.Stopping {
			ending++
			continue
		}
		held[r.app.Name] = c.holds(r.app)
	}
	staying := len(n.rows) - ending
	if len(n.rows)+unknown == 0 {
		return true, "drained: nothing is on it any more"
	}
	note = fmt.Sprintf("being emptied: %s yet to move, %d stopping", model.Count(staying, "instance"), ending)
	if unknown > 0 {
		note += fmt.Sprintf(", %d that the database does not know", unknown)
	}
	return false, note + why(held)
}

// unknownOn is how many instances without a row a node has.
func (c *Core) unknownOn(n *node) (count int) {
	for _, o := range c.orphans {
		if o.node == n {
			count++
		}
	}
	return count
}

// holds is what an app waits for before more of it moves; "" when it is on its way.
func (c *Core) holds(a *app) string {
	switch {
	case c.safe != nil:
		return "safe mode changes nothing"
	case a.Paused:
		return "it is paused"
	case len(a.pending) > 0:
		return a.pending[0].Message
	}
	return ""
}

// why lists the apps that wait, by name.
func why(held map[string]string) string {
	maps.DeleteFunc(held, func(_, what string) bool { return what == "" })
	names := slices.Sorted(maps.Keys(held))
	var b strings.Builder
	for _, name := range names[:min(len(names), drainTold)] {
		fmt.Fprintf(&b, "; %s waits: %s", name, held[name])
	}
	if more := len(names) - drainTold; more > 0 {
		fmt.Fprintf(&b, "; %s wait, too", model.Count(more, "app"))
	}
	return b.String()
}

// silence tells since when nothing is heard of a node, and what becomes of what is
// on it; "" when something is. It names times and not spans, so that who waits for
// another word gets one only when there is news.
func (c *Core) silence(n *node) string {
	if n.Status != model.NodeUnknown && n.Status != model.NodeLost {
		return ""
	}
	note := "nothing was heard of it since this leader took over"
	if !n.Heard.IsZero() {
		note = "nothing was heard of it since " + clock(n.Heard)
	}
	due := c.looks.at[n.ID]
	switch {
	case n.Status == model.NodeLost && len(n.rows) > 0:
		note += fmt.Sprintf("; %s may still run there; if the host never returns: dinp node %s forget", model.Count(len(n.rows), "instance"), n.Name)
	case n.Status == model.NodeLost:
		note += fmt.Sprintf("; if the host never returns: dinp node %s forget", n.Name)
	case len(n.rows) == 0:
	case c.cluster.Frozen():
		note += "; so many nodes are silent at once that nothing is replaced until some return"
	case !due.IsZero():
		note += fmt.Sprintf("; its %s replaced at %s unless it returns", are(len(n.rows), "instance"), clock(due))
	}
	return note
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 MST") }

// are is "1 instance is", "2 instances are".
func are(n int, thing string) string {
	if n == 1 {
		return model.Count(n, thing) + " is"
	}
	return model.Count(n, thing) + " are"
}
