package testenv

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Tool returns the path of a program that test/tools names.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := tool(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tool returns the path of a program that test/tools names. The go command
// compiles it on first use, and keeps it in its cache.
func tool(name string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "tool", "-n", name)
	cmd.Dir = filepath.Join(root, "test", "tools")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go tool -n %s: %w\n%s", name, err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}
