package reconcile

import (
	"testing"
	"time"
)

func TestLoop_GathersTheLongerTheLongerItsRoundsTake(t *testing.T) {
	for _, tt := range []struct{ took, want time.Duration }{
		{0, 20 * time.Millisecond},
		{30 * time.Millisecond, 20 * time.Millisecond},
		{400 * time.Millisecond, 200 * time.Millisecond},
		{time.Minute, longestGathering},
	} {
		if got := gatherFor(20*time.Millisecond, tt.took); got != tt.want {
			t.Errorf("after a round of %s: %s, want %s", tt.took, got, tt.want)
		}
	}
	if got := gatherFor(5*time.Second, time.Minute); got != 5*time.Second {
		t.Errorf("a debounce of 5 s became %s", got)
	}
}
