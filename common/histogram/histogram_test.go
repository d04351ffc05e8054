package histogram

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucket_HoldsItsValueAndIsAtMostAnEighthWide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(0, 1<<32-1).Draw(t, "us")
		if rapid.Bool().Draw(t, "small") {
			us %= 5000
		}
		d := time.Duration(us) * time.Microsecond
		low, high := Bounds(Bucket(d))
		if d < low || d >= high {
			t.Fatalf("%v is in the bucket %v to %v", d, low, high)
		}
		if width := high - low; width > time.Microsecond && width > low/8 {
			t.Fatalf("the bucket %v to %v is wider than an eighth", low, high)
		}
	})
}

func TestBucket_GrowsWithItsIndexAndEndsWhereItMust(t *testing.T) {
	t.Parallel()
	for i := range Buckets {
		low, high := Bounds(i)
		if low >= high || Bucket(low) != i || Bucket(high-1) != i {
			t.Errorf("bucket %d: %v to %v, counted as %d and %d", i, low, high, Bucket(low), Bucket(high-1))
		}
	}
	if got := Bucket(math.MaxInt64); got != Buckets-1 {
		t.Errorf("the longest time is in bucket %d of %d", got, Buckets)
	}
	if got := Bucket(-time.Second); got != 0 {
		t.Errorf("a negative time is in bucket %d", got)
	}
}

func TestQuantile_IsWithinTheLayoutsPrecision(t *testing.T) {
	t.Parallel()
	var c Counts
	for us := range 100_000 {
		c.Add(time.Duration(us)*time.Microsecond, 1)
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.95: 95 * time.Millisecond, 0.99: 99 * time.Millisecond} {
		got := c.Quantile(q)
		if off := math.Abs(float64(got-want)) / float64(want); off > 0.0626 {
			t.Errorf("quantile %v: %v, want %v: %.1f %% off", q, got, want, off*100)
		}
	}
	if got := (&Counts{}).Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func counts(t *rapid.T, label string) Counts {
	var c Counts
	for i, n := range rapid.MapOf(rapid.IntRange(0, Buckets-1), rapid.Uint64Range(0, 1<<40)).Draw(t, label) {
		c[i] = n
	}
	return c
}

func TestCounts_EncodeAndDecodeAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := counts(t, "counts")
		got, err := Decode(c.Encode())
		if err != nil || got != c {
			t.Fatalf("%q: %v", c.Encode(), err)
		}
	})
}

func TestCounts_MergedAndTakenAwayAgainAreWhatTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := counts(t, "a"), counts(t, "b")
		sum := a
		sum.Merge(&b)
		if sum.Total() != a.Total()+b.Total() || sum.Since(&a) != b {
			t.Fatal("the sum is not the sum")
		}
	})
}

func TestSince_OfCountsThatBeganAnewIsAllOfThem(t *testing.T) {
	t.Parallel()
	var before, now Counts
	before.Add(time.Second, 5)
	now.Add(time.Millisecond, 2)
	if got := now.Since(&before); got != now {
		t.Errorf("got %q", got.Encode())
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "1:1", "0:5 17:9", "1:1 1:1", "999:1", "1:-1", "1", ":", "01:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := Decode(s); err == nil && c.Encode() != s {
			t.Errorf("%q is read, and written as %q", s, c.Encode())
		}
	})
}
