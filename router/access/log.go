package access

import (
	"context"
	"io"
	"sync"
	"time"
)

const (
	maxPending = 4 << 20               // bytes of lines that may wait for the disk
	gather     = 20 * time.Millisecond // lines of that long go out in one write
)

// Log writes lines. The zero Log is no use: see New.
type Log struct {
	out    io.Writer
	append func(b []byte, r *Record, now time.Time, s *stamp) []byte
	wake   chan struct{} // size 1: there is something to write

	mu      sync.Mutex
	pending []byte
	spare   []byte
	stamp   stamp
	dropped uint64
}

// New returns a Log that writes to out, one call at a time.
func New(out io.Writer, f Format) *Log {
	l := &Log{out: out, append: appendJSON, wake: make(chan struct{}, 1), stamp: stamp{layout: layoutJSON}}
	if f == Combined {
		l.append, l.stamp.layout = appendCombined, layoutCombined
	}
	return l
}

// Write takes a record; a nil Log takes nothing. It neither blocks on the disk
// nor allocates, and keeps nothing of the record.
func (l *Log) Write(r *Record, now time.Time) {
	if l == nil {
		return
	}
	l.mu.Lock()
	first := len(l.pending) == 0
	if len(l.pending) < maxPending {
		l.pending = l.append(l.pending, r, now, &l.stamp)
	} else {
		l.dropped++
	}
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Dropped returns how many lines there was no room for.
func (l *Log) Dropped() uint64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Run writes until ctx ends, and then what is left. A full disk loses lines,
// not requests.
func (l *Log) Run(ctx context.Context) error {
	if l == nil {
		return nil
	}
	defer l.flush()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		}
		pause(ctx, gather)
		l.flush()
	}
}

func (l *Log) flush() {
	l.mu.Lock()
	b := l.pending
	l.pending = l.spare[:0]
	l.mu.Unlock()
	if len(b) > 0 {
		l.out.Write(b)
	}
	l.mu.Lock()
	l.spare = b[:0]
	l.mu.Unlock()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
