package dash

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// mostValues is how many values that nodes have are named to somebody who asks
// for one that none has.
const mostValues = 8

// placement is an app's constraints and the nodes that are to meet them. What it
// says follows from that alone; whether there is room is placement's to say.
type placement struct {
	app    model.App
	nodes  []model.Node
	status map[string]string // observed, by node ID; nil: nobody can tell now
	on     []string          // node IDs of the app's instances
}

// placementWarnings says what an app's constraints leave of it. They are accepted
// all the same: the nodes may come later. It is told to whoever changed them, or
// the number of instances; when something cannot be read, nothing is.
func (d *Dash) placementWarnings(ctx context.Context, app model.App) []string {
	if app.Constraints == "" {
		return nil
	}
	p := placement{app: app}
	var err error
	if p.nodes, err = d.store.Nodes(ctx); err != nil {
		d.log.Warn("nodes unavailable", "err", err)
		return nil
	}
	rows, err := d.store.Instances(ctx, app.ID)
	if err != nil {
		d.log.Warn("instances unavailable", "app", app.Name, "err", err)
		return nil
	}
	for _, i := range rows {
		if !i.Stopping {
			p.on = append(p.on, i.NodeID)
		}
	}
	if live, err := d.leader.nodes(ctx); err == nil {
		p.status = map[string]string{}
		for _, n := range live.GetNodes() {
			p.status[n.GetId()] = n.GetStatus()
		}
	}
	return p.warnings()
}

func (p placement) warnings() []string {
	p.nodes = slices.DeleteFunc(slices.Clone(p.nodes), func(n model.Node) bool { return n.Availability == model.Forgotten })
	wants := p.app.Constraints.Placement()
	var match []model.Node
	for _, n := range p.nodes {
		if meets(n, wants) {
			match = append(match, n)
		}
	}
	var out []string
	switch away := p.away(match); {
	case len(match) == 0:
		out = append(p.unmet(wants), p.effect("no node matches", len(match)))
	case len(away) > 0:
		out = append(out, p.effect("of the nodes that match none takes instances now ("+strings.Join(away, ", ")+")", len(match)))
	case wants.MaxPerNode > 0:
		out = p.crowded(wants.MaxPerNode, len(match))
	}
	if n := p.outside(match); n > 0 && len(match) > 0 {
		s := fmt.Sprintf("on nodes that do not match: %d of its %s; what is there stays until it is replaced", n, model.Count(len(p.on), "instance"))
		if len(out) == 0 { // else a restart finds no room
			s += fmt.Sprintf(": dinp restart %s moves it", p.app.Name)
		}
		out = append(out, s)
	}
	return out
}

// meets reports whether a node has what constraints name.
func meets(n model.Node, p model.Placement) bool {
	for _, c := range demands(p) {
		if !slices.Contains(c.of(n), c.value) {
			return false
		}
	}
	return true
}

// demand is one thing that constraints ask of a node.
type demand struct {
	name, value string
	of          func(model.Node) []string // what a node has of it
}

func (d demand) String() string { return d.name + "==" + d.value }

func demands(p model.Placement) []demand {
	out := []demand{{"pool", cmp.Or(p.Pool, model.DefaultPool), func(n model.Node) []string { return []string{cmp.Or(n.Pool, model.DefaultPool)} }}}
	if p.Zone != "" {
		out = append(out, demand{"zone", p.Zone, func(n model.Node) []string { return []string{n.Zone} }})
	}
	for _, l := range p.Labels {
		out = append(out, demand{"label", l, func(n model.Node) []string { return n.Labels }})
	}
	return out
}

// unmet says which of the demands no node meets, and what there is instead; or
// that each is met, and never all of them by one node.
func (p placement) unmet(wants model.Placement) (out []string) {
	if len(p.nodes) == 0 {
		return []string{"there is no node yet"}
	}
	var each []string
	for _, c := range demands(wants) {
		has := map[string]int{} // nodes, by value
		for _, n := range p.nodes {
			for _, v := range c.of(n) {
				has[v]++
			}
		}
		if n := has[c.value]; n > 0 {
			each = append(each, fmt.Sprintf("%s (%s)", c, model.Count(n, "node")))
			continue
		}
		out = append(out, fmt.Sprintf("no node has %s; %s", c, c.instead(has)))
	}
	if len(out) == 0 {
		out = append(out, "no node has all of it at once: "+strings.Join(each, ", "))
	}
	return out
}

// instead names what nodes have in place of a value: labels of the same key
// before others.
func (d demand) instead(has map[string]int) string {
	key, _, keyed := strings.Cut(d.value, "=")
	if alike := maps.Clone(has); d.name == "label" && keyed {
		maps.DeleteFunc(alike, func(v string, _ int) bool { return !strings.HasPrefix(v, key+"=") })
		if len(alike) > 0 {
			has = alike
		}
	}
	if len(has) == 0 {
		return "nodes have no labels"
	}
	values := slices.SortedFunc(maps.Keys(has), func(a, b string) int { return cmp.Or(cmp.Compare(has[b], has[a]), strings.Compare(a, b)) })
	var parts []string
	for _, v := range values[:min(len(values), mostValues)] {
		parts = append(parts, fmt.Sprintf("%s==%s (%s)", d.name, v, model.Count(has[v], "node")))
	}
	if more := len(values) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return "there is " + strings.Join(parts, ", ")
}

// effect is what becomes of instances when no node is there for them.
func (p placement) effect(why string, match int) string {
	s := why + ": instances that are placed from now on wait, and a deploy fails after 10s"
	if len(p.on) == 0 {
		return s
	}
	if match > 0 {
		return s + "; what runs stays where it is"
	}
	return s + fmt.Sprintf("; its %d instances stay where they are, and one that is lost is not replaced", len(p.on))
}

// away counts why the nodes that match take no instances; nil when one does.
func (p placement) away(match []model.Node) (out []string) {
	why := map[string]int{}
	for _, n := range match {
		s, known := p.status[n.ID]
		switch {
		case n.Availability != model.Active:
			why[string(n.Availability)]++
		case known && s != string(model.NodeReady):
			why[s]++
		default:
			return nil
		}
	}
	for _, w := range slices.Sorted(maps.Keys(why)) {
		out = append(out, fmt.Sprintf("%d %s", why[w], w))
	}
	return out
}

// crowded says when so many on a node are too few for what is wanted, or for a
// rollout, which starts at least one instance beside the old ones.
func (p placement) crowded(most, match int) []string {
	room := most * match
	text := fmt.Sprintf("per-node==%d on %s is room for %s", most, model.Count(match, "node"), model.Count(room, "instance"))
	switch {
	case p.app.Instances > room:
		return []string{fmt.Sprintf("%s, and %d are wanted: %d wait until more nodes match", text, p.app.Instances, p.app.Instances-room)}
	case p.app.Instances == room && !p.app.Singleton:
		return []string{text + ", all of them wanted: a deploy or restart, which starts new ones beside the old, finds no room and fails"}
	}
	return nil
}

// outside counts the instances on nodes that do not match.
func (p placement) outside(match []model.Node) (n int) {
	for _, id := range p.on {
		if !slices.ContainsFunc(match, func(m model.Node) bool { return m.ID == id }) {
			n++
		}
	}
	return n
}
