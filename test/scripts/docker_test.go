//go:build linux

// Package scripts tests what the scripts do to a machine, in namespaces of their own.
package scripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A session, a terminal or a machine's manager may kill an engine and leave its containers running: they hold addresses
// that the next engine gives out again.
func TestDocker_AnEngineStartsAfreshWhereOneWasKilled(t *testing.T) {
	script, err := filepath.Abs("../../scripts/docker.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	app := filepath.Join(dir, fmt.Sprintf("app-%d", os.Getpid()))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", app, "github.com/dinp/dinp/examples/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "testdata/killed-engine.sh", script, app, filepath.Join(dir, "engines"))
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
