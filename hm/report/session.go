package report

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/hm/monitor"
	"github.com/dinp/dinp/hm/probe"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
	"github.com/dinp/dinp/proto/wire"
)

// session is one connection: run writes, receive reads.
type session struct {
	client
	link   *follow.Link
	stream grpc.BidiStreamingClient[pb.HealthMessage, pb.HealthTargets]
	all    chan struct{} // size 1: every verdict is to be told again
}

// batch is how long changes are collected; short, because a deploy waits for its verdict.
const batch = 20 * time.Millisecond

// maxVerdicts keeps messages below gRPC's limit of 4 MiB.
const maxVerdicts = 5000

func (s *session) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.link.End(nil)
	wg.Go(func() { s.receive() })
	if err := s.send(nil); err != nil { // hello
		return s.reason(ctx, err)
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.all:
			s.outbox.Take()
			err = s.tell(s.monitor.All())
		case <-s.outbox.Ready():
			if err = follow.Pause(ctx, batch); err == nil {
				err = s.tell(s.monitor.Verdicts(s.outbox.Take()))
			}
		}
		if err != nil {
			return s.reason(ctx, err)
		}
	}
}

// reason waits for the reader's word on a broken stream: gRPC tells it there only.
func (s *session) reason(ctx context.Context, err error) error {
	if errors.Is(err, io.EOF) {
		<-ctx.Done()
	}
	return err
}

func (s *session) tell(verdicts []model.Verdict) error {
	for part := range slices.Chunk(verdicts, maxVerdicts) {
		out := make([]*pb.HealthVerdict, len(part))
		for i, v := range part {
			out[i] = wire.FromVerdict(v)
		}
		if err := s.send(out); err != nil {
			return err
		}
	}
	return nil
}

// send writes one message. A leader that does not read ends the session.
func (s *session) send(verdicts []*pb.HealthVerdict) error {
	return s.link.Send(func() error {
		return s.stream.Send(&pb.HealthMessage{MonitorId: s.id, Verdicts: verdicts})
	})
}

func (s *session) receive() {
	for {
		m, err := s.stream.Recv()
		if err == nil && m.GetNotLeader() != nil {
			err = &follow.Moved{Addr: m.GetNotLeader().GetAddress()}
		}
		if err != nil {
			s.link.End(err)
			return
		}
		s.link.Established(follow.State{})
		s.take(m)
	}
}

// take hands the leader's targets on.
func (s *session) take(m *pb.HealthTargets) {
	set := make([]monitor.Target, len(m.GetSet()))
	for i, t := range m.GetSet() {
		set[i] = toTarget(t)
	}
	if !m.GetFull() {
		s.monitor.Change(set, m.GetRemove())
		return
	}
	s.monitor.Replace(set)
	select {
	case s.all <- struct{}{}:
	default:
	}
}

func toTarget(t *pb.HealthTarget) monitor.Target {
	return monitor.Target{
		ID: t.GetInstanceId(), Known: t.GetKnown(), Healthy: t.GetHealthy(),
		Target: probe.Target{Addr: t.GetAddr(), Host: t.GetHost(), Path: t.GetPath()},
	}
}
