package image

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"github.com/dinp/dinp/builder/recipe"
)

// Tree is an unpacked artifact on the disk, and what is in it.
type Tree struct {
	Root  *os.Root
	Top   string        // the folder of Root that Files are in, with its slash; "" for Root itself
	Files []recipe.File // sorted; folders before what is in them
}

// part returns the tree, or those of its files that a layer holds, to be laid at dest.
func (t Tree) part(files []recipe.File, dest string, owner int) part {
	return part{dest: dest, owner: owner, files: files, open: func(p string) (io.ReadCloser, error) { return t.Root.Open(t.Top + p) }}
}

// part is the content of one layer.
type part struct {
	dest  string
	owner int
	files []recipe.File
	open  func(path string) (io.ReadCloser, error)
}

// writeTar writes the part below its dest. Nothing of this machine gets into it: owner and mode bits are set, names are
// in the list's order, and times are those of the archive. So the same artifact gives the same bytes on any builder.
//
// Times are kept, and not all set to one, because web servers make their ETags of size and time: with one time for all, a
// changed page of the same size would be "not modified" for every browser.
func (p part) writeTar(ctx context.Context, w *tar.Writer) error {
	dest := strings.Trim(path.Clean("/"+p.dest), "/")
	f := folders{w: w, owner: p.owner, root: dest, made: map[string]bool{".": true, "": true}}
	if err := f.make(dest); err != nil {
		return err
	}
	for _, file := range p.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.writeFile(&f, path.Join(dest, file.Path), file); err != nil {
			return err
		}
	}
	return nil
}

func (p part) writeFile(d *folders, name string, f recipe.File) error {
	if f.Dir {
		return d.make(name)
	}
	if err := d.make(path.Dir(name)); err != nil {
		return err
	}
	if err := d.w.WriteHeader(header(name, f, p.owner)); err != nil {
		return err
	}
	if f.Link != "" || f.Size == 0 {
		return nil
	}
	src, err := p.open(f.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	if _, err := io.CopyN(d.w, src, f.Size); err != nil {
		return fmt.Errorf("read %q: %w", f.Path, err)
	}
	return nil
}

// folders writes each folder of a layer once, those above it first. Those above root belong to the system.
type folders struct {
	w     *tar.Writer
	owner int
	root  string
	made  map[string]bool
}

func (d *folders) make(name string) error {
	if d.made[name] {
		return nil
	}
	if err := d.make(path.Dir(name)); err != nil {
		return err
	}
	d.made[name] = true
	owner := d.owner
	if len(name) < len(d.root) {
		owner = 0
	}
	return d.w.WriteHeader(header(name+"/", recipe.File{Dir: true}, owner))
}

func header(name string, f recipe.File, owner int) *tar.Header {
	h := &tar.Header{
		Name: name, Typeflag: tar.TypeReg, Size: f.Size, Mode: 0o644, Uid: owner, Gid: owner,
		ModTime: time.Unix(f.ModTime, 0), Format: tar.FormatPAX,
	}
	switch {
	case f.Dir:
		h.Typeflag, h.Size, h.Mode = tar.TypeDir, 0, 0o755
	case f.Link != "":
		h.Typeflag, h.Size, h.Mode, h.Linkname = tar.TypeSymlink, 0, 0o777, f.Link
	case f.Exec:
		h.Mode = 0o755
	}
	return h
}

// layer is a compressed tar in a file: memory stays flat whatever its size, and it is compressed once although its
// digest is needed before its bytes.
type layer struct {
	file   string
	digest v1.Hash
	diffID v1.Hash
	size   int64
	media  types.MediaType
}

// compression names the way layers are packed. It stands on every image as a label, so that a layer of an earlier image
// is taken again only if packing it anew would give the same bytes. Raise it with any change of compressor or tar form.
const compression = "2"

// newLayer writes the part as a layer into a new file.
func newLayer(ctx context.Context, p part, file string, media types.MediaType) (*layer, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	packed, plain := sha256.New(), sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(f, packed), 256<<10)
	// The fastest level: registry and nodes are near, and it halves the time of a deploy.
	z, err := gzip.NewWriterLevel(buf, gzip.BestSpeed)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w := tar.NewWriter(io.MultiWriter(z, plain))
	err = p.writeTar(ctx, w)
	if err == nil {
		err = errors.Join(w.Close(), z.Close(), buf.Flush())
	}
	info, serr := f.Stat()
	if err := errors.Join(err, serr, f.Close()); err != nil {
		return nil, err
	}
	return &layer{file: file, digest: hashOf(packed), diffID: hashOf(plain), size: info.Size(), media: media}, nil
}

// content is the SHA-256, in hex, of all that the part's layer is made of; "" when a file's own is not known. Nothing is
// read for it: unpacking has summed up every file.
func (p part) content() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %d\n", p.dest, p.owner)
	for _, f := range p.files {
		if f.Size > 0 && f.SHA256 == [sha256.Size]byte{} {
			return ""
		}
		fmt.Fprintf(sum, "%q %q %d %d %t %t %x\n", f.Path, f.Link, f.Size, f.ModTime, f.Dir, f.Exec, f.SHA256)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// Digest implements v1.Layer.
func (l *layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID implements v1.Layer.
func (l *layer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size implements v1.Layer.
func (l *layer) Size() (int64, error) { return l.size, nil }

// MediaType implements v1.Layer.
func (l *layer) MediaType() (types.MediaType, error) { return l.media, nil }

// Compressed implements v1.Layer.
func (l *layer) Compressed() (io.ReadCloser, error) { return os.Open(l.file) }

// Uncompressed implements v1.Layer.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.file)
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
