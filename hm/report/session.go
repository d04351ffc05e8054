package report

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/hm/monitor"
	"github.com/dinp/dinp/hm/probe"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// session is one connection: run writes, receive reads.
type session struct {
	*Client
	addr   string
	stream grpc.BidiStreamingClient[pb.HealthMessage, pb.HealthTargets]
	cancel context.CancelCauseFunc
	heard  func()        // the leader has answered
	all    chan struct{} // size 1: every verdict is to be told again
}

// batch is how long changes are collected; short, because a deploy waits for its verdict.
const batch = 20 * time.Millisecond

// maxVerdicts keeps messages below gRPC's limit of 4 MiB.
const maxVerdicts = 5000

func (s *session) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.cancel(nil)
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
			s.outbox.take()
			err = s.tell(s.monitor.All())
		case <-s.outbox.signal:
			pause(ctx, batch)
			err = s.tell(s.monitor.Verdicts(s.outbox.take()))
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
	return cause(ctx, err)
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
	t := time.AfterFunc(sendTimeout, func() { s.cancel(errStuck) })
	defer t.Stop()
	return s.stream.Send(&pb.HealthMessage{MonitorId: s.cfg.MonitorID, Verdicts: verdicts})
}

func (s *session) receive() {
	for {
		m, err := s.stream.Recv()
		if err == nil && m.GetNotLeader() != nil {
			err = &redirect{addr: m.GetNotLeader().GetAddress()}
		}
		if err != nil {
			s.cancel(err)
			return
		}
		s.heard()
		s.established(s.addr)
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

// Outbox notes of which instances there is a new verdict. It holds ids, not
// verdicts: what is sent in the end is the newest.
type Outbox struct {
	signal chan struct{} // size 1: not empty

	mu  sync.Mutex // guards ids
	ids map[string]bool
}

// NewOutbox returns an empty outbox.
func NewOutbox() *Outbox {
	return &Outbox{signal: make(chan struct{}, 1), ids: map[string]bool{}}
}

// Note adds an instance. It never blocks.
func (o *Outbox) Note(id string) {
	o.mu.Lock()
	o.ids[id] = true
	o.mu.Unlock()
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

func (o *Outbox) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := slices.Collect(maps.Keys(o.ids))
	o.ids = map[string]bool{}
	return ids
}
