package archive

import (
	"archive/tar"
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func TestExtract_TarGz(t *testing.T) {
	t.Parallel()
	b := gz(t, tarOf(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir},
		file("./index.html", "<p>hi"),
		tar.Header{Name: "./bin/run", Uname: "echo", Mode: 0o4755},
		file("./bin/server", "\x7fELF..."),
		file("./start", "#!/bin/sh\n"),
		hardlink("./copy.html", "./index.html"),
		symlink("./bin/home", "../index.html"),
		tar.Header{Name: "./empty/", Typeflag: tar.TypeDir},
		file("./.DS_Store", "x"),
	))
	c, dir, err := unpack(t, b, "site.tar.gz", DefaultLimits())
	must(t, err)
	at := testTime.Unix()
	want := []File{
		{Path: "bin", Dir: true},
		{Path: "bin/home", Link: "../index.html"},
		{Path: "bin/run", Size: 4, Exec: true, ModTime: at},
		{Path: "bin/server", Size: 7, Exec: true, ELF: true, ModTime: at},
		{Path: "copy.html", Size: 5, ModTime: at},
		{Path: "empty", Dir: true},
		{Path: "index.html", Size: 5, ModTime: at},
		{Path: "start", Size: 10, Exec: true, ModTime: at},
	}
	if d := cmp.Diff(want, unsummed(t, dir, c.Files)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if c.Format != TarGz || c.Count != 6 || c.Bytes != 31 || c.Ignored != 1 || c.Cleared != 1 || c.Packed != int64(len(b)) {
		t.Errorf("contents: %+v", c)
	}
	got, err := os.ReadFile(filepath.Join(dir, "bin/home"))
	if err != nil || string(got) != "<p>hi" {
		t.Errorf("through the link: %q, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(dir, "bin/run"))
	must(t, err)
	if info.Mode()&(os.ModeSetuid|0o022) != 0 {
		t.Errorf("mode of bin/run is %v", info.Mode())
	}
}

// unsummed compares the sum of each regular file with what is on the disk, and leaves it out.
func unsummed(t *testing.T, dir string, files []File) []File {
	t.Helper()
	out := slices.Clone(files)
	for i, f := range files {
		want := [sha256.Size]byte{}
		if !f.Dir && f.Link == "" {
			b, err := os.ReadFile(filepath.Join(dir, f.Path))
			must(t, err)
			want = sha256.Sum256(b)
		}
		if f.SHA256 != want {
			t.Errorf("%s: SHA-256 %x, want %x", f.Path, f.SHA256, want)
		}
		out[i].SHA256 = [sha256.Size]byte{}
	}
	return out
}

func TestExtract_Zip(t *testing.T) {
	t.Parallel()
	b := zipOf(t,
		zfile("index.html", "<p>hi"),
		zmode(zfile("run", "x"), 0o755|os.ModeSetuid),
		zmode(zfile("home", "index.html"), 0o777|os.ModeSymlink),
		zip.FileHeader{Name: "empty/"},
		zip.FileHeader{Name: "plain", Comment: "stored", Method: zip.Store},
		zfile("__MACOSX/._index.html", "junk"),
	)
	c, dir, err := unpack(t, b, "site.zip", DefaultLimits())
	must(t, err)
	at := testTime.Unix()
	want := []File{
		{Path: "empty", Dir: true},
		{Path: "home", Link: "index.html"},
		{Path: "index.html", Size: 5, ModTime: at},
		{Path: "plain", Size: 6, ModTime: at},
		{Path: "run", Size: 1, Exec: true, ModTime: at},
	}
	if d := cmp.Diff(want, unsummed(t, dir, c.Files)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if c.Format != Zip || c.Ignored != 1 || c.Cleared != 1 {
		t.Errorf("contents: %+v", c)
	}
}

func TestExtract_NamesThatDifferInCaseAreTwoFiles(t *testing.T) {
	t.Parallel()
	c, _, err := unpack(t, tarOf(t, file("Readme", "a"), file("README", "b")), "x.tar", DefaultLimits())
	must(t, err)
	if c.Count != 2 {
		t.Errorf("got %d files, want 2", c.Count)
	}
}

func TestExtract_Formats(t *testing.T) {
	t.Parallel()
	ball := tarOf(t, file("index.html", "x"))
	for _, c := range []struct {
		name, filename string
		content        []byte
		want           Format
		part           string
	}{
		{"tar", "a.tar", ball, Tar, ""},
		{"no extension", "upload", gz(t, ball), TarGz, ""},
		{"tgz", "a.TGZ", gz(t, ball), TarGz, ""},
		{"war", "shop.war", zipOf(t, zfile("WEB-INF/web.xml", "x")), Zip, ""},
		{"gzip called war", "shop.war", gz(t, ball), "", `called "shop.war", but its content is a tar.gz archive`},
		{"zip called tar.gz", "a.tar.gz", zipOf(t, zfile("a", "x")), "", "is a zip archive"},
		{"xz", "a.tar.xz", []byte("\xfd7zXZ\x00rest"), "", "an xz stream"},
		{"empty", "a.zip", nil, "", "the file is empty"},
		{"text", "a.tar.gz", []byte("hello, world"), "", "begins with 68 65 6c 6c 6f"},
		{"gzip of text", "a.tar.gz", gz(t, []byte(strings.Repeat("hello ", 500))), "", "does not hold a tar"},
		{"gzip of a short text", "a.tar.gz", gz(t, []byte("hello")), "", "cut off"},
		{"no files", "a.zip", zipOf(t), "", "holds no files"},
		{"folders alone", "a.tar", tarOf(t, tar.Header{Name: "a/", Typeflag: tar.TypeDir}), "", "holds no files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := unpack(t, c.content, c.filename, DefaultLimits())
			if c.part != "" {
				wantRefusal(t, err, model.CodeBadArtifact, c.part)
				return
			}
			must(t, err)
			if got.Format != c.want {
				t.Errorf("got %s, want %s", got.Format, c.want)
			}
		})
	}
}

func TestExtract_StopsWhenCancelled(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"a.tar.gz": gz(t, tarOf(t, file("a", "x"))),
		"a.zip":    zipOf(t, zfile("a", "x")),
	} {
		work := t.TempDir()
		must(t, os.WriteFile(filepath.Join(work, name), b, 0o600))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := Extract(ctx, filepath.Join(work, name), name, t.TempDir(), DefaultLimits()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", name, err)
		}
	}
}

// The whole point of streaming: what is in the archive does not matter for the memory.
func TestExtract_MemoryStaysFlat(t *testing.T) {
	b := gz(t, tarOf(t, file("zeros", string(make([]byte, 24<<20)))))
	l := DefaultLimits()
	l.Ratio = 1 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	_, _, err := unpack(t, b, "a.tar.gz", l)
	must(t, err)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("unpacking 24 MiB allocated %d KiB, want less than 4096", used>>10)
	}
}

func TestLimits_Problems(t *testing.T) {
	t.Parallel()
	if p := DefaultLimits().Problems(); len(p) != 0 {
		t.Errorf("defaults: %v", p)
	}
	if p := (Limits{}).Problems(); len(p) != 7 {
		t.Errorf("zero limits: %d problems, want 7: %v", len(p), p)
	}
}
