// Package conformance holds tests alone: one table of raw bytes in, bytes at the
// app and bytes back, run on both paths of the router; what smuggles, against
// real servers; and both paths fuzzed against each other.
package conformance
