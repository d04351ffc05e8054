package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/whatif"
)

// Question is a what-if question together with the copy of the world that
// answers it. It shares nothing with the Core: Answer may run in any goroutine.
type Question struct {
	world *whatif.World
	what  string // in words
	ask   func() whatif.Answer
	names map[string]string // of nodes, by ID
	notes []string
}

// Ask copies what a question is about. It is an error for people when that does
// not exist. Call it by Do.
func (c *Core) Ask(r *pb.WhatIfRequest) (*Question, error) {
	switch {
	case r.GetDrain() != "":
		return c.askNode(r.GetDrain(), "draining %s", func(w *whatif.World, id string) whatif.Answer { return w.Drain(id) })
	case r.GetLose() != "":
		return c.askNode(r.GetLose(), "losing %s", func(w *whatif.World, id string) whatif.Answer { return w.Lose(id) })
	case r.GetLoseZone() != "":
		return c.askZone(r.GetLoseZone())
	case r.GetAppId() != "":
		return c.askApp(r)
	}
	return nil, model.E(model.CodeBadRequest, "the question names neither a node, a zone nor an app")
}

func (c *Core) askNode(id, what string, ask func(*whatif.World, string) whatif.Answer) (*Question, error) {
	n := c.nodes[id]
	if n == nil {
		return nil, model.E(model.CodeNotFound, "the leader knows no node %s", id).WithNext("dinp nodes lists them")
	}
	q := c.question(fmt.Sprintf(what, n.Name), c.appsOn(n))
	q.ask = func() whatif.Answer { return ask(q.world, id) }
	return q, nil
}

func (c *Core) askZone(zone string) (*Question, error) {
	var ids []string
	on, zones := map[*app]bool{}, map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		n := c.nodes[id]
		zones[n.Zone]++
		if n.Zone == zone {
			ids = append(ids, id)
			for _, a := range c.appsOn(n) {
				on[a] = true
			}
		}
	}
	if len(ids) == 0 {
		return nil, model.E(model.CodeNotFound, "no node is in zone %q", zone).WithEvidence(counted(zones)...).WithNext("dinp nodes shows the zones")
	}
	q := c.question(fmt.Sprintf("losing zone %s with its %s", zone, model.Count(len(ids), "node")), slices.Collect(maps.Keys(on)))
	if c.cluster.Trips(ids) {
		q.notes = append(q.notes, "so many nodes silent at once are not believed to be lost: nothing would be replaced by itself, and what runs elsewhere keeps serving; "+
			"the moves are those after people have said so (dinp node NODE forget)")
	}
	q.ask = func() whatif.Answer { return q.world.Lose(ids...) }
	return q, nil
}

// counted names zones with the number of their nodes, as many as one reads.
func counted(zones map[string]int) (lines []string) {
	names := slices.Sorted(maps.Keys(zones))
	for _, z := range names[:min(len(names), toldZones)] {
		lines = append(lines, fmt.Sprintf("zone %s: %s", z, model.Count(zones[z], "node")))
	}
	return lines
}

func (c *Core) askApp(r *pb.WhatIfRequest) (*Question, error) {
	a := c.apps[r.GetAppId()]
	if a == nil || a.Name == "" {
		return nil, model.E(model.CodeNoRelease, "there is nothing deployed yet to go by").WithNext("dinp deploy APP FILE")
	}
	if a.ReleaseID == "" {
		return nil, model.E(model.CodeNoRelease, "nothing of %s is deployed yet to go by", a.Name).WithNext("dinp deploy %s FILE", a.Name)
	}
	if _, known := c.releases[a.ReleaseID]; !known {
		return nil, model.E(model.CodeUnavailable, "the leader has yet to read the release of %s", a.Name).WithNext("ask again in a moment")
	}
	q := c.question("", []*app{a})
	if n := int(r.GetAdd()); n > 0 {
		q.what = model.Count(n, "more instance") + " of " + a.Name
		q.ask = func() whatif.Answer { return q.world.Add(n) }
		return q, nil
	}
	q.what = fmt.Sprintf("another release of %s", a.Name)
	q.ask = func() whatif.Answer {
		return q.world.Deploy(changeOf(r), int(r.GetInstances()))
	}
	return q, nil
}

