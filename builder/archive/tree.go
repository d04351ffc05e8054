package archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"
)

// maxDepth bounds the folders above a file: os.Root opens each of them for each file.
const maxDepth = 100

// tree is the folder being filled. Every entry of every format goes through it: the rules are here once.
type tree struct {
	ctx    context.Context // this one Extract; a tree does not outlive it
	root   *os.Root
	limits Limits
	packed int64 // size of the archive

	dirs    map[string]struct{} // made so far
	mu      sync.Mutex          // guards files while several are filled
	files   []File              // regular files in the archive's order, then links
	links   []File              // symbolic links, made last so that nothing is ever written through one
	index   map[string]int      // path → place in files; made by the first hard link
	entries int                 // as the archive lists them
	names   int64
	bytes   atomic.Int64
	ignored int
	cleared int
	desk    *desk // for one file after the other
}

// desk is what filling a file takes.
type desk struct {
	buf []byte
	sum hash.Hash
}

func newDesk() *desk { return &desk{buf: make([]byte, 128<<10), sum: sha256.New()} }

func newTree(ctx context.Context, root *os.Root, l Limits, packed int64) *tree {
	return &tree{ctx: ctx, root: root, limits: l, packed: packed, dirs: map[string]struct{}{}, desk: newDesk()}
}

func (t *tree) count() int { return len(t.files) }

// entry admits the next entry of the archive and returns its clean path. "" means that there is nothing to do for it.
func (t *tree) entry(name string, mode fs.FileMode) (string, error) {
	if err := t.ctx.Err(); err != nil {
		return "", err
	}
	t.entries++
	t.names += int64(len(name))
	if err := t.checkEntries(); err != nil {
		return "", err
	}
	if t.names > t.limits.NameBytes {
		return "", tooLarge("name_bytes", "the names in the archive have more than %s together", size(t.limits.NameBytes))
	}
	clean, err := t.cleanName("entry", name)
	if err != nil || clean == "." {
		return "", err
	}
	if isClutter(clean) {
		t.ignored++
		return "", nil
	}
	if mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		t.cleared++
	}
	return clean, nil
}

// cleanName checks a name from the archive, which may be anything, and returns it without "./" and trailing slashes.
func (t *tree) cleanName(what, name string) (string, error) {
	switch {
	case name == "":
		return "", broken("%s %d has no name", what, t.entries)
	case len(name) > t.limits.PathBytes:
		return "", tooLarge("path_bytes", "the name %s is longer than the %d bytes that are allowed", quote(name), t.limits.PathBytes)
	case !utf8.ValidString(name):
		return "", hostile("the name %s is not UTF-8", quote(name)).WithNext("rename the file, pack again and upload it")
	case strings.ContainsRune(name, 0):
		return "", hostile("the name %s holds a NUL byte", quote(name))
	case name[0] == '/':
		return "", hostile("the %s %s is absolute; names must be relative", what, quote(name))
	}
	if n := strings.Count(name, "/"); n > maxDepth {
		return "", tooLarge("path_bytes", "the name %s is %d folders deep; at most %d are allowed", quote(name), n, maxDepth)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", hostile("the %s %s tries to leave its folder with \"..\"", what, quote(name))
		}
		if len(part) > 255 {
			return "", tooLarge("path_bytes", "a part of the name %s has %d bytes; file systems take 255", quote(name), len(part))
		}
	}
	return path.Clean(name), nil
}

// isClutter reports whether the path is what macOS adds beside the user's files. It would hide that an archive has one
// top folder, and be served to visitors.
func isClutter(p string) bool {
	base := path.Base(p)
	return p == "__MACOSX" || strings.HasPrefix(p, "__MACOSX/") || base == ".DS_Store" || strings.HasPrefix(base, "._")
}

// dir makes the folder and those above it.
func (t *tree) dir(name string) error {
	if _, ok := t.dirs[name]; ok || name == "." {
		return nil
	}
	if err := t.dir(path.Dir(name)); err != nil {
		return err
	}
	if err := t.root.Mkdir(name, 0o755); err != nil {
		return conflict(name, err)
	}
	t.dirs[name] = struct{}{}
	return t.checkEntries()
}

// file writes a regular file.
func (t *tree) file(name string, mode fs.FileMode, mod time.Time, r io.Reader) error {
	w, i, err := t.create(name, mode, mod)
	if err != nil {
		return err
	}
	return t.fill(t.desk, i, w, r)
}

// create makes a regular file, to be filled. Owner, group and all mode bits but "executable" are dropped.
func (t *tree) create(name string, mode fs.FileMode, mod time.Time) (w *os.File, i int, err error) {
	if err := t.dir(path.Dir(name)); err != nil {
		return nil, 0, err
	}
	w, err = t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, 0, conflict(name, err)
	}
	return w, t.add(File{Path: name, ModTime: seconds(mod), Exec: mode&0o111 != 0}), nil
}

// add notes a file and returns its place.
func (t *tree) add(f File) int {
	if t.index != nil {
		t.index[f.Path] = len(t.files)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.files = append(t.files, f)
	return len(t.files) - 1
}

// fill writes and closes a file that was created. Several may be filled at once, each on a desk of its own.
func (t *tree) fill(d *desk, i int, w *os.File, r io.Reader) error {
	t.mu.Lock()
	f := t.files[i]
	t.mu.Unlock()
	err := t.copy(d, &f, w, r)
	t.mu.Lock()
	t.files[i] = f
	t.mu.Unlock()
	return errors.Join(err, w.Close())
}

// copy writes what r holds, sums it up, and learns from its first bytes whether it is a program.
func (t *tree) copy(d *desk, f *File, w io.Writer, r io.Reader) error {
	var head []byte
	d.sum.Reset()
	for {
		n, rerr := r.Read(d.buf)
		if n > 0 {
			if len(head) < 4 {
				head = append(head, d.buf[:min(n, 4)]...)
			}
			f.Size += int64(n)
			if err := t.grow(f.Path, int64(n), f.Size); err != nil {
				return err
			}
			d.sum.Write(d.buf[:n])
			if _, err := w.Write(d.buf[:n]); err != nil {
				return err
			}
		}
		if rerr == io.EOF {
			d.sum.Sum(f.SHA256[:0])
			f.ELF = bytes.HasPrefix(head, []byte("\x7fELF"))
			f.Exec = f.Exec || f.ELF || bytes.HasPrefix(head, []byte("#!"))
			return nil
		}
		if err := cmp.Or(rerr, t.ctx.Err()); err != nil {
			return err
		}
	}
}

// seconds is a time as an image may carry it: whole seconds from 1970 to 2106, whatever the archive claims.
func seconds(t time.Time) int64 {
	return min(max(t.Unix(), 0), 1<<32-1)
}

// conflict explains why a path could not be made in a folder that nobody else writes to.
func conflict(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return hostile("the path %s is in the archive twice", quote(name))
	case errors.Is(err, syscall.ENOTDIR):
		return hostile("the path %s needs a folder where the archive has a file or link", quote(name))
	case errors.Is(err, syscall.ENAMETOOLONG):
		return tooLarge("path_bytes", "the name %s is longer than the file system takes", quote(name))
	}
	return err
}
