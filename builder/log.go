package builder

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// How much of a build's output is kept, how long a line may wait for company, and how many go to the database together: so
// few that a slow one takes them within their time, or a flood would be written again and again and never be there. Between
// two batches of a flood there is the same pause, for the others who write to the database: leases above all.
const (
	maxOutputLines = 10_000
	maxOutputBytes = 1 << 20
	logBatch       = 100 * time.Millisecond
	logLines       = 500
	logTimeout     = 10 * time.Second
)

// buildLog brings the lines of a build to the database, in batches, while it runs.
type buildLog struct {
	write func(ctx context.Context, at time.Time, lines []string) error

	mu      sync.Mutex // guards what follows
	pending []string
	lines   int // of output
	bytes   int

	wake chan struct{} // holds a token when pending is not empty
	end  chan struct{} // closed by close
	done chan struct{} // closed when all is written
}

func newBuildLog(ctx context.Context, write func(context.Context, time.Time, []string) error) *buildLog {
	l := &buildLog{write: write, wake: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{})}
	go l.run(ctx)
	return l
}

// say adds a line of the builder's own. There are few, so they are always kept.
func (l *buildLog) say(format string, args ...any) { l.add(fmt.Sprintf(format, args...)) }

// output adds a line that the user's code has written. Past the limit lines are dropped, once with a word about it.
func (l *buildLog) output(line string) {
	l.mu.Lock()
	before := l.lines < maxOutputLines && l.bytes < maxOutputBytes
	l.lines++
	l.bytes += len(line)
	after := l.lines < maxOutputLines && l.bytes < maxOutputBytes
	l.mu.Unlock()
	if before {
		l.add(line)
	}
	if before && !after {
		l.say("… the output is longer than %d lines or %d KiB; what follows is not kept", maxOutputLines, maxOutputBytes>>10)
	}
}

func (l *buildLog) add(line string) {
	l.mu.Lock()
	l.pending = append(l.pending, line)
	l.mu.Unlock()
	l.signal()
}

func (l *buildLog) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run writes batches until close. ctx bounds the writes, not the loop.
func (l *buildLog) run(ctx context.Context) {
	defer close(l.done)
	for {
		select {
		case <-l.end:
			l.rest(ctx)
			return
		case <-l.wake:
		}
		select {
		case <-l.end:
		case <-time.After(logBatch):
			if more, _ := l.flush(ctx); more {
				l.signal()
			}
		}
	}
}

// rest writes all that is pending, unless the database does not take it.
func (l *buildLog) rest(ctx context.Context) {
	for {
		if more, err := l.flush(ctx); err != nil || !more {
			return
		}
		<-time.After(logBatch)
	}
}

// flush writes a batch of what is pending, and reports whether there is more. Lines that cannot be written now stay for the
// next time; output is bounded, so they cannot fill the memory.
func (l *buildLog) flush(ctx context.Context) (more bool, err error) {
	batch := l.next()
	if len(batch) == 0 {
		return false, nil
	}
	if err := l.writeBatch(ctx, batch); err != nil {
		return true, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = l.pending[len(batch):]
	return len(l.pending) > 0, nil
}

// next is what is to be written first. It stays pending until it is.
func (l *buildLog) next() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.pending[:min(len(l.pending), logLines)])
}

func (l *buildLog) writeBatch(ctx context.Context, batch []string) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	return l.write(ctx, time.Now(), batch)
}

// close writes the rest. Nothing is added after it.
func (l *buildLog) close() {
	close(l.end)
	<-l.done
}
