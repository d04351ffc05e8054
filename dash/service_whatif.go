package dash

import (
	"context"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// WhatIfQuery is one question: a node to drain or lose, a zone to lose, or an app
// that gets more instances or another release.
type WhatIfQuery struct {
	Drain, Lose string // a node's name or ID
	LoseZone    string
	App         string
	Add         int   // instances; 0: a release is asked about
	Instances   int   // of the release; 0: as it is
	MemoryMiB   int64 // and so on
	CPUMilli    int64
	Strategy    string // "": as it is
}

// WhatIf says what a change would bring, and makes none.
func (d *Dash) WhatIf(ctx context.Context, actor model.Actor, q WhatIfQuery) (api.WhatIf, error) {
	r, err := d.whatIfRequest(ctx, actor, q)
	if err != nil {
		return api.WhatIf{}, err
	}
	a, err := d.leader.whatIf(ctx, r)
	if err != nil {
		return api.WhatIf{}, err
	}
	return whatIfOut(a), nil
}

func (d *Dash) whatIfRequest(ctx context.Context, actor model.Actor, q WhatIfQuery) (*pb.WhatIfRequest, error) {
	if q.asked() != 1 {
		return nil, model.E(model.CodeBadRequest, "a question names one of drain, lose, lose_zone and app; this one names %d", q.asked()).
			WithNext("dinp whatif --help")
	}
	if q.App != "" {
		return d.whatIfApp(ctx, actor, q)
	}
	if err := d.mayPlatform(ctx, actor, policy.ViewNodes); err != nil {
		return nil, err
	}
	r := &pb.WhatIfRequest{LoseZone: q.LoseZone}
	for name, into := range map[string]*string{q.Drain: &r.Drain, q.Lose: &r.Lose} {
		if name == "" {
			continue
		}
		n, err := d.Node(ctx, actor, name)
		if err != nil {
			return nil, err
		}
		*into = n.ID
	}
	return r, nil
}

func (q WhatIfQuery) asked() (n int) {
	for _, s := range []string{q.Drain, q.Lose, q.LoseZone, q.App} {
		if s != "" {
			n++
		}
	}
	return n
}

func (d *Dash) whatIfApp(ctx context.Context, actor model.Actor, q WhatIfQuery) (*pb.WhatIfRequest, error) {
	app, err := d.appFor(ctx, actor, q.App, policy.ViewApp)
	if err != nil {
		return nil, err
	}
	if app.ReleaseID == "" {
		return nil, model.E(model.CodeNoRelease, "app %s has no release to go by", app.Name).WithNext("dinp deploy %s FILE", app.Name)
	}
	instances := app.Instances + q.Add
	if q.Instances > 0 {
		instances = q.Instances
	}
	if err := model.CheckInstances(instances); err != nil {
		return nil, err
	}
	if err := model.CheckStrategy(q.Strategy); q.Strategy != "" && err != nil {
		return nil, err
	}
	return &pb.WhatIfRequest{AppId: app.ID, Add: int32(q.Add), Instances: int32(q.Instances), MemoryMib: q.MemoryMiB, CpuMilli: q.CPUMilli, Strategy: q.Strategy}, nil
}

func whatIfOut(a *pb.WhatIfReply) api.WhatIf {
	out := api.WhatIf{
		Fits: a.GetFits(), Text: a.GetText(), Moves: []api.Move{}, Moved: int(a.GetMoved()), Misfits: []api.Misfit{}, LeftOut: int(a.GetLeftOut()),
		Notes: a.GetNotes(), Before: headroomOut(a.GetBefore()), After: headroomOut(a.GetAfter()), Interrupted: a.GetInterrupted(),
	}
	for _, m := range a.GetMoves() {
		out.Moves = append(out.Moves, api.Move{App: m.GetApp(), Slot: int(m.GetSlot()), Release: m.GetRelease(), From: m.GetFrom(), To: m.GetTo()})
	}
	for _, m := range a.GetMisfits() {
		out.Misfits = append(out.Misfits, api.Misfit{App: m.GetApp(), Slot: int(m.GetSlot()), Code: m.GetCode(), Message: m.GetMessage(), Evidence: m.GetEvidence(), Next: m.GetNext()})
	}
	return out
}

func headroomOut(h *pb.Headroom) api.Headroom {
	return api.Headroom{
		Nodes: int(h.GetNodes()), MemoryMiB: h.GetMemoryMib(), FreeMiB: h.GetFreeMib(), LargestMiB: h.GetLargestMib(), FreeMilli: h.GetFreeCpuMilli(), More: int(h.GetMore()),
	}
}

func survivalOut(s *pb.Survival) *api.Survival {
	if s == nil {
		return nil
	}
	return &api.Survival{
		Survives: s.GetSurvives(), Complete: s.GetComplete(), Looked: int(s.GetLooked()), Nodes: int(s.GetNodes()), Text: s.GetText(), Because: s.GetBecause(),
		Interrupted: s.GetInterrupted(), InterruptedApps: int(s.GetInterruptedApps()), At: wire.Time(s.GetAtMs()),
	}
}
