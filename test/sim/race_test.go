//go:build race

package sim

// A run is one goroutine at a time, so the race detector finds little here and
// makes it eight times slower; scripts/test.sh runs all the seeds without it.
const (
	seeds       = 15
	sweepStride = 7
)
