package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// stream is one session. Its run writes, its receive reads; they share only
// out, resync and cancel.
type stream struct {
	node   Node
	log    *slog.Logger
	grpc   grpc.BidiStreamingClient[pb.AgentMessage, pb.ServerMessage]
	cancel context.CancelCauseFunc
	out    chan *pb.LogChunk
	resync chan struct{} // size 1

	// Set by open, constant afterwards.
	session string
	epoch   int64
	leader  string
	period  time.Duration

	heard uint64 // seq of the last message received; belongs to receive
	seq   uint64 // of the last message sent; belongs to run
	// told is what the leader knows by our last words: the heartbeat's digest
	// is over it, not over the set, which may be ahead.
	told map[string]model.Observed
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
	if err := s.send(&pb.AgentMessage{Body: &pb.AgentMessage_Hello{Hello: s.node.Hello()}}); err != nil {
		return s.why(err)
	}
	m, err := s.grpc.Recv()
	if err != nil {
		return err
	}
	if n := m.GetNotLeader(); n != nil {
		return &redirect{addr: n.GetAddress()}
	}
	w := m.GetWelcome()
	if w == nil {
		return errors.New("the server's first word is no welcome")
	}
	if err := s.node.Journal.Admit(m.GetEpoch(), m.GetLeaderId()); err != nil {
		return err
	}
	s.session, s.epoch, s.leader, s.heard = m.GetSession(), m.GetEpoch(), m.GetLeaderId(), m.GetSeq()
	if s.period = time.Duration(w.GetHeartbeatMs()) * time.Millisecond; s.period <= 0 {
		s.period = defaultPeriod
	}
	return nil
}

// why asks the stream for the reason of a failed send: gRPC says only EOF there.
func (s *stream) why(sendErr error) error {
	if _, err := s.grpc.Recv(); err != nil {
		return err
	}
	return sendErr
}

// run syncs and then reports until the session ends.
func (s *stream) run(ctx context.Context) error {
	if err := s.sync(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	// Before the wait: whoever still reads or serves output is to end now.
	defer s.cancel(nil)
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
		case <-s.node.Outbox.signal:
			flush.Reset(max(0, batch-time.Since(last)))
			pending = flush.C
		case <-pending:
			pending, last = nil, time.Now()
			err = s.report()
		case <-beat.C:
			beat.Reset(s.jittered())
			err = s.beat()
		case <-s.resync:
			err = s.sync(ctx)
		case c := <-s.out:
			err = s.send(&pb.AgentMessage{Body: &pb.AgentMessage_LogChunk{LogChunk: c}})
		}
		if errors.Is(err, io.EOF) {
			<-ctx.Done() // gRPC tells the reason to the reader, who ends ctx with it
		}
		if err != nil {
			return cause(ctx, err)
		}
	}
}

// jittered is a little less than the period, so that the agents' beats drift apart.
func (s *stream) jittered() time.Duration {
	return s.period - time.Duration(rand.Int64N(int64(s.period)/10+1))
}

// send writes one message. A leader that does not read ends the session.
func (s *stream) send(m *pb.AgentMessage) error {
	s.seq++
	m.Seq = s.seq
	t := time.AfterFunc(sendTimeout, func() { s.cancel(errStuck) })
	defer t.Stop()
	return s.grpc.Send(m)
}

// sync tells all there is. What changes from here on is in the outbox again.
func (s *stream) sync(ctx context.Context) error {
	rctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	s.node.Refresh(rctx)
	cancel()
	s.node.Outbox.take()
	d := s.node.Docker()
	msg := &pb.Sync{DockerOk: d.OK, DockerError: d.Error}
	s.told = map[string]model.Observed{}
	room := maxSyncLogs
	for _, o := range s.node.Set.Snapshot() {
		for _, l := range o.Logs {
			room -= len(l)
		}
		if room < 0 {
			o.Logs = nil // they went with the report already
		}
		s.told[o.ID] = brief(o)
		msg.Instances = append(msg.Instances, wire.FromObserved(o))
	}
	return s.send(&pb.AgentMessage{Body: &pb.AgentMessage_Sync{Sync: msg}})
}

// report sends what the outbox names, as it is now.
func (s *stream) report() error {
	var changed []*pb.InstanceStatus
	for _, id := range slices.Sorted(maps.Keys(s.node.Outbox.take())) {
		o, known := s.node.Set.Find(id)
		if !known {
			delete(s.told, id) // forgotten by the leader's order
			continue
		}
		s.told[id] = brief(o)
		changed = append(changed, wire.FromObserved(o))
	}
	for part := range slices.Chunk(changed, maxReport) {
		if err := s.send(&pb.AgentMessage{Body: &pb.AgentMessage_Report{Report: &pb.Report{Instances: part}}}); err != nil {
			return err
		}
	}
	return nil
}

// beat sends the heartbeat, after what it is a digest of.
func (s *stream) beat() error {
	if err := s.report(); err != nil {
		return err
	}
	d := s.node.Docker()
	return s.send(&pb.AgentMessage{Body: &pb.AgentMessage_Heartbeat{Heartbeat: &pb.Heartbeat{
		Digest: wire.Digest(slices.Collect(maps.Values(s.told))), DockerOk: d.OK, DockerError: d.Error,
	}}})
}

// brief keeps what the digest is about.
func brief(o model.Observed) model.Observed {
	return model.Observed{ID: o.ID, Phase: o.Phase, Addr: o.Addr}
}

// receive obeys until the stream ends.
func (s *stream) receive(ctx context.Context, wg *sync.WaitGroup) {
	tails := newTails(s.node.Logs, s.node.Set, s.out)
	for {
		m, err := s.grpc.Recv()
		if err == nil {
			err = s.admit(m)
		}
		if err != nil {
			s.cancel(err)
			return
		}
		if m.GetSession() != s.session {
			s.log.Warn("order of another session refused", "session", m.GetSession(), "seq", m.GetSeq())
			continue
		}
		s.obey(ctx, wg, tails, m)
	}
}

// admit refuses a leader that another has followed, and notices a gap.
func (s *stream) admit(m *pb.ServerMessage) error {
	if n := m.GetNotLeader(); n != nil {
		return &redirect{addr: n.GetAddress()}
	}
	if err := s.node.Journal.Admit(m.GetEpoch(), m.GetLeaderId()); err != nil {
		return err
	}
	if want := s.heard + 1; m.GetSeq() != want {
		return fmt.Errorf("message %d follows %d: an order is missing", m.GetSeq(), s.heard)
	}
	s.heard = m.GetSeq()
	return nil
}
