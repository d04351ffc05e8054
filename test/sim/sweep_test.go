package sim

import "testing"

// Whichever effect of a scenario is the last one before a fault: every invariant
// holds, and all comes to rest as wished.
func TestSweep_AFaultAtAnyEffectHarmsNothing(t *testing.T) {
	t.Parallel()
	for n, s := range Sweeps() {
		if n%sweepEvery != 0 {
			continue
		}
		t.Run(s.Scenario+"/"+s.Fault, func(t *testing.T) {
			t.Parallel()
			for ; ; s = s.Next(sweepStride) {
				failure, reached := RunSweep(t.Context(), s, nil, false)
				if failure != nil {
					t.Fatalf("%s: %v\nreplay it with\n   %s", s, failure, s.Command())
				}
				if !reached {
					break
				}
			}
			if s.K < 3 {
				t.Errorf("%s has %d effects; the sweep shows nothing", s.Scenario, s.K-1)
			}
		})
	}
}

func TestScenarios_HoldAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, s := range Scenarios() {
		if failure, _ := RunSweep(t.Context(), s, nil, false); failure != nil {
			t.Errorf("%s: %v\nreplay it with\n   %s", s, failure, s.Command())
		}
	}
}

func TestParseSweep_ReadsWhatStringSays(t *testing.T) {
	t.Parallel()
	for _, s := range append(Sweeps(), Scenarios()...) {
		if got, ok := ParseSweep(s.String()); !ok || got != s {
			t.Errorf("%q is read as %+v, %v", s, got, ok)
		}
	}
	for _, text := range []string{"", "seed 7", "deploy at effect 3", "deploy, power cut at effect x"} {
		if got, ok := ParseSweep(text); ok {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}
