package model

import (
	"testing"
	"time"
)

func TestMoment_SinceTellsHowMuchOfHistoryIsMissing(t *testing.T) {
	for _, c := range []struct {
		what       string
		m, earlier Moment
		want       time.Duration
	}{
		{"the same", Moment{1000, 500}, Moment{1000, 500}, 0},
		{"in one term", Moment{1000, 90_000}, Moment{1000, 30_000}, time.Minute},
		{"the other way round", Moment{1000, 30_000}, Moment{1000, 90_000}, 0},
		{"an older term", Moment{1000, 90_000}, Moment{2000, 0}, 0},
		{"a later term, just begun", Moment{100_000, 300}, Moment{40_000, 59_900}, 400 * time.Millisecond},
		{"days of terms", Moment{200_000_000, 10}, Moment{100_000_000, 0}, 100_000_010 * time.Millisecond},
		{"a term that began by a clock behind", Moment{50_001, 70_000}, Moment{50_000, 600_000}, 70 * time.Second},
		{"nothing was ever stored", Moment{60_000, 0}, Moment{}, time.Minute},
		{"nothing was ever told", Moment{}, Moment{60_000, 0}, 0},
	} {
		if got := c.m.Since(c.earlier); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	if at := (Moment{Epoch: 1_000, Age: 500}).At(); !at.Equal(time.UnixMilli(1500)) {
		t.Errorf("at %s", at)
	}
	if !(Moment{}).At().IsZero() {
		t.Error("the zero moment has a time")
	}
}
