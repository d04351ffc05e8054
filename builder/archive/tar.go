package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// paddingBytes may stand between a tar's end mark and the end of its stream: tape blocks, no second archive.
const paddingBytes = 1 << 20

func (t *tree) untarGz(f *os.File) error {
	z, err := gzip.NewReader(f)
	if err != nil {
		return unreadable(err, 0)
	}
	defer z.Close()
	return t.untar(z)
}

func (t *tree) untar(r io.Reader) error {
	s := &stream{tree: t, r: r}
	for tr := tar.NewReader(s); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return s.end()
		}
		// ErrInsecurePath comes with a header; the rules of tree are stricter and explain themselves.
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			if t.entries == 0 && s.n >= blockSize && !s.tar {
				return broken("the compressed stream does not hold a tar archive").WithNext("%s", taken)
			}
			return unreadable(err, t.entries)
		}
		if err := t.tarEntry(h, tr); err != nil {
			return unreadable(err, t.entries)
		}
	}
}

func (t *tree) tarEntry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return t.ctx.Err() // git archive's comment
	}
	mode := h.FileInfo().Mode()
	name, err := t.entry(h.Name, mode)
	if err != nil || name == "" {
		return err
	}
	if isSparse(h) {
		return broken("the file %s is stored sparse, which cannot be unpacked safely", quote(name)).
			WithNext("pack again without --sparse (-S) and upload it")
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return t.file(name, mode, h.ModTime, r)
	case tar.TypeDir:
		return t.dir(name)
	case tar.TypeSymlink:
		return t.symlink(name, h.Linkname)
	case tar.TypeLink:
		return t.hardlink(name, h.Linkname)
	}
	return hostile("the entry %s is %s; only files, folders and links are unpacked", quote(name), special(mode))
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// unreadable explains an error of a decoder; errors that explain themselves pass.
func unreadable(err error, entries int) error {
	switch {
	case err == nil, isOurs(err):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return broken("the archive is cut off: it ends in the middle, after %d entries", entries).
			WithNext("upload it again; if that does not help, pack it again").WithCause(err)
	}
	return broken("the archive is damaged after %d entries: %v", entries, err).WithCause(err)
}

// stream is the tar as it comes out of the decompressor: counted, because headers and skipped content are a way to make
// work without writing a byte, and watched for a proper end.
type stream struct {
	tree  *tree
	r     io.Reader
	n     int64
	zeros int  // at the end of what was read so far
	eof   bool // r has ended
	tar   bool // the first block is a tar header
}

// overhead is what one entry may cost in the stream besides its content: header, PAX records, padding.
const overhead = 4096

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if err := s.tree.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if s.n == 0 && n >= blockSize {
		s.tar = isTarBlock(p[:n])
	}
	s.n += int64(n)
	s.eof = s.eof || err == io.EOF
	if kept := len(bytes.TrimRight(p[:n], "\x00")); kept > 0 {
		s.zeros = n - kept
	} else {
		s.zeros += n
	}
	if l := s.tree.limits; s.n > l.TotalBytes+int64(l.Entries)*overhead {
		return n, tooLarge("total_bytes", "the archive is more than %s long unpacked; the limit for its files is %s", size(s.n), size(l.TotalBytes))
	}
	if s.tree.isBomb(s.n) {
		return n, s.tree.bomb(s.n, fmt.Sprintf("entry %d", s.tree.entries))
	}
	return n, err
}

// end judges what stands after the last entry. A tar without end mark was cut off at a block's edge; anything but zeros
// behind the mark is a second archive, which a different tool would unpack as well.
func (s *stream) end() error {
	if s.eof && s.zeros < blockSize {
		return unreadable(io.ErrUnexpectedEOF, s.tree.entries)
	}
	start, buf := s.n, s.tree.desk.buf
	for !s.eof {
		n, err := s.Read(buf)
		if err != nil && err != io.EOF {
			return unreadable(err, s.tree.entries)
		}
		if len(bytes.Trim(buf[:n], "\x00")) > 0 || s.n-start > paddingBytes {
			return broken("the archive goes on after its end: data was found behind entry %d", s.tree.entries).
				WithNext("it may be two archives joined into one; pack all files into a single archive and upload it")
		}
	}
	return nil
}
