// Package histogram is the one layout in which latencies are counted, so that
// counts of many routers, releases and minutes can be added up and compared.
//
// A value is a whole number of microseconds. Below 16 each has a bucket of its
// own; above, every doubling is divided into 8 equal buckets, up to 2³² µs
// (71 minutes), where the last bucket takes the rest. A bucket is therefore at
// most 1/8 of its lower bound wide, and a quantile read from the counts, which
// answers with the middle of its bucket, is at most 6.25 % off. This is the
// log-linear layout of HdrHistogram with three significant bits.
package histogram

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

const (
	linear  = 16 // values with a bucket of their own
	subBits = 3
	octaves = 28

	// Buckets is the number of buckets.
	Buckets = linear + octaves<<subBits
)

// Bucket returns the index of the bucket that counts d.
func Bucket(d time.Duration) int {
	v := uint64(max(d, 0) / time.Microsecond)
	if v < linear {
		return int(v)
	}
	e := bits.Len64(v) - 1
	return min(linear+(e-4)<<subBits+int(v>>(e-subBits)&(1<<subBits-1)), Buckets-1)
}

// Bounds returns the lower bound of a bucket and that of the next one.
func Bounds(i int) (low, high time.Duration) { return bound(i), bound(i + 1) }

func bound(i int) time.Duration {
	if i < linear {
		return time.Duration(i) * time.Microsecond
	}
	e, sub := (i-linear)>>subBits+4, (i-linear)&(1<<subBits-1)
	return time.Duration((1<<subBits+sub)<<(e-subBits)) * time.Microsecond
}

// Counts are the counts of all buckets.
type Counts [Buckets]uint64

// Add counts n times d.
func (c *Counts) Add(d time.Duration, n uint64) { c[Bucket(d)] += n }

// Merge adds other's counts.
func (c *Counts) Merge(other *Counts) {
	for i, n := range other {
		c[i] += n
	}
}

// Since returns what c has more than earlier, an earlier state of the same
// counts. When c is not a later state, because whoever counts began anew, it
// returns c.
func (c *Counts) Since(earlier *Counts) Counts {
	out := *c
	for i, n := range earlier {
		if n > c[i] {
			return *c
		}
		out[i] -= n
	}
	return out
}

// Total returns the number of values counted.
func (c *Counts) Total() uint64 {
	var sum uint64
	for _, n := range c {
		sum += n
	}
	return sum
}

// Quantile returns the value below which the share q of the values lies, 0 < q
// ≤ 1, and 0 when nothing was counted.
func (c *Counts) Quantile(q float64) time.Duration {
	total := c.Total()
	if total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(total)+0.5), 1)
	for i, n := range c {
		if n >= rank {
			low, high := Bounds(i)
			return (low + high) / 2
		}
		rank -= n
	}
	low, _ := Bounds(Buckets - 1)
	return low
}

// Encode returns the counts as text, "bucket:count" for each that is not
// empty, with a blank between: short, and readable.
func (c *Counts) Encode() string {
	var b []byte
	for i, n := range c {
		if n == 0 {
			continue
		}
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, ':')
		b = strconv.AppendUint(b, n, 10)
	}
	return string(b)
}

// Decode reads what Encode wrote.
func Decode(s string) (Counts, error) {
	var c Counts
	if s == "" {
		return c, nil
	}
	last := -1
	for part := range strings.SplitSeq(s, " ") {
		left, right, _ := strings.Cut(part, ":")
		i, err := strconv.Atoi(left)
		if err != nil || i <= last || i >= Buckets || strconv.Itoa(i) != left {
			return Counts{}, fmt.Errorf("decode histogram: %q is no bucket after %d", left, last)
		}
		n, err := strconv.ParseUint(right, 10, 62)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != right {
			return Counts{}, fmt.Errorf("decode histogram: %q is no count", right)
		}
		c[i], last = n, i
	}
	return c, nil
}
