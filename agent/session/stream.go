package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
	"github.com/dinp/dinp/proto/wire"
)

// stream is the shell around one Talk. Its run writes, its receive reads; they
// share only out, resync and link.
type stream struct {
	*Talk
	log    *slog.Logger
	grpc   grpc.BidiStreamingClient[pb.AgentMessage, pb.ServerMessage]
	link   *follow.Link
	out    chan *pb.LogChunk
	resync chan struct{} // size 1
}

// batch is how long changes are collected. The first after a quiet while goes at once.
const batch = 100 * time.Millisecond

// maxReport and maxSyncLogs keep messages well below gRPC's limit of 4 MiB.
const (
	maxReport   = 200     // instances
	maxSyncLogs = 1 << 20 // bytes of last lines
)

// defaultPeriod is the heartbeat's when the leader names none.
const defaultPeriod = 5 * time.Second

// open says hello and hears whether this server leads.
func (s *stream) open() error {
	if err := s.send(s.Hello(time.Now())); err != nil {
		return s.why(err)
	}
	m, err := s.grpc.Recv()
	if err != nil {
		return wire.Because(err, s.grpc.Trailer())
	}
	return s.Welcomed(m)
}

// why asks the stream for the reason of a failed send, as long as nobody else reads
// it: gRPC says only EOF there.
func (s *stream) why(sendErr error) error {
	if !errors.Is(sendErr, io.EOF) {
		return sendErr
	}
	for {
		if _, err := s.grpc.Recv(); err != nil {
			return wire.Because(err, s.grpc.Trailer())
		}
	}
}

// run syncs and then reports until the session ends.
func (s *stream) run(ctx context.Context) error {
	if err := s.sync(ctx); err != nil {
		return s.why(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	// Before the wait: whoever still reads or serves output is to end now.
	defer s.link.End(nil)
	wg.Go(func() { s.receive(ctx, &wg) })
	beat, flush := time.NewTimer(s.jittered()), time.NewTimer(batch)
	defer beat.Stop()
	defer flush.Stop()
	var pending <-chan time.Time
	last := time.Now()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.node.Outbox.Ready():
			flush.Reset(max(0, batch-time.Since(last)))
			pending = flush.C
		case <-pending:
			pending, last = nil, time.Now()
			err = s.send(s.Report()...)
		case <-beat.C:
			beat.Reset(s.jittered())
			err = s.send(s.Beat()...)
		case <-s.resync:
			err = s.sync(ctx)
		case c := <-s.out:
			err = s.send(&pb.AgentMessage{Body: &pb.AgentMessage_LogChunk{LogChunk: c}})
		}
		if errors.Is(err, io.EOF) {
			<-ctx.Done() // gRPC tells the reason to the reader, who ends ctx with it
		}
		if err != nil {
			return err
		}
	}
}

// jittered is a little less than the period, so that the agents' beats drift apart.
func (s *stream) jittered() time.Duration {
	return s.Period - time.Duration(rand.Int64N(int64(s.Period)/10+1))
}

// send writes messages. A leader that does not read ends the session.
func (s *stream) send(all ...*pb.AgentMessage) error {
	for _, m := range all {
		if err := s.link.Send(func() error { return s.grpc.Send(s.Stamp(m, time.Now())) }); err != nil {
			return err
		}
	}
	return nil
}

// sync looks at the engine and tells all there is.
func (s *stream) sync(ctx context.Context) error {
	rctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	s.node.Refresh(rctx)
	cancel()
	return s.send(s.Sync())
}

// receive obeys until the stream ends.
func (s *stream) receive(ctx context.Context, wg *sync.WaitGroup) {
	tails := newTails(s.node.Logs, s.node.Set, s.out)
	for {
		var obey bool
		m, err := s.grpc.Recv()
		if err == nil {
			obey, err = s.Hear(m)
		}
		switch {
		case err != nil:
			s.link.End(wire.Because(err, s.grpc.Trailer()))
			return
		case obey:
			s.obey(ctx, wg, tails, m)
		default:
			s.log.Warn("order of another session refused", "session", m.GetSession(), "seq", m.GetSeq())
		}
	}
}
