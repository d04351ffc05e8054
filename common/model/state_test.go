package model

import (
	"testing"
)

func TestPhase_String(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for p := PhaseAssigned; p <= PhaseGone; p++ {
		if s := p.String(); s == "unknown" || seen[s] {
			t.Errorf("phase %d is %q", p, s)
		}
		seen[p.String()] = true
	}
	for _, p := range []Phase{-1, PhaseGone + 1, 1 << 40} {
		if p.String() != "unknown" {
			t.Errorf("phase %d is %q", p, p)
		}
	}
}

func TestEnded(t *testing.T) {
	t.Parallel()
	for status, ended := range map[BuildStatus]bool{BuildQueued: false, BuildRunning: false, BuildSucceeded: true, BuildFailed: true, BuildCancelled: true} {
		if (Build{Status: status}).Ended() != ended {
			t.Errorf("a %s build: ended is not %v", status, ended)
		}
	}
	for status, ended := range map[DeploymentStatus]bool{"": false, DeploymentRunning: false, DeploymentSucceeded: true, DeploymentFailed: true, DeploymentSuperseded: true} {
		if (Deployment{Status: status}).Ended() != ended {
			t.Errorf("a %q deployment: ended is not %v", status, ended)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{ContainerName("x"): "dinp-x", ArtifactTag("ab"): "sha256-ab", AppRepository("Shop"): "dinp/apps/shop"} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
