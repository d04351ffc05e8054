package session

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/logs"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// obey carries out one order.
func (s *stream) obey(ctx context.Context, wg *sync.WaitGroup, t *tails, m *pb.ServerMessage) {
	if s.Obey(m, time.Now()) {
		select {
		case s.resync <- struct{}{}:
		default: // one is due already
		}
	}
	switch b := m.GetBody().(type) {
	case *pb.ServerMessage_LogRequest:
		t.begin(ctx, wg, b.LogRequest)
	case *pb.ServerMessage_LogCancel:
		t.cancel(b.LogCancel.GetId())
	}
}

// maxWait is the longest drain or grace that is believed.
const maxWait = time.Hour

func millis(ms int64) time.Duration {
	return min(max(0, time.Duration(ms)), time.Duration(maxWait.Milliseconds())) * time.Millisecond
}

func toSpec(m *pb.Start) runtime.Spec {
	return runtime.Spec{
		InstanceID: m.GetInstanceId(), AppID: m.GetAppId(), AppName: m.GetAppName(), ReleaseID: m.GetReleaseId(),
		Release: int(m.GetRelease()), Slot: int(m.GetSlot()), Image: m.GetImage(), Command: m.GetCommand(), Env: m.GetEnv(),
		Port: int(m.GetPort()), MemoryMiB: m.GetMemoryMib(), CPUMilli: m.GetCpuMilli(), Hash: m.GetSpecHash(), Singleton: m.GetSingleton(),
	}
}

// maxTails is how many outputs are served at once.
const maxTails = 64

// tails serves instances' output. The writer of the session takes the chunks
// one by one: a slow leader slows the reading down, not the app.
type tails struct {
	store *logs.Store
	set   *instance.Set
	out   chan<- *pb.LogChunk

	mu      sync.Mutex // guards cancels
	cancels map[string]context.CancelFunc
}

func newTails(store *logs.Store, set *instance.Set, out chan<- *pb.LogChunk) *tails {
	return &tails{store: store, set: set, out: out, cancels: map[string]context.CancelFunc{}}
}

func (t *tails) begin(ctx context.Context, wg *sync.WaitGroup, q *pb.LogRequest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	refusal := ""
	switch {
	case t.cancels[q.GetId()] != nil:
		return // asked twice: it is on its way
	case t.store == nil:
		refusal = logs.ErrUnknown.Error()
	case len(t.cancels) >= maxTails:
		refusal = "too many outputs are being read from this node"
	}
	ctx, cancel := context.WithCancel(ctx)
	t.cancels[q.GetId()] = cancel
	wg.Go(func() {
		defer t.cancel(q.GetId())
		end := &pb.LogChunk{Id: q.GetId(), End: true, Error: refusal}
		if refusal == "" {
			if err := t.serve(ctx, q); err != nil {
				end.Error = err.Error()
			}
		}
		_ = t.emit(ctx, end) // refused only when nobody listens any more
	})
}

func (t *tails) serve(ctx context.Context, q *pb.LogRequest) error {
	o, known := t.set.Find(q.GetInstanceId())
	return t.store.Stream(ctx, logs.Request{
		ID: q.GetInstanceId(), Tail: int(q.GetTail()), Since: wire.Time(q.GetSinceMs()), Follow: q.GetFollow(), Live: known && o.Phase != model.PhaseGone,
	}, func(lines []runtime.Line) error {
		c := &pb.LogChunk{Id: q.GetId()}
		for _, l := range lines {
			c.Lines = append(c.Lines, &pb.AppLogLine{
				AtMs: wire.Millis(l.At), Stderr: l.Stderr, Text: strings.ToValidUTF8(l.Text, "\uFFFD"), // or protobuf refuses to send it
			})
		}
		return t.emit(ctx, c)
	})
}

func (t *tails) emit(ctx context.Context, c *pb.LogChunk) error {
	select {
	case t.out <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *tails) cancel(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cancel := t.cancels[id]; cancel != nil {
		cancel()
		delete(t.cancels, id)
	}
}
