package base

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// compile builds a recipe's Go program, statically linked, from the embedded sources, and returns its content.
func compile(ctx context.Context, recipes fs.FS, dir, scratch string, names []string) ([]byte, error) {
	src := filepath.Join(scratch, "src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(src, "go.mod"), []byte("module base\n\ngo 1.24\n"), 0o644); err != nil {
		return nil, err
	}
	for _, name := range names {
		content, err := fs.ReadFile(recipes, path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(src, path.Base(name)), content, 0o644); err != nil {
			return nil, err
		}
	}
	out := filepath.Join(scratch, "program")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, ".")
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOWORK=off", "GOFLAGS=", "GOTOOLCHAIN=local")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, said)
	}
	return os.ReadFile(out)
}
