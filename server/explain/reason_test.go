package explain

import (
	"os"
	"strings"
	"testing"
)

func TestReasons_AreAllInTheDocuments(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Reasons() {
		if !strings.Contains(string(text), "\n| "+string(r)+" | ") {
			t.Errorf("docs/explain.md does not explain %q", r)
		}
	}
	if rows := strings.Count(string(text), "\n| ") - 1; rows != len(Reasons()) {
		t.Errorf("docs/explain.md has %d reasons, and there are %d", rows, len(Reasons()))
	}
}
