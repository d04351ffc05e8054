package archive

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/common/model"
)

const encrypted = 1 // bit of zip.FileHeader.Flags

// fillers is how many files of a zip are filled at a time: inflating and summing up take a processor each.
var fillers = min(runtime.GOMAXPROCS(0), 4)

func (t *tree) unzip(f *os.File) error {
	guard := &directoryGuard{r: f, tree: t}
	z, err := zip.NewReader(guard, t.packed)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // our own rules are stricter
		return unzippable(err, 0)
	}
	guard.done = true
	z.RegisterDecompressor(zip.Deflate, flate.NewReader)
	u := unzipping{tree: t, desks: make(chan *desk, fillers)}
	for range fillers {
		u.desks <- newDesk()
	}
	return u.all(z.File)
}

// unzipping admits entries one after the other, as every format's, and fills their files side by side.
type unzipping struct {
	*tree
	desks  chan *desk // that nobody uses
	files  errgroup.Group
	broken atomic.Bool // a file could not be filled: nothing more is begun
}

func (u *unzipping) all(entries []*zip.File) error {
	failed := u.admitAll(entries)
	return cmp.Or(u.files.Wait(), failed) // what is filled stands before what was not admitted
}

func (u *unzipping) admitAll(entries []*zip.File) error {
	for _, e := range entries {
		if u.broken.Load() {
			return nil
		}
		if err := u.admit(e); err != nil {
			return unzippable(err, u.entries)
		}
	}
	return nil
}

func (u *unzipping) admit(e *zip.File) error {
	mode := e.Mode()
	if strings.Contains(e.Name, `\`) {
		return hostile("the name %s uses backslashes", quote(e.Name)).WithNext("pack with a tool that separates folders by /, and upload it")
	}
	name, err := u.entry(e.Name, mode)
	if err != nil || name == "" {
		return err
	}
	switch mode.Type() {
	case fs.ModeDir:
		return u.dir(name)
	case fs.ModeSymlink:
		return u.zipSymlink(name, e)
	case 0:
		return u.zipFile(name, e)
	}
	return hostile("the entry %s is %s; only files, folders and links are unpacked", quote(name), special(mode))
}

// zipFile makes a file, and lets it be filled as soon as there is a desk.
func (u *unzipping) zipFile(name string, e *zip.File) error {
	w, i, err := u.create(name, e.Mode(), e.Modified)
	if err != nil {
		return err
	}
	d, n := <-u.desks, u.entries
	u.files.Go(func() error {
		defer func() { u.desks <- d }()
		r, err := openZipEntry(e)
		if err == nil {
			err = errors.Join(u.fill(d, i, w, r), r.Close())
		} else {
			w.Close()
		}
		if err != nil {
			u.broken.Store(true)
		}
		return unzippable(err, n)
	})
	return nil
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
func (t *tree) zipSymlink(name string, e *zip.File) error {
	r, err := openZipEntry(e)
	if err != nil {
		return err
	}
	defer r.Close()
	target, err := io.ReadAll(io.LimitReader(r, int64(t.limits.PathBytes)+1))
	if err != nil {
		return err
	}
	return t.symlink(name, string(target))
}

func unzippable(err error, entries int) error {
	switch {
	case err == nil:
		return nil
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
	done bool // the directory was read; what follows are files, several at a time
}

// ReadAt implements io.ReaderAt.
func (g *directoryGuard) ReadAt(p []byte, off int64) (int, error) {
	n, err := g.r.ReadAt(p, off)
	if g.done {
		return n, err
	}
	if off != g.next {
		g.seen = 0
	}
	g.next = off + int64(n)
	g.seen += bytes.Count(p[:n], []byte("PK\x01\x02"))
	if limit := g.tree.limits.Entries; g.seen > limit {
		return 0, tooLarge("entries", "the archive has more than %d entries (files, folders and links)", limit)
	}
	return n, err
}
