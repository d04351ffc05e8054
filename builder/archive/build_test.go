package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

// testTime has no fraction of a second and an even number of seconds, which is all that a zip can say.
var testTime = time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)

func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Uname // the tests keep the content here
		h.Uname = ""
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		h.ModTime = testTime
		must(t, w.WriteHeader(&h))
		_, err := w.Write([]byte(content))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func file(name, content string) tar.Header { return tar.Header{Name: name, Uname: content} }

func symlink(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
}

func hardlink(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}
}

func gz(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

func zipOf(t testing.TB, headers ...zip.FileHeader) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, h := range headers {
		content := h.Comment // as in tarOf
		h.Comment = ""
		if h.Method == 0 {
			h.Method = zip.Deflate
		}
		h.Modified = testTime
		f, err := w.CreateHeader(&h)
		must(t, err)
		_, err = f.Write([]byte(content))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func zfile(name, content string) zip.FileHeader { return zip.FileHeader{Name: name, Comment: content} }

func zmode(h zip.FileHeader, m fs.FileMode) zip.FileHeader {
	h.SetMode(m)
	return h
}

// unpack extracts b as a file of that name; dir is where its content went.
func unpack(t testing.TB, b []byte, filename string, l Limits) (c Contents, dir string, err error) {
	t.Helper()
	work := t.TempDir()
	src, dir := filepath.Join(work, "upload"), filepath.Join(work, "tree")
	must(t, os.WriteFile(src, b, 0o600))
	must(t, os.Mkdir(dir, 0o700))
	c, err = Extract(context.Background(), src, filename, dir, l)
	entries, rerr := os.ReadDir(work)
	must(t, rerr)
	if len(entries) != 2 {
		t.Errorf("the work folder has %d entries, want the upload and the tree alone", len(entries))
	}
	return c, dir, err
}

// wantRefusal checks the code and a piece of the message, and that the refusal says what to do.
func wantRefusal(t testing.TB, err error, code model.Code, part string) {
	t.Helper()
	var e *model.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want one with %s", err, code)
	}
	if e.Code != code || !strings.Contains(e.Message, part) {
		t.Errorf("got %s %q, want %s with %q", e.Code, e.Message, code, part)
	}
	if e.Next == "" {
		t.Errorf("%s %q has no next step", e.Code, e.Message)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
