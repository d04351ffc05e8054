package reconcile

import (
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/explain"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/server/plan"
)

// Explain says why an app is as it is; ok is false when the leader does not know
// it. Call it by Do.
func (c *Core) Explain(appID string) (account explain.Account, ok bool) {
	a := c.apps[appID]
	if a == nil || a.Name == "" {
		return account, false
	}
	return explain.App(c.caseOf(a)), true
}

// ExplainReply explains an app to dash; nil when the leader does not know it. Call
// it by Do.
func (c *Core) ExplainReply(appID string) *pb.ExplainReply {
	account, ok := c.Explain(appID)
	if !ok {
		return nil
	}
	out := &pb.ExplainReply{State: c.sentence(c.apps[appID], c.deps.Now()), Next: account.Next}
	for _, s := range account.Steps {
		out.Steps = append(out.Steps, stepReply(s))
	}
	return out
}

func stepReply(s explain.Step) *pb.ExplainStep {
	out := &pb.ExplainStep{
		Instance: s.Instance, Slot: int32(s.Slot), Link: string(s.Link), Ok: s.OK, Why: string(s.Why), Text: s.Text, AtMs: wire.Millis(s.At),
		Code: string(s.Code), Evidence: s.Evidence, Next: s.Next,
	}
	for _, c := range s.Counts {
		out.Constraints = append(out.Constraints, &pb.Constraint{Why: c.Why, Nodes: int32(c.Nodes), Only: int32(c.Only)})
	}
	for _, m := range s.Misses {
		out.Misses = append(out.Misses, &pb.Miss{Node: m.Node, Text: m.String()})
	}
	return out
}

// caseOf puts together what an explanation needs. It asks the planner and
// placement again instead of telling what they said last: what is explained is
// what the next round would do.
func (c *Core) caseOf(a *app) explain.Case {
	now, in := c.deps.Now(), c.input(a, nil)
	live := c.liveRouters(now)
	out := explain.Case{
		Input: in, Outlook: plan.Look(c.cfg.Plan, in, now), Now: now, Refused: map[int]*place.Refused{}, Roomless: a.roomless, Room: map[int]string{},
		Monitors: len(c.monitors), Routers: len(live), Silent: c.cluster.Silent(), Trouble: c.trouble, Safe: c.safe, Unread: c.inForce == nil,
		Progress: plan.Progress(c.cfg.Plan, in, now), MinReady: c.cfg.Plan.MinReady, Patience: c.cfg.Plan.UnhealthyFor,
	}
	for _, r := range a.rows {
		out.Facts = append(out.Facts, c.fact(r, live))
	}
	c.tryStarts(a, &out)
	return out
}

func (c *Core) fact(r *row, live []explain.Router) explain.Fact {
	f := explain.Fact{Node: c.hostOf(r.node), Since: when(r.seen.Since), InRoutes: r.inRoutes, RouteAt: when(r.routeAt), Answered: c.cluster.AnsweredAt(r.verdict)}
	before, was := c.inForce[r.ID]
	f.Before = was && before.addr == r.seen.Addr && r.routeRev == 0 && !c.doubted
	f.Sent = r.node.session != nil && r.sentTo == r.node.sitting
	if c.deps.Routes.Served() < r.routeRev {
		f.Behind = behind(live)
	}
	return f
}

func (c *Core) hostOf(n *node) explain.Node {
	c.ask(n)
	out := explain.Node{Name: n.Name, Heard: n.Heard, Connected: n.session != nil, Synced: n.Synced, Engine: n.DockerError, Turned: c.turnedAway(n)}
	if n.Status == model.NodeUnknown {
		out.LostAt = c.looks.at[n.ID]
	}
	return out
}

func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// liveRouters are those that have reported of late.
func (c *Core) liveRouters(now time.Time) (out []explain.Router) {
	for _, r := range c.deps.Routes.Routers() {
		if !r.Stopped && now.Sub(r.At) < route.RouterLive {
			out = append(out, explain.Router{ID: r.ID, Addr: r.Addr, Serves: r.Serves, At: r.At})
		}
	}
	return out
}

// behind are the routers that serve an older table than others; all of them when
// none is ahead.
func behind(live []explain.Router) (out []explain.Router) {
	var newest route.Version
	for _, r := range live {
		if newest.Less(r.Serves) {
			newest = r.Serves
		}
	}
	for _, r := range live {
		if r.Serves.Less(newest) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return live
	}
	return out
}

// tryStarts asks placement where each instance would go that is to be started,
// without taking the room.
func (c *Core) tryStarts(a *app, out *explain.Case) {
	search := c.search(&decided{app: a, plan: out.Outlook.Plan})
	for _, s := range out.Outlook.Plan.Start {
		rel, known := c.releases[s.ReleaseID]
		if !known {
			continue
		}
		if at, refused := search.node(s, rel.Spec); at < 0 {
			out.Refused[s.Slot] = refused
		} else {
			out.Room[s.Slot] = c.index.Node(at).Name
		}
	}
}
