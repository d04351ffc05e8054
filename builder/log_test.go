package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// paper is where a build log is written in tests.
type paper struct {
	mu      sync.Mutex
	batches [][]string
	err     error
}

func (p *paper) write(_ context.Context, _ time.Time, lines []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	p.batches = append(p.batches, lines)
	return nil
}

func (p *paper) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *paper) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.batches)
}

func (p *paper) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Concat(p.batches...)
}

func TestBuildLog_BatchesWithinAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p paper
		l := newBuildLog(t.Context(), p.write)
		for i := range 50 {
			l.say("line %d", i)
		}
		<-time.After(150 * time.Millisecond)
		if got := p.lines(); p.count() != 1 || len(got) != 50 || got[49] != "line 49" {
			t.Errorf("after 150 ms: %d batches with %d lines", p.count(), len(got))
		}
		l.say("last")
		l.close()
		if got := p.lines(); got[len(got)-1] != "last" {
			t.Errorf("the last line is %q", got[len(got)-1])
		}
	})
}

func TestBuildLog_WaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := paper{err: errors.New("away")}
		l := newBuildLog(t.Context(), p.write)
		l.say("one")
		<-time.After(time.Second)
		l.say("two")
		p.set(nil)
		<-time.After(time.Second)
		if got := p.lines(); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("got %q", got)
		}
		l.close()
	})
}

// A database that needs long for each line must get as many at a time as it can take.
func TestBuildLog_ASlowDatabaseGetsAFloodInBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p paper
		l := newBuildLog(t.Context(), func(ctx context.Context, at time.Time, lines []string) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(len(lines)) * 10 * time.Millisecond):
				return p.write(ctx, at, lines)
			}
		})
		for range 3 * maxOutputLines {
			l.output("x")
		}
		l.close()
		if got := len(p.lines()); got != maxOutputLines+1 {
			t.Errorf("%d lines were written, want %d and a word about the rest", got, maxOutputLines)
		}
	})
}

func TestBuildLog_CutsAFlood(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"lines": "x", "bytes": strings.Repeat("x", 4096)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p paper
			l := newBuildLog(t.Context(), p.write)
			for range 3 * maxOutputLines {
				l.output(line)
			}
			l.say("the end")
			l.close()
			got := p.lines()
			if len(got) > maxOutputLines+2 || got[len(got)-1] != "the end" || !strings.Contains(got[len(got)-2], "not kept") {
				t.Errorf("%d lines, the last two %q", len(got), got[len(got)-2:])
			}
			if size := len(fmt.Sprint(got)); size > maxOutputBytes+100_000 {
				t.Errorf("%d bytes are kept", size)
			}
		})
	}
}
