package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/reconcile"
)

// platform serves dash while this server leads.
type platform struct {
	pb.UnimplementedPlatformServer
	s *Server
}

// ask runs f in the reconciler's goroutine, which owns the state it reads.
func (p *platform) ask(ctx context.Context, f func(*reconcile.Loop)) error {
	t := p.s.term.Load()
	if t == nil {
		return status.Error(codes.Unavailable, "not the leader; the leader is at "+p.s.leaderAddress())
	}
	done := make(chan struct{})
	if !t.term.Post(dispatch.Do(func() { f(t.loop); close(done) })) {
		return status.Error(codes.Unavailable, "this server has just stopped leading")
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-t.ended:
		return status.Error(codes.Unavailable, "this server has just stopped leading")
	}
}

// Nudge implements pb.PlatformServer.
func (p *platform) Nudge(_ context.Context, r *pb.NudgeRequest) (*pb.NudgeReply, error) {
	t := p.s.term.Load()
	if t == nil || !t.term.Post(dispatch.Nudged{AppIDs: r.GetAppIds(), Nodes: r.GetNodes()}) {
		return nil, status.Error(codes.Unavailable, "not the leader; the leader is at "+p.s.leaderAddress())
	}
	return &pb.NudgeReply{}, nil
}

// App implements pb.PlatformServer.
func (p *platform) App(ctx context.Context, r *pb.AppRequest) (out *pb.AppReply, err error) {
	err = p.ask(ctx, func(l *reconcile.Loop) { out = l.AppReply(r.GetAppId()) })
	return out, err
}

// Apps implements pb.PlatformServer.
func (p *platform) Apps(ctx context.Context, _ *pb.AppsRequest) (out *pb.AppsReply, err error) {
	err = p.ask(ctx, func(l *reconcile.Loop) { out = l.AppsReply() })
	return out, err
}

// Nodes implements pb.PlatformServer.
func (p *platform) Nodes(ctx context.Context, _ *pb.NodesRequest) (out *pb.NodesReply, err error) {
	err = p.ask(ctx, func(l *reconcile.Loop) { out = l.NodesReply() })
	return out, err
}

// Logs implements pb.PlatformServer.
func (p *platform) Logs(r *pb.LogsRequest, stream pb.Platform_LogsServer) error {
	var src *reconcile.LogSource
	if err := p.ask(stream.Context(), func(l *reconcile.Loop) { src = l.SessionOf(r.GetInstanceId(), r.GetNodeId()) }); err != nil {
		return err
	}
	switch {
	case src == nil:
		return status.Errorf(codes.NotFound, "no node is known to have run instance %s", r.GetInstanceId())
	case src.Session == nil:
		return status.Errorf(codes.Unavailable, "the agent of node %s is away; its logs are on its disk", src.Node)
	}
	err := src.Session.Logs(stream.Context(), &pb.LogRequest{InstanceId: r.GetInstanceId(), Tail: r.GetTail(), SinceMs: r.GetSinceMs(), Follow: r.GetFollow()}, stream.Send)
	if errors.Is(err, context.Canceled) {
		return status.FromContextError(err).Err()
	}
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	return nil
}
