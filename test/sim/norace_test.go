//go:build !race

package sim

const (
	seeds       = 300 // tried, from 1 on
	repeats     = 6   // of which two runs are compared
	sweepEvery  = 1   // of the sweeps
	sweepStride = 1   // of a sweep's effects
	whole       = true
)
