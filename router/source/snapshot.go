package source

import (
	"context"
	"errors"
	"fmt"
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
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.trigger:
			start := time.Now()
			s.flush()
			// A big table under steady change must not keep the disk busy.
			pause(ctx, max(s.every, 10*time.Since(start)))
		}
	}
	s.flush()
}

func (s *saver) flush() {
	t := s.latest.Load()
	if s.path == "" || t == nil || t == s.saved {
		return
	}
	if err := writeFile(s.path, table.EncodeSnapshot(t)); err != nil {
		s.log.Error("route snapshot not written", "err", err)
		return
	}
	s.saved = t
}

// writeFile replaces a file so that a crash at any moment leaves the old or
// the new one whole.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as it should, after the rename
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the rename itself durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
