package sim

import (
	"testing"
	"time"
)

// A reading compares with another of its process by what has passed, with any
// other time by the wall, as the times of time.Now do.
func TestReading_HasBothClocks(t *testing.T) {
	t.Parallel()
	wall := time.Date(2030, 3, 1, 8, 0, 0, 123456789, time.UTC)
	before, after := reading(wall, time.Second), reading(wall.Add(-time.Hour), 3*time.Second)
	if !before.Round(0).Equal(wall) || before.UnixNano() != wall.UnixNano() || before.String() == wall.String() {
		t.Errorf("%s, the wall says %s", before, wall)
	}
	if d := after.Sub(before); d != 2*time.Second || !after.After(before) {
		t.Errorf("%s have passed", d)
	}
	if d := after.Sub(before.Round(0)); d != -time.Hour {
		t.Errorf("by the wall, %s have passed", d)
	}
	if d := after.Add(time.Minute).Sub(before); d != 62*time.Second {
		t.Errorf("a minute later, %s have passed", d)
	}
}
