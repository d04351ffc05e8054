package dispatch

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// Monitor is one health monitor's stream in one term, as the reconciler sees it.
type Monitor interface {
	ID() string
	// Targets sends targets, and never blocks: of what waits for a slow monitor
	// only the last word on each instance is sent.
	Targets(*pb.HealthTargets)
	Close(why error) // the monitor will come back
}

// monitor is a Monitor over gRPC.
type monitor struct {
	id  string
	end context.CancelCauseFunc // of the stream; only the first reason counts
	targetbox
}

func (m *monitor) ID() string      { return m.id }
func (m *monitor) Close(why error) { m.end(why) }

// Watch implements pb.HealthServer.
func (s *Service) Watch(stream pb.Health_WatchServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	term := s.await(stream.Context())
	if term == nil {
		return stream.Send(&pb.HealthTargets{NotLeader: s.notLeader()})
	}
	if first.GetMonitorId() == "" {
		return status.Error(codes.InvalidArgument, "a monitor needs an id")
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(term.ctx, func() { cancel(errTermOver) })()
	m := &monitor{id: first.GetMonitorId(), end: cancel, targetbox: newTargetbox()}
	term.post(ctx, MonitorOpened{m})
	defer term.post(term.ctx, MonitorClosed{m})
	go receiveVerdicts(ctx, cancel, stream, term, m, first)
	for {
		select {
		case <-ctx.Done():
			return status.Error(codes.Unavailable, context.Cause(ctx).Error())
		case <-m.fresh:
			if err := stream.Send(m.take()); err != nil {
				return err
			}
		}
	}
}

// receiveVerdicts reads until the stream ends; gRPC ends it when Watch returns.
func receiveVerdicts(ctx context.Context, cancel context.CancelCauseFunc, stream pb.Health_WatchServer, term *Term, m *monitor, msg *pb.HealthMessage) {
	for {
		if n := len(msg.GetVerdicts()); n > 0 {
			verdicts := make([]model.Verdict, n)
			for i, v := range msg.GetVerdicts() {
				verdicts[i] = wire.ToVerdict(v)
			}
			term.post(ctx, Judged{m, verdicts})
		}
		var err error
		if msg, err = stream.Recv(); err != nil {
			cancel(err)
			return
		}
	}
}
