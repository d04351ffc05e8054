package deps

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/lessons.md names the tests that keep the original's faults out. A test
// that is renamed or deleted takes its line along.
func TestLessons_AreKeptByTestsThatExist(t *testing.T) {
	tests := map[string]bool{}
	each(t, func(s source) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				tests[f.Name.Name] = true
			}
		}
	})
	text, err := os.ReadFile("../../docs/lessons.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, line := range regexp.MustCompile(`(?m)^\| (\d+) \|.*$`).FindAllString(string(text), -1) {
		lines++
		named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(line, -1)
		if len(named) == 0 {
			t.Errorf("no test in: %s", line)
		}
		for _, m := range named {
			if !tests[m[1]] {
				t.Errorf("%s does not exist, and stands in: %s", m[1], line)
			}
		}
	}
	if lines != 64 {
		t.Errorf("%d lessons, the original had 64 faults", lines)
	}
}
