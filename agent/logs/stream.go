package logs

import (
	"context"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// Request says which of an instance's lines are wanted.
type Request struct {
	ID     string
	Tail   int       // the last lines; 0: all that is kept
	Since  time.Time // zero: no limit
	Follow bool      // and those to come, until the instance is gone
	Live   bool      // the instance is not gone: it may have printed nothing yet
}

// chunkLines and chunkBytes bound what is handed on at once, so that a chunk fits in a message.
const (
	chunkLines = 500
	chunkBytes = 256 << 10
)

// Stream hands the wanted lines to emit, in order. It returns nil at their end.
func (s *Store) Stream(ctx context.Context, q Request, emit func([]runtime.Line) error) error {
	if !q.Live && !s.kept(q.ID) {
		return ErrUnknown
	}
	r, err := s.ring(q.ID)
	if err != nil {
		return err
	}
	var sub *subscriber
	if q.Follow && q.Live {
		sub = newSubscriber()
		defer r.unsubscribe(sub)
	}
	lines, err := r.lines(q.Tail, q.Since, sub)
	if err != nil {
		return err
	}
	if err := inChunks(lines, emit); err != nil || sub == nil {
		return err
	}
	for more := true; more; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sub.signal:
		}
		lines, more = sub.take()
		if err := inChunks(lines, emit); err != nil {
			return err
		}
	}
	return nil
}

func inChunks(lines []runtime.Line, emit func([]runtime.Line) error) error {
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && n < chunkLines && (n == 0 || size+len(lines[n].Text) <= chunkBytes) {
			size += len(lines[n].Text)
			n++
		}
		if err := emit(lines[:n]); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}
