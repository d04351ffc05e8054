package journal

import (
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// TombstoneAge is how long an id stays refused. A late start comes within a
// session's buffers, that is minutes; a day is generous.
const TombstoneAge = 24 * time.Hour

// Buried reports whether there is a tombstone for id.
func (j *Journal) Buried(id string) bool {
	j.tombMu.Lock()
	defer j.tombMu.Unlock()
	_, ok := j.tombs[id]
	return ok
}

// Bury leaves a tombstone: the instance id must never be started here.
func (j *Journal) Bury(id string, now time.Time) error {
	j.tombMu.Lock()
	defer j.tombMu.Unlock()
	if _, ok := j.tombs[id]; ok {
		return nil
	}
	if j.files != nil {
		if err := j.files.write(tombPath(id), nil, true); err != nil {
			return err
		}
	}
	j.tombs[id] = now
	return nil
}

// Prune removes the tombstones past TombstoneAge.
func (j *Journal) Prune(now time.Time) error {
	j.tombMu.Lock()
	defer j.tombMu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(j.tombs)) {
		if now.Sub(j.tombs[id]) < TombstoneAge {
			continue
		}
		if j.files != nil {
			if err := j.files.remove(tombPath(id)); err != nil {
				return err
			}
		}
		delete(j.tombs, id)
	}
	return nil
}

func tombPath(id string) string { return filepath.Join(tombsDir, id) }

// loadTombs takes a tombstone's age from its file's.
func (j *Journal) loadTombs() error {
	entries, err := j.files.list(tombsDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.name) != ".tmp" {
			j.tombs[e.name] = e.at
		}
	}
	return nil
}