// changeOf is what a release that is asked about has of its own.
func changeOf(r *pb.WhatIfRequest) model.DeployRequest {
	d := model.DeployRequest{Strategy: r.GetStrategy()}
	if n := r.GetMemoryMib(); n > 0 {
		d.MemoryMiB = &n
	}
	if n := r.GetCpuMilli(); n > 0 {
		d.CPUMilli = &n
	}
	return d
}

// appsOn are the apps that have instances on a node.
func (c *Core) appsOn(n *node) []*app {
	on := map[*app]bool{}
	for _, r := range n.rows {
		on[r.app] = true
	}
	return slices.Collect(maps.Keys(on))
}

// question copies the index and some apps.
func (c *Core) question(what string, apps []*app) *Question {
	q := &Question{what: what, names: make(map[string]string, len(c.nodes)), world: &whatif.World{Config: c.cfg.Plan, Now: c.deps.Now(), Index: c.index.Clone()}}
	for id, n := range c.nodes {
		q.names[id] = n.Name
	}
	for _, a := range apps {
		if a.Name != "" {
			q.world.Apps = append(q.world.Apps, c.copyOf(a))
		}
	}
	return q
}

// copyOf is an app as the planner sees it, sharing nothing that may change.
func (c *Core) copyOf(a *app) *whatif.App {
	in := c.input(a, nil)
	in.Releases, in.Deployments, in.Slots = map[string]model.Release{}, maps.Clone(a.deployments), maps.Clone(a.slots)
	keep := func(id string) {
		if rel, ok := c.releases[id]; ok {
			in.Releases[id] = rel
		}
	}
	keep(a.ReleaseID)
	keep(a.lastGood)
	for id, d := range a.deployments {
		keep(id)
		keep(d.FromReleaseID)
	}
	for n := range in.Instances {
		keep(in.Instances[n].ReleaseID)
	}
	in.Failures = slices.Clone(in.Failures)
	in.App.Promoted = in.App.ReleaseID // its steps are taken as passed
	return &whatif.App{Input: in, Failed: maps.Clone(a.failedOn), FailedOf: a.failuresOf}
}

// How much of an answer is told.
const (
	toldMoves   = 1000
	toldMisfits = 100
	toldZones   = 20
)

const noteWaited = "some moves find room only when others have ended: which node they take depends on which ends first"

// Answer works the answer out.
func (q *Question) Answer() *pb.WhatIfReply {
	a := q.ask()
	if a.Waited {
		q.notes = append(q.notes, noteWaited)
	}
	out := &pb.WhatIfReply{
		Fits: len(a.Misfits) == 0, Text: a.Sentence(q.what), Moved: int32(len(a.Moves)), LeftOut: int32(len(a.Misfits)), Notes: q.notes,
		Before: headroom(a.Before, 0), After: headroom(a.After, a.More), Interrupted: a.Interrupted,
	}
	for _, m := range a.Moves[:min(len(a.Moves), toldMoves)] {
		out.Moves = append(out.Moves, &pb.Move{App: m.App, Slot: int32(m.Slot), From: q.name(m.From), To: q.name(m.To), Release: m.Release})
	}
	for _, m := range a.Misfits[:min(len(a.Misfits), toldMisfits)] {
		out.Misfits = append(out.Misfits, &pb.Misfit{App: m.App, Slot: int32(m.Slot), Code: string(m.Why.Code), Message: m.Why.Message, Evidence: m.Why.Evidence, Next: m.Why.Next})
	}
	return out
}

func (q *Question) name(id string) string { return cmp.Or(q.names[id], id) }

func headroom(r place.Room, more int) *pb.Headroom {
	return &pb.Headroom{
		Nodes: int32(r.Nodes), MemoryMib: r.MemoryMiB, FreeMib: r.FreeMiB, LargestMib: r.LargestMiB, FreeCpuMilli: r.FreeMilli, More: int32(more),
	}
}
