package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Larder keeps the parts of artifacts that were built here, up to a size, because the next artifact of an app has most of
// its parts in common with the last one. A part is a file named by its SHA-256. Whoever takes parts checks what they make
// together, and weeds them if it is not that. A nil Larder keeps nothing.
type Larder struct {
	dir  string
	most int64 // bytes
}

// OpenLarder uses the folder, which is made if need be. most is how many bytes stay in it between builds.
func OpenLarder(dir string, most int64) (*Larder, error) {
	return &Larder{dir: dir, most: most}, os.MkdirAll(dir, 0o700)
}

// take opens a part; nil when it is not here.
func (l *Larder) take(sha256hex string) *os.File {
	if l == nil {
		return nil
	}
	path := filepath.Join(l.dir, sha256hex)
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // what was used last goes last; that it could not be noted costs time, nothing else
	return f
}

// keep copies a part from src, which fails when it is not the part, and keeps it on the way. That it cannot be kept, as on
// a full disk, is no error.
func (l *Larder) keep(sha256hex string, to io.Writer, src io.Reader) (int64, error) {
	if l == nil || l.most == 0 {
		return io.Copy(to, src)
	}
	tmp, err := os.CreateTemp(l.dir, "new-*")
	if err != nil {
		return io.Copy(to, src)
	}
	shelf := &bestEffort{w: tmp}
	n, err := io.Copy(io.MultiWriter(to, shelf), src)
	kept := errors.Join(err, shelf.err, tmp.Close())
	if kept == nil {
		kept = os.Rename(tmp.Name(), filepath.Join(l.dir, sha256hex))
	}
	if kept != nil {
		_ = os.Remove(tmp.Name()) // Trim removes what stays
	}
	return n, err
}

// bestEffort writes until it fails, and then says that it writes.
type bestEffort struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (b *bestEffort) Write(p []byte) (int, error) {
	if b.err == nil {
		_, b.err = b.w.Write(p)
	}
	return len(p), nil
}

// weed removes those of these parts that are not what their names say, and reports whether there were any. A part that cannot
// be read counts as one.
func (l *Larder) weed(names []string) (found bool) {
	for _, name := range names {
		path := filepath.Join(l.dir, name)
		if sum, err := sumFile(path); err != nil || sum != name {
			_ = os.Remove(path) // if it stays, the next attempt fails as this one did
			found = true
		}
	}
	return found
}

// sumFile is the SHA-256 of a file in hex.
func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.CopyBuffer(onlyWriter{sum}, f, make([]byte, copyBytes))
	return hex.EncodeToString(sum.Sum(nil)), err
}

// unfinished is how old a part that is being written gets; older ones are a dead builder's.
const unfinished = time.Hour

// Trim removes the parts that were used longest ago until no more than the larder's size is left.
func (l *Larder) Trim() error { return l.trim(l.most) }

// Empty removes all parts, those of no bytes as well, which only damage makes.
func (l *Larder) Empty() error { return l.trim(-1) }

func (l *Larder) trim(most int64) error {
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	var all []fs.FileInfo
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			all = append(all, info)
		}
	}
	slices.SortFunc(all, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var errs []error
	kept := int64(0)
	for _, info := range all {
		part := len(info.Name()) == hex.EncodedLen(sha256.Size)
		if part && kept+info.Size() <= most || !part && time.Since(info.ModTime()) < unfinished {
			kept += info.Size()
			continue
		}
		if err := os.Remove(filepath.Join(l.dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
