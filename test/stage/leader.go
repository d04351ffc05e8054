package stage

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// leader plays the server that leads: every wanted instance of what serves is
// ready, on one node.
type leader struct {
	pb.UnimplementedPlatformServer
	s *Stage
}

func (l *leader) away() error {
	if l.s.Away.Load() {
		return status.Error(codes.Unavailable, "the stage's leader is away")
	}
	return nil
}

func edge(err error) error {
	if model.IsKind(err, model.NotFound) {
		return status.Error(codes.NotFound, err.Error())
	}
	return err
}

// Nudge takes note of nothing: the play looks by itself.
func (l *leader) Nudge(context.Context, *pb.NudgeRequest) (*pb.NudgeReply, error) {
	return &pb.NudgeReply{}, l.away()
}

// App tells the instances of what serves.
func (l *leader) App(ctx context.Context, in *pb.AppRequest) (*pb.AppReply, error) {
	if err := l.away(); err != nil {
		return nil, err
	}
	app, err := l.s.Store.AppByID(ctx, in.GetAppId())
	if err != nil {
		return nil, edge(err)
	}
	rel, err := l.s.serving(ctx, app)
	if err != nil {
		return nil, err
	}
	out := &pb.AppReply{State: stateOf(app, rel)}
	if rel.ID == "" {
		return out, nil
	}
	for slot := range app.Instances {
		out.Instances = append(out.Instances, &pb.InstanceState{
			Id: fmt.Sprintf("%s-%d", rel.ID, slot), Slot: int32(slot), Role: string(model.Primary), NodeId: "node", NodeName: "stage-node",
			ReleaseId: rel.ID, Release: int32(rel.Number), Phase: model.PhaseRunning.String(), Addr: "10.9.9.9:32768", Ready: true, Routed: true,
			Verdict: "GET / → 200 in 1ms", CreatedMs: rel.CreatedAt.UnixMilli(), StartedMs: rel.CreatedAt.UnixMilli(),
		})
	}
	out.Ready = int32(app.Instances)
	return out, nil
}

func stateOf(a model.App, rel model.Release) string {
	if rel.ID == "" {
		return "nothing serves yet"
	}
	return fmt.Sprintf("%s serves with %d of %d instances", rel.Version(), a.Instances, a.Instances)
}

// Apps tells the counts of all apps.
func (l *leader) Apps(ctx context.Context, _ *pb.AppsRequest) (*pb.AppsReply, error) {
	if err := l.away(); err != nil {
		return nil, err
	}
	apps, err := l.s.appsOf(ctx)
	if err != nil {
		return nil, err
	}
	out := &pb.AppsReply{}
	for _, a := range apps {
		rel, err := l.s.serving(ctx, a)
		if err != nil {
			return nil, err
		}
		n := &pb.AppCounts{AppId: a.ID, State: stateOf(a, rel)}
		if rel.ID != "" {
			n.Ready, n.Running = int32(a.Instances), int32(a.Instances)
		}
		out.Apps = append(out.Apps, n)
	}
	return out, nil
}

// Nodes tells of one node and one router.
func (l *leader) Nodes(context.Context, *pb.NodesRequest) (*pb.NodesReply, error) {
	if err := l.away(); err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	return &pb.NodesReply{
		LeaderId: "stage", Epoch: l.s.lease.Epoch,
		Nodes: []*pb.NodeState{{
			Id: "node", Name: "stage-node", Address: "10.9.9.9", Status: string(model.NodeReady), Availability: string(model.Active),
			MemoryMib: 8192, MemoryReservedMib: 2048, CpuMilli: 4000, CpuReservedMilli: 1000, Instances: 4, HeardMs: now, DockerVersion: "29.1",
		}},
		Routers: []*pb.RouterState{{Id: "stage-router", Addr: "127.0.0.1:8080", Serves: "1.1", Live: true, AtMs: now, Requests: 7}},
	}, nil
}

// Traffic tells of ten requests a second to whatever app is asked for.
func (l *leader) Traffic(_ context.Context, in *pb.TrafficRequest) (*pb.TrafficReply, error) {
	if err := l.away(); err != nil {
		return nil, err
	}
	minute := time.Now().Truncate(time.Minute)
	a := &pb.AppTraffic{App: in.GetApp(), Releases: []*pb.ReleaseTraffic{{Release: 1, Requests: 600, Failed: 6, Seconds: 12, Latency: "80:594 120:6"}}}
	for i := range int64(60) {
		a.Minutes = append(a.Minutes, &pb.MinuteTraffic{AtMs: minute.Add(time.Duration(i-60) * time.Minute).UnixMilli(), Requests: uint64(300 + 10*i), Failed: 1, P50Us: 18_000, P95Us: 30_000, P99Us: 90_000})
	}
	return &pb.TrafficReply{Apps: []*pb.AppTraffic{a}, OverMs: 60_000}, nil
}

// Explain tells that every link of every instance is done.
func (l *leader) Explain(ctx context.Context, in *pb.ExplainRequest) (*pb.ExplainReply, error) {
	app, err := l.App(ctx, &pb.AppRequest{AppId: in.GetAppId()})
	if err != nil {
		return nil, err
	}
	out := &pb.ExplainReply{State: app.GetState(), Steps: []*pb.ExplainStep{{Link: "desired", Ok: true, Text: "as wished"}}}
	for _, i := range app.GetInstances() {
		for _, link := range []string{"placed", "pulled", "started", "listening", "healthy", "routed"} {
			out.Steps = append(out.Steps, &pb.ExplainStep{Instance: i.GetId(), Slot: i.GetSlot(), Link: link, Ok: true, Text: link + " on " + i.GetNodeName(), AtMs: i.GetCreatedMs()})
		}
	}
	return out, nil
}

// WhatIf tells that nothing would change.
func (l *leader) WhatIf(context.Context, *pb.WhatIfRequest) (*pb.WhatIfReply, error) {
	room := &pb.Headroom{Nodes: 1, MemoryMib: 8192, FreeMib: 6144, LargestMib: 6144}
	return &pb.WhatIfReply{Fits: true, Text: "nothing would be placed, and all would fit", Before: room, After: room}, l.away()
}

// Logs tells two lines; one that follows gets a third and then waits.
func (l *leader) Logs(in *pb.LogsRequest, out grpc.ServerStreamingServer[pb.LogChunk]) error {
	if err := l.away(); err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	lines := []*pb.AppLogLine{{AtMs: now - 2000, Text: "listening on 8080"}, {AtMs: now - 1000, Text: "<b>warned</b>", Stderr: true}}
	if in.GetSinceMs() > 0 {
		lines = []*pb.AppLogLine{{AtMs: now, Text: "GET / 200"}}
	}
	if err := out.Send(&pb.LogChunk{Lines: lines, End: !in.GetFollow()}); err != nil || !in.GetFollow() {
		return err
	}
	<-out.Context().Done()
	return nil
}
