package logs

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// old is the kept output of a gone instance.
type old struct {
	id    string
	at    time.Time // last written
	bytes int64
}

// Sweep removes the output of instances that are not live once it is too old,
// and the oldest of it while it is too much.
func (s *Store) Sweep(now time.Time, live func(id string) bool) error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept []old
	total := int64(0)
	for _, e := range entries {
		if live(e.Name()) {
			continue
		}
		o := s.measure(e.Name())
		kept, total = append(kept, o), total+o.bytes
	}
	slices.SortFunc(kept, func(a, b old) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	for _, o := range kept {
		if now.Sub(o.at) < keepFor && total <= keepBytes {
			break
		}
		if err := s.drop(o.id); err != nil {
			return err
		}
		total -= o.bytes
	}
	return nil
}

func (s *Store) measure(id string) old {
	o := old{id: id}
	for _, name := range []string{olderFile, newerFile} {
		info, err := os.Stat(filepath.Join(s.dir, id, name))
		if err != nil {
			continue // not there: nothing to count
		}
		o.bytes += info.Size()
		if info.ModTime().After(o.at) {
			o.at = info.ModTime()
		}
	}
	return o
}

func (s *Store) drop(id string) error {
	s.mu.Lock()
	r := s.rings[id]
	delete(s.rings, id)
	s.mu.Unlock()
	if r != nil {
		r.end(true)
	}
	return os.RemoveAll(filepath.Join(s.dir, id))
}
