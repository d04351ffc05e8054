//go:build linux

package fast

import (
	"runtime"
	"sync/atomic"
	"testing"
)

func TestYield_TheRuntimeSaysHowManyWait(t *testing.T) {
	if !newYielder().counts {
		t.Errorf("%s has no %s any more: every yield wakes a thread", runtime.Version(), runnable)
	}
}

// Who waits in the queue of all processors waits for a processor's own queue to
// be empty, which a loop that stays in it never lets happen.
func TestYield_LetsThoseRunWhoWaitForAnyProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const turns = 20
	var taken atomic.Int32
	go func() {
		for range turns {
			runtime.Gosched()
			taken.Add(1)
		}
	}()
	y, yields := newYielder(), 0
	for ; taken.Load() < turns; yields++ {
		y.yield()
	}
	if yields > 10*turns {
		t.Errorf("another goroutine had %d turns after %d yields", turns, yields)
	}
}

func TestYield_AllocatesNothing(t *testing.T) {
	y := newYielder()
	if n := testing.AllocsPerRun(100, y.yield); n != 0 {
		t.Errorf("%v allocations a yield", n)
	}
}

func BenchmarkYield(b *testing.B) {
	y := newYielder()
	for b.Loop() {
		y.yield()
	}
}
