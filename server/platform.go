package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/server/reconcile"
)

// platform serves dash while this server leads.
type platform struct {
	pb.UnimplementedPlatformServer
	s *Server
}

// ask runs f in the reconciler's goroutine, which owns the state it reads, and
// hands its answer over: who has stopped waiting shares nothing with f.
func ask[T any](ctx context.Context, p *platform, f func(*reconcile.Loop) T) (none T, err error) {
	t := p.s.term.Load()
	if t == nil {
		return none, status.Error(codes.Unavailable, "not the leader; the leader is at "+p.s.leaderAddress())
	}
	answer := make(chan T, 1)
	if !t.term.Post(dispatch.Do(func() { answer <- f(t.loop) })) {
		return none, status.Error(codes.Unavailable, "this server has just stopped leading")
	}
	select {
	case out := <-answer:
		return out, nil
	case <-ctx.Done():
		return none, status.FromContextError(ctx.Err()).Err()
	case <-t.ended:
		return none, status.Error(codes.Unavailable, "this server has just stopped leading")
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
func (p *platform) App(ctx context.Context, r *pb.AppRequest) (*pb.AppReply, error) {
	return ask(ctx, p, func(l *reconcile.Loop) *pb.AppReply { return l.AppReply(r.GetAppId()) })
}

// Apps implements pb.PlatformServer.
func (p *platform) Apps(ctx context.Context, _ *pb.AppsRequest) (*pb.AppsReply, error) {
	return ask(ctx, p, (*reconcile.Loop).AppsReply)
}

// Nodes implements pb.PlatformServer.
func (p *platform) Nodes(ctx context.Context, _ *pb.NodesRequest) (*pb.NodesReply, error) {
	return ask(ctx, p, (*reconcile.Loop).NodesReply)
}

// SafeMode implements pb.PlatformServer.
func (p *platform) SafeMode(ctx context.Context, _ *pb.SafeModeRequest) (*pb.SafeModeReply, error) {
	return ask(ctx, p, (*reconcile.Loop).SafeModeReply)
}

// Explain implements pb.PlatformServer.
func (p *platform) Explain(ctx context.Context, r *pb.ExplainRequest) (*pb.ExplainReply, error) {
	out, err := ask(ctx, p, func(l *reconcile.Loop) *pb.ExplainReply { return l.ExplainReply(r.GetAppId()) })
	if err == nil && out == nil {
		return nil, status.Error(codes.NotFound, "the leader does not know the app yet")
	}
	return out, err
}

// WhatIf implements pb.PlatformServer. Only the copy is made in the reconciler's
// goroutine; the answer, which may take long, is worked out here.
func (p *platform) WhatIf(ctx context.Context, r *pb.WhatIfRequest) (*pb.WhatIfReply, error) {
	type asked struct {
		q   *reconcile.Question
		err error
	}
	a, err := ask(ctx, p, func(l *reconcile.Loop) asked {
		q, err := l.Ask(r)
		return asked{q, err}
	})
	if err != nil {
		return nil, err
	}
	if a.err != nil {
		return nil, wire.Refuse(model.AsError(a.err))
	}
	return a.q.Answer(), nil
}

// Logs implements pb.PlatformServer.
func (p *platform) Logs(r *pb.LogsRequest, stream pb.Platform_LogsServer) error {
	src, err := ask(stream.Context(), p, func(l *reconcile.Loop) *reconcile.LogSource { return l.SessionOf(r.GetInstanceId(), r.GetNodeId()) })
	if err != nil {
		return err
	}
	switch {
	case src == nil:
		return status.Errorf(codes.NotFound, "no node is known to have run instance %s", r.GetInstanceId())
	case src.Session == nil:
		return status.Errorf(codes.Unavailable, "the agent of node %s is away; its logs are on its disk", src.Node)
	}
	err = src.Session.Logs(stream.Context(), &pb.LogRequest{InstanceId: r.GetInstanceId(), Tail: r.GetTail(), SinceMs: r.GetSinceMs(), Follow: r.GetFollow()}, stream.Send)
	if errors.Is(err, context.Canceled) {
		return status.FromContextError(err).Err()
	}
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	return nil
}
