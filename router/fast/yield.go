//go:build linux

package fast

import (
	"runtime"
	"runtime/metrics"
	_ "unsafe" // go:linkname
)

// runnable counts the goroutines that could run, had they a processor.
const runnable = "/sched/goroutines/runnable:goroutines"

// yielder lets other goroutines run, and tells the runtime's monitor that a loop
// gives way. It belongs to one goroutine.
type yielder struct {
	waiting [1]metrics.Sample
	counts  bool // this runtime knows how many wait
}

func newYielder() *yielder {
	y := &yielder{waiting: [1]metrics.Sample{{Name: runnable}}}
	metrics.Read(y.waiting[:])
	y.counts = y.waiting[0].Value.Kind() == metrics.KindUint64
	return y
}

// yield goes to the end of the queue of all processors where goroutines wait.
// Where none do, it goes to that of its own, which no other thread is woken for:
// as often as not that one would take the loop over, away from its processor's caches.
func (y *yielder) yield() {
	if y.crowded() {
		runtime.Gosched()
	} else {
		goyield()
	}
}

// crowded reports whether goroutines wait for a processor.
func (y *yielder) crowded() bool {
	if !y.counts {
		return true
	}
	metrics.Read(y.waiting[:])
	return y.waiting[0].Value.Uint64() > 0
}

// goyield is Gosched, but for the queue and the waking. The runtime keeps its
// name and type for programs that link to it, as gVisor does: go.dev/issue/67401.
//
//go:linkname goyield runtime.goyield
func goyield()
