//go:build !race

package sim

const (
	seeds       = 300
	sweepStride = 1
)
