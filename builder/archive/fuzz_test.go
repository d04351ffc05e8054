package archive

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
)

// FuzzExtract throws bytes at all formats. Whatever they are: no panic, nothing outside the folder, nothing past the
// limits, no link that leads out, and a refusal that explains itself.
func FuzzExtract(f *testing.F) {
	f.Add(gz(f, tarOf(f, file("a/b", "x"), symlink("l", "a/b"), hardlink("h", "a/b"))))
	f.Add(tarOf(f, file("../a", "x")))
	f.Add(tarOf(f, symlink("a/up", ".."), symlink("b", "a/up/../x")))
	f.Add(zipOf(f, zfile("a", "xx"), zmode(zfile("l", "a"), 0o777|os.ModeSymlink)))
	f.Add(paxTar(f, "path", "other", "size", "7"))
	limits := Limits{TotalBytes: 1 << 16, FileBytes: 1 << 15, Entries: 50, PathBytes: 100, NameBytes: 2000, Ratio: 100, RatioFloor: 1 << 12}
	f.Fuzz(func(t *testing.T, b []byte) {
		work := t.TempDir()
		src, dir := filepath.Join(work, "upload"), filepath.Join(work, "tree")
		must(t, os.WriteFile(src, b, 0o600))
		must(t, os.Mkdir(dir, 0o700))
		c, err := Extract(context.Background(), src, "", dir, limits)
		var refusal *model.Error
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("unexplained: %v", err)
		}
		checkTree(t, work, dir, limits)
		if err == nil && (c.Bytes > limits.TotalBytes || len(c.Files) > limits.Entries) {
			t.Fatalf("past the limits: %d bytes, %d entries", c.Bytes, len(c.Files))
		}
		if err == nil {
			checkLinks(t, dir)
		}
	})
}

func checkTree(t *testing.T, work, dir string, l Limits) {
	outside, err := os.ReadDir(work)
	if err != nil || len(outside) != 2 {
		t.Fatalf("beside the tree: %v, %v", outside, err)
	}
	n := 0
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		n++
		if err == nil && d.Type()&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0 {
			t.Fatalf("%s is special", d.Name())
		}
		return err
	})
	if err != nil || n > l.Entries+2 {
		t.Fatalf("%d things on the disk, %v", n, err)
	}
}

func checkLinks(t *testing.T, dir string) {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() != fs.ModeSymlink {
			return err
		}
		real, err := filepath.EvalSymlinks(p)
		if err == nil && real != dir && !strings.HasPrefix(real, dir+"/") {
			t.Fatalf("%s leads to %s", p, real)
		}
		return nil
	})
	must(t, err)
}
