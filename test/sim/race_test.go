//go:build race

package sim

// A run is one goroutine at a time, so the race detector finds little here and
// makes it eight times slower; scripts/test.sh runs all of it without.
const (
	seeds       = 4
	repeats     = 1
	sweepEvery  = 9
	sweepStride = 7
	whole       = false
)
