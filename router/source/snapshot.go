package source

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/router/table"
)

// loadSnapshot returns the table in a file, or nil when there is no file.
func loadSnapshot(path string) (*table.Table, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return table.DecodeSnapshot(data)
}

// saver keeps the file at the table last put, in its own time: serving never
// waits for a disk.
type saver struct {
	path    string
	every   time.Duration
	log     *slog.Logger
	latest  atomic.Pointer[table.Table]
	trigger chan struct{} // size 1: puts while one is pending are one
	saved   *table.Table  // by run only
}

func newSaver(path string, every time.Duration, log *slog.Logger) *saver {
	return &saver{path: path, every: every, log: log, trigger: make(chan struct{}, 1)}
}

func (s *saver) put(t *table.Table) {
	s.latest.Store(t)
	select {
	case s.trigger <- struct{}{}:
	default:
	}
}

// run saves until ctx ends, and once more then.
func (s *saver) run(ctx context.Context) {
	if s.path != "" {
		removeLeftovers(s.path, time.Now().Add(-abandoned))
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.trigger:
			start := time.Now()
			s.flush(ctx)
			// A big table under steady change must not keep the disk busy.
			pause(ctx, max(s.every, time.Since(start)))
		}
	}
	s.flush(ctx)
}

// flush saves the latest table, in no hurry until ctx ends.
func (s *saver) flush(ctx context.Context) {
	t := s.latest.Load()
	if s.path == "" || t == nil || t == s.saved {
		return
	}
	write := func(f *os.File) error { return writeSnapshot(f, t, newPacer(ctx).step) }
	if err := writeFile(s.path, write); err != nil {
		s.log.Error("route snapshot not written", "err", err)
		return
	}
	s.saved = t
}

// writeSnapshot writes a table's form on disk to an empty file, without ever
// holding it: it is several times as long as the table. rest is called between
// any two entries.
func writeSnapshot(w io.WriteSeeker, t *table.Table, rest func()) error {
	h := sha256.New()
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString(table.SnapshotHead([sha256.Size]byte{})) // of its length: the sum is known in the end
	for piece := range table.SnapshotBody(t) {
		h.Write(piece)
		out.Write(piece)
		rest()
	}
	if err := out.Flush(); err != nil { // of all before, too
		return err
	}
	if _, err := w.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.WriteString(w, table.SnapshotHead([sha256.Size]byte(h.Sum(nil))))
	return err
}

// writeFile replaces a file so that a crash at any moment leaves the old or
// the new one whole.
func writeFile(path string, write func(*os.File) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as it should, after the rename
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// abandoned is the age at which a file that should have become the snapshot
// is nobody's: no router, nor one that shares the path with it, writes that long.
const abandoned = time.Hour

// removeLeftovers removes what routers that were killed while they wrote left
// behind before a moment: of a big table, 150 MiB each.
func removeLeftovers(path string, before time.Time) {
	files, _ := filepath.Glob(path + ".tmp-*") // an error says that there are none of that name
	for _, f := range files {
		if i, err := os.Stat(f); err == nil && i.ModTime().Before(before) {
			os.Remove(f)
		}
	}
}

// syncDir makes the rename itself durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
