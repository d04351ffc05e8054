// Package archive unpacks an uploaded archive into a fresh folder. The archive is hostile until proven otherwise: every
// name, link, size and count in it may lie, and whoever made it may want a file outside the folder, a full disk or an
// endless loop.
//
// The builder's pipeline calls it once per build. It works through os.Root only, believes no header, holds no file in
// memory, and refuses with a *model.Error that says what was wrong, with numbers. What it returns is the list of what it
// wrote, so that later steps never have to look at the disk to know the tree.
//
// Names that differ only in their case are two files: images run on Linux. On a file system that folds case the second
// one is refused as a duplicate instead of overwriting the first.
package archive

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
)

// Contents is what an archive held.
type Contents struct {
	Format  Format
	Files   []File // sorted by path; a folder stands before what is in it
	Count   int    // files and links, without folders
	Bytes   int64  // of all files together
	Packed  int64  // size of the archive itself
	Ignored int    // entries left out because macOS adds them to every archive
	Cleared int    // entries whose set-user-id, set-group-id or sticky bit was dropped
}

// File is one thing in the unpacked tree.
type File struct {
	Path    string // relative, slashes, clean
	Size    int64
	ModTime int64 // seconds since 1970, as the archive says; 0 for folders
	Dir     bool
	Exec    bool     // may be executed: by its mode, or because it is an ELF program or a script
	ELF     bool     // begins as an ELF file
	Link    string   // target of a symbolic link
	SHA256  [32]byte // of a regular file's bytes
}

// Extract unpacks the archive at path into dir, which must be an empty folder. The filename is what the user called the
// file: it is compared with what the content is, and appears in messages; it is never a path.
func Extract(ctx context.Context, path, filename, dir string, l Limits) (Contents, error) {
	f, err := os.Open(path)
	if err != nil {
		return Contents{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Contents{}, err
	}
	format, err := Sniff(f, filename)
	if err != nil {
		return Contents{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Contents{}, err
	}
	defer root.Close()
	t := newTree(ctx, root, l, info.Size())
	if err := t.unpack(f, format); err != nil {
		return Contents{}, err
	}
	return t.contents(format), nil
}

// ExtractTar unpacks a plain tar that comes as a stream, under the same rules. How much it may unpack is bounded by the
// sizes alone: it is not packed.
func ExtractTar(ctx context.Context, r io.Reader, dir string, l Limits) (Contents, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Contents{}, err
	}
	defer root.Close()
	t := newTree(ctx, root, l, math.MaxInt64)
	if err := t.settle(t.untar(r)); err != nil {
		return Contents{}, err
	}
	return t.contents(Tar), nil
}

func (t *tree) unpack(f *os.File, format Format) error {
	var err error
	switch format {
	case Zip:
		err = t.unzip(f)
	case TarGz:
		err = t.untarGz(f)
	case Tar:
		err = t.untar(f)
	}
	return t.settle(err)
}

// settle ends an extraction that has come to its end, with err or without.
func (t *tree) settle(err error) error {
	if err == nil {
		err = t.makeLinks()
	}
	if err == nil && t.count() == 0 {
		err = broken("the archive holds no files").WithNext("pack the folder's content and upload it again")
	}
	return t.explain(err)
}

func (t *tree) contents(format Format) Contents {
	count := t.count()
	for d := range t.dirs {
		t.files = append(t.files, File{Path: d, Dir: true})
	}
	slices.SortFunc(t.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return Contents{
		Format: format, Files: t.files, Count: count, Bytes: t.bytes.Load(), Packed: t.packed,
		Ignored: t.ignored, Cleared: t.cleared,
	}
}

// quote makes a hostile name fit for a message: one line, printable, short.
func quote(name string) string {
	const most = 120
	if len(name) <= most {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q… (%d bytes)", name[:most], len(name))
}

// special says what an entry is that is neither a file, a folder nor a link.
func special(m fs.FileMode) string {
	switch {
	case m&fs.ModeCharDevice != 0:
		return "a character device"
	case m&fs.ModeDevice != 0:
		return "a block device"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "of an unknown type"
}
