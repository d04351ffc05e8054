package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hunk is one place that a patch changes.
type hunk struct{ file, before, after string }

// hunks reads a patch: a first line that says what is wrong, then a unified diff.
func hunks(t *testing.T, path string) (reason string, all []hunk) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := ""
	for n, line := range strings.SplitAfter(string(text), "\n") {
		at := len(all) - 1
		switch {
		case n == 0:
			reason = strings.TrimSpace(line)
		case strings.HasPrefix(line, "--- a/"):
			file = strings.TrimSpace(strings.TrimPrefix(line, "--- a/"))
		case strings.HasPrefix(line, "@@ "):
			all = append(all, hunk{file: file})
		case strings.HasPrefix(line, "+++ ") || line == "" || at < 0:
		case line[0] == '-':
			all[at].before += line[1:]
		case line[0] == '+':
			all[at].after += line[1:]
		default:
			all[at].before += line[1:]
			all[at].after += line[1:]
		}
	}
	return reason, all
}

// A mutant that does not apply any more shows nothing: it must follow the code
// (scripts/sim-mutants.sh).
func TestMutants_StillApply(t *testing.T) {
	t.Parallel()
	patches, err := filepath.Glob("mutants/*.patch")
	if err != nil || len(patches) < 20 {
		t.Fatalf("%d mutants, %v", len(patches), err)
	}
	for _, p := range patches {
		reason, all := hunks(t, p)
		if reason == "" || len(all) == 0 {
			t.Errorf("%s: %q, %d places", p, reason, len(all))
		}
		for _, h := range all {
			text, err := os.ReadFile(filepath.Join("..", "..", h.file))
			if n := strings.Count(string(text), h.before); err != nil || n != 1 || h.before == h.after {
				t.Errorf("%s changes a place that is %d times in %s, %v:\n%s", p, n, h.file, err, h.before)
			}
		}
	}
}

// The table of what has found each mutant says what their patches say.
func TestMutants_TheirTableIsWhatTheirPatchesSay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	patches, _ := filepath.Glob("mutants/*.patch")
	for _, p := range patches {
		patch, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		second := strings.Split(string(patch), "\n")[1]
		seen, ok := strings.CutPrefix(second, "seen: ")
		run, invariant, both := strings.Cut(seen, "  ")
		row := "| " + strings.TrimSuffix(filepath.Base(p), ".patch") + " | " + run + " | " + invariant + " |"
		if !ok || !both || !strings.Contains(string(text), row) {
			t.Errorf("DESIGN.md lacks, or the patch's second line is not what it should be:\n%s", row)
		}
	}
}
