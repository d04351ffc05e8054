package dispatch

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// Monitor is one health monitor's stream in one term, as the reconciler sees it.
type Monitor interface {
	ID() string
	// Targets sends targets; a monitor that does not keep up is cut off and comes
	// back for all of them.
	Targets(*pb.HealthTargets)
}

// monitor is a Monitor over gRPC.
type monitor struct {
	id     string
	out    chan *pb.HealthTargets
	cancel context.CancelCauseFunc
}

func (m *monitor) ID() string { return m.id }

func (m *monitor) Targets(t *pb.HealthTargets) {
	select {
	case m.out <- t:
	default:
		m.cancel(errors.New("the monitor does not keep up"))
	}
}

// Watch implements pb.HealthServer.
func (s *Service) Watch(stream pb.Health_WatchServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	term := s.current()
	if term == nil {
		return stream.Send(&pb.HealthTargets{NotLeader: s.notLeader()})
	}
	if first.GetMonitorId() == "" {
		return status.Error(codes.InvalidArgument, "a monitor needs an id")
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(term.ctx, func() { cancel(errTermOver) })()
	m := &monitor{id: first.GetMonitorId(), out: make(chan *pb.HealthTargets, 256), cancel: cancel}
	term.post(ctx, MonitorOpened{m})
	defer term.post(term.ctx, MonitorClosed{m})
	go receiveVerdicts(ctx, cancel, stream, term, m, first)
	for {
		select {
		case <-ctx.Done():
			return status.Error(codes.Unavailable, context.Cause(ctx).Error())
		case t := <-m.out:
			if err := stream.Send(t); err != nil {
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
