package base

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// layerWriter writes one image layer: a gzipped tar in a file, never in memory, with all that varies between two runs
// taken out, so that the same input gives the same digest.
type layerWriter struct {
	file           *os.File
	digest, diffID hash.Hash
	zip            *gzip.Writer
	tar            *tar.Writer
	began          time.Time              // files changed since are given no time
	seen           map[string]bool        // paths met; folders once, and parents first
	below          map[string]mark        // what the image below has
	waiting        map[string]*tar.Header // folders that it has, too, until something is to be written in them
}

// newLayer starts a layer in file. Entries changed at or after began count as made by us: their time would differ in
// every run. Older times come from packages; Java checks some of them.
// What is in the image below as well stays out.
func newLayer(file *os.File, began time.Time, b *below) *layerWriter {
	l := &layerWriter{
		file: file, digest: sha256.New(), diffID: sha256.New(), began: began,
		seen: map[string]bool{".": true}, waiting: map[string]*tar.Header{},
	}
	if b != nil {
		l.below = b.entries
	}
	l.zip = gzip.NewWriter(io.MultiWriter(file, l.digest))
	l.tar = tar.NewWriter(io.MultiWriter(l.zip, l.diffID))
	return l
}

// add writes an entry, its parent folders first. The header is changed.
func (l *layerWriter) add(h *tar.Header, content io.Reader) error {
	h.Name = clean(h.Name)
	if h.Name == "" || h.Typeflag == tar.TypeDir && l.seen[h.Name] {
		return nil
	}
	l.seen[h.Name] = true
	h.Format = tar.FormatPAX
	h.Uname, h.Gname = "", ""
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	if h.ModTime = h.ModTime.Truncate(time.Second); !h.ModTime.Before(l.began) {
		h.ModTime = time.Unix(0, 0)
	}
	same, content, err := l.unchanged(h, content)
	if err != nil {
		return err
	}
	if same && h.Typeflag == tar.TypeDir {
		l.waiting[h.Name] = h
	}
	if same {
		return nil
	}
	return l.write(h, content)
}

// unchanged reports whether the image below has the same entry. A file that a package brought is told by its header, as
// the package's time stands there; one that was made here has none, and its content decides. The content comes back.
func (l *layerWriter) unchanged(h *tar.Header, content io.Reader) (bool, io.Reader, error) {
	m, ok := l.below[h.Name]
	if !ok || m.header != headerMark(h) {
		return false, content, nil
	}
	if h.Typeflag != tar.TypeReg || h.ModTime.Unix() != 0 {
		return true, nil, nil
	}
	b, err := io.ReadAll(content)
	return sha256.Sum256(b) == m.content, bytes.NewReader(b), err
}

// write writes an entry for good.
func (l *layerWriter) write(h *tar.Header, content io.Reader) error {
	if err := l.parents(path.Dir(h.Name)); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	if err := l.tar.WriteHeader(h); err != nil {
		return err
	}
	if content == nil {
		return nil
	}
	_, err := io.Copy(l.tar, content)
	return err
}

// parents writes the folders above a path that are not there yet.
func (l *layerWriter) parents(name string) error {
	if h := l.waiting[name]; h != nil {
		delete(l.waiting, name)
		return l.write(h, nil)
	}
	if l.seen[name] {
		return nil
	}
	return l.add(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: time.Unix(0, 0)}, nil)
}

// removeMissing hides what the image below has and this one has not.
func (l *layerWriter) removeMissing() error {
	for _, name := range slices.Sorted(maps.Keys(l.below)) {
		dir, file := path.Split(name)
		if above := path.Clean(dir); l.seen[name] || !l.seen[above] {
			continue
		}
		// The mark of the OCI image specification for a removed file.
		if err := l.addFile(dir+".wh."+file, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// clean is a path as layers name it: relative to the root, without a dot or a slash at its ends.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// addFile writes a regular file.
func (l *layerWriter) addFile(name string, mode int64, content []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
	return l.add(h, bytes.NewReader(content))
}

// addTree copies a whole tar, except what drop tells to leave out. change may replace the content of small files.
func (l *layerWriter) addTree(tree io.Reader, drop func(name string) bool, change map[string]func([]byte) []byte) error {
	r := tar.NewReader(tree)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, tree) // the padding, or the writer of the pipe would fail
			return err
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + h.Name)
		if drop(name) {
			continue
		}
		if err := l.addEntry(h, r, change[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (l *layerWriter) addEntry(h *tar.Header, content io.Reader, change func([]byte) []byte) error {
	if change != nil {
		old, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		return l.addFile(h.Name, h.Mode, change(old))
	}
	return l.add(h, content)
}

// close ends the layer.
func (l *layerWriter) close() (v1.Layer, error) {
	if err := l.removeMissing(); err != nil {
		return nil, err
	}
	if err := errors.Join(l.tar.Close(), l.zip.Close(), l.file.Sync()); err != nil {
		return nil, err
	}
	info, err := l.file.Stat()
	if err != nil {
		return nil, err
	}
	return &fileLayer{path: l.file.Name(), size: info.Size(), digest: sum(l.digest), diffID: sum(l.diffID)}, nil
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// fileLayer is a layer whose gzipped tar lies in a file and whose digests are known.
type fileLayer struct {
	path           string
	size           int64
	digest, diffID v1.Hash
}

func (l *fileLayer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *fileLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *fileLayer) Size() (int64, error)                { return l.size, nil }
func (l *fileLayer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (l *fileLayer) Compressed() (io.ReadCloser, error)  { return os.Open(l.path) }

// Uncompressed is asked for by nobody who has Compressed, yet the interface wants it.
func (l *fileLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// ballast is what no image needs of a Debian: documents, translations, caches, logs, device files, and what belongs to
// the machine that built it (its name, its resolver, its mirrors).
var ballast = []string{
	"/boot", "/dev", "/proc", "/run", "/sys", "/etc/apt", "/etc/dpkg/dpkg.cfg.d/99mmdebstrap", "/etc/hostname", "/etc/resolv.conf", "/etc/machine-id",
	"/usr/share/bash-completion", "/usr/share/bug", "/usr/share/doc", "/usr/share/doc-base", "/usr/share/info",
	"/usr/share/lintian", "/usr/share/locale", "/usr/share/man", "/var/cache", "/var/lib/apt", "/var/log",
	"/var/lib/dpkg/status-old", "/var/lib/dpkg/diversions-old", "/var/lib/dpkg/statoverride-old", "/var/backups",
}

// legal keeps what licences ask to pass on with the programs.
func legal(name string) bool {
	return strings.HasPrefix(name, "/usr/share/doc/") && path.Base(name) == "copyright"
}

// dropper returns a function that tells which paths stay out: ballast and extra with all that is below them.
func dropper(extra []string) func(string) bool {
	all := slices.Concat(ballast, extra)
	return func(name string) bool {
		if legal(name) {
			return false
		}
		return slices.ContainsFunc(all, func(p string) bool {
			// The folder itself stays when it is a mount point or expected to exist; only its content goes.
			return strings.HasPrefix(name, p+"/") || name == p && !keepEmpty[p]
		})
	}
}

// keepEmpty are folders that programs expect though their content is ballast.
var keepEmpty = map[string]bool{
	"/dev": true, "/proc": true, "/run": true, "/sys": true, "/var/cache": true, "/var/log": true, "/usr/share/doc": true,
}
