package verdict

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// play probes one instance; + is a success, - a failure. It returns the verdict
// after each: ? for none, h for healthy, u for unhealthy.
func play(s Status, probes string) (string, Status) {
	out := ""
	for i, p := range probes {
		s, _ = Next(s, p == '+', time.Unix(int64(i), 0))
		switch {
		case !s.Known:
			out += "?"
		case s.Healthy:
			out += "h"
		default:
			out += "u"
		}
	}
	return out, s
}

// DEFECTS 49: one failed probe killed, and a slow starter never came up.
func TestNext_Thresholds(t *testing.T) {
	for _, c := range []struct {
		name         string
		from         Status
		probes, want string
	}{
		{"first success is enough", Status{}, "+", "h"},
		{"a slow starter comes up", Status{}, "--------+", "??uuuuuuh"},
		{"one failure proves nothing", Status{}, "+-+--+---", "hhhhhhhhu"},
		{"back after two successes", Status{}, "+---+-++", "hhhuuuuh"},
		{"known healthy starts from there", From(true, time.Time{}), "--+---", "hhhhhu"},
		{"known unhealthy is still starting", From(false, time.Time{}), "-+", "uh"},
	} {
		if got, _ := play(c.from, c.probes); got != c.want {
			t.Errorf("%s: %s gives %s, want %s", c.name, c.probes, got, c.want)
		}
	}
}

func TestNext_SinceIsWhenTheVerdictChanged(t *testing.T) {
	_, s := play(Status{}, "+----")
	if s.Since != time.Unix(3, 0) {
		t.Errorf("since %v", s.Since)
	}
}

func TestNext_Properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Status
		same, last := 0, false
		for i, ok := range rapid.SliceOf(rapid.Bool()).Draw(t, "probes") {
			if ok == last && i > 0 {
				same++
			} else {
				same, last = 1, ok
			}
			next, changed := Next(s, ok, time.Unix(int64(i), 0))
			if changed != (next.Known != s.Known || next.Healthy != s.Healthy) {
				t.Fatalf("changed %v from %+v to %+v", changed, s, next)
			}
			if changed && next.Healthy != ok {
				t.Fatalf("a verdict against its probe: %+v", next)
			}
			if s.Healthy && !next.Healthy && same < Failures {
				t.Fatalf("unhealthy after %d failures", same)
			}
			if same >= Failures && (!next.Known || next.Healthy != ok) {
				t.Fatalf("still %+v after %d times %v", next, same, ok)
			}
			s = next
		}
	})
}

func ExampleNext() {
	var s Status
	for _, ok := range []bool{false, true, false, false, false} {
		s, _ = Next(s, ok, time.Time{})
		fmt.Print(s.Healthy, " ")
	}
	// Output: false true true true false
}
