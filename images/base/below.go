package base

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// below is the base image that another one lies on: what it holds need not be in the upper one's layer again, so that
// registries and hosts keep and move it once for all runtimes.
type below struct {
	image   v1.Image
	digest  string
	tree    string          // file with its flattened content, to be installed into
	entries map[string]mark // by path
}

// mark identifies an entry: its header, and the content's digest.
type mark struct {
	header  string
	content [sha256.Size]byte
}

// loadBelow makes the base image that a recipe builds on, and opens it; nil for one that builds on none.
func loadBelow(ctx context.Context, recipes fs.FS, r *recipe, outDir string, progress io.Writer) (*below, error) {
	if r.upon == "" {
		return nil, nil
	}
	if err := Build(ctx, recipes, r.upon, outDir, progress); err != nil {
		return nil, err
	}
	img, digest, err := open(filepath.Join(outDir, r.upon))
	return &below{image: img, digest: digest.String()}, err
}

// flatten writes the image's files into one tar in scratch and notes what they are.
func (b *below) flatten(scratch string) (err error) {
	b.tree, b.entries = filepath.Join(scratch, "below.tar"), map[string]mark{}
	out, err := os.Create(b.tree)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := tar.NewWriter(out)
	stream := mutate.Extract(b.image)
	defer stream.Close()
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err != nil {
			return err
		}
		if err := b.note(w, h, r); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// note copies one entry. Folders come once for each layer, the uppermost, which counts, first.
func (b *below) note(w *tar.Writer, h *tar.Header, content io.Reader) error {
	name := clean(h.Name)
	if _, twice := b.entries[name]; twice {
		return nil
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, hash), content); err != nil {
		return err
	}
	m := mark{header: headerMark(h)}
	hash.Sum(m.content[:0])
	b.entries[name] = m
	return nil
}

// headerMark is all of a header that a layer keeps. Folders have no time here: theirs changes with every file in them.
func headerMark(h *tar.Header) string {
	seconds := h.ModTime.Unix()
	if h.Typeflag == tar.TypeDir {
		seconds = 0
	}
	link := h.Linkname
	if h.Typeflag == tar.TypeLink {
		link = clean(link)
	}
	return fmt.Sprintf("%c %o %d:%d %d %s %d", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Size, link, seconds)
}
