package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/klauspost/compress/flate"

	"github.com/dinp/dinp/common/model"
)

const encrypted = 1 // bit of zip.FileHeader.Flags

func (t *tree) unzip(f *os.File) error {
	z, err := zip.NewReader(&directoryGuard{r: f, tree: t}, t.packed)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // our own rules are stricter
		return unzippable(err, 0)
	}
	z.RegisterDecompressor(zip.Deflate, flate.NewReader)
	for _, e := range z.File {
		if err := t.zipEntry(e); err != nil {
			return unzippable(err, t.entries)
		}
	}
	return nil
}

func (t *tree) zipEntry(e *zip.File) error {
	mode := e.Mode()
	if strings.Contains(e.Name, `\`) {
		return hostile("the name %s uses backslashes", quote(e.Name)).WithNext("pack with a tool that separates folders by /, and upload it")
	}
	name, err := t.entry(e.Name, mode)
	if err != nil || name == "" {
		return err
	}
	if mode.IsDir() {
		return t.dir(name)
	}
	if mode.Type() != 0 && mode.Type() != fs.ModeSymlink {
		return hostile("the entry %s is %s; only files, folders and links are unpacked", quote(name), special(mode))
	}
	r, err := openZipEntry(e)
	if err != nil {
		return err
	}
	defer r.Close()
	if mode.Type() == fs.ModeSymlink {
		return t.zipSymlink(name, r)
	}
	return t.file(name, mode, e.Modified, r)
}

func openZipEntry(e *zip.File) (io.ReadCloser, error) {
	if e.Flags&encrypted != 0 {
		return nil, broken("the file %s is encrypted", quote(e.Name)).WithNext("pack again without a password and upload it")
	}
	r, err := e.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return nil, broken("the file %s is compressed by zip method %d, which is not known", quote(e.Name), e.Method).
			WithNext("pack again with the usual method (deflate) and upload it")
	}
	return r, err
}

// zipSymlink reads a link's target, which zip keeps as the content of the entry.
func (t *tree) zipSymlink(name string, r io.Reader) error {
	target, err := io.ReadAll(io.LimitReader(r, int64(t.limits.PathBytes)+1))
	if err != nil {
		return err
	}
	return t.symlink(name, string(target))
}

func unzippable(err error, entries int) error {
	switch {
	case errors.Is(err, zip.ErrFormat) && entries > 0:
		return broken("entry %d of the zip is not what its directory says: sizes or places do not match", entries).WithCause(err)
	case errors.Is(err, zip.ErrFormat):
		return broken("the zip has no directory at its end: it is cut off or damaged").
			WithNext("upload it again; if that does not help, pack it again").WithCause(err)
	case errors.Is(err, zip.ErrChecksum):
		return broken("entry %d of the zip is damaged: its checksum is wrong", entries).
			WithNext("upload it again; if that does not help, pack it again").WithCause(err)
	}
	return unreadable(err, entries)
}

// isOurs reports whether the error is not the archive's: it explains itself, or the disk or a cancel made it.
func isOurs(err error) bool {
	var refusal *model.Error
	var disk syscall.Errno // not *fs.PathError: a lying offset makes one too
	return errors.As(err, &refusal) || errors.As(err, &disk) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// directoryGuard counts the directory entries that pass while zip.NewReader reads them all into memory, which it does
// however few the end record claims. It stops a directory of a million entries at the limit.
type directoryGuard struct {
	r    io.ReaderAt
	tree *tree
	next int64 // where a read that goes on begins
	seen int
}

// ReadAt implements io.ReaderAt.
func (g *directoryGuard) ReadAt(p []byte, off int64) (int, error) {
	n, err := g.r.ReadAt(p, off)
	if off != g.next {
		g.seen = 0
	}
	g.next = off + int64(n)
	g.seen += bytes.Count(p[:n], []byte("PK\x01\x02"))
	if limit := g.tree.limits.Entries; g.seen > limit && g.tree.entries == 0 {
		return 0, tooLarge("entries", "the archive has more than %d entries (files, folders and links)", limit)
	}
	return n, err
}
