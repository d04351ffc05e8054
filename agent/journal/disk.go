package journal

import (
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Disk is a data folder in memory that outlives the agents on it: with it the
// simulator kills them, and cuts the machine's power. An agent's goroutines may
// use it at once; its fields are set while no agent runs.
type Disk struct {
	// Now gives the time of writes.
	Now func() time.Time
	// Fail, if set, is returned by every write: the disk is full.
	Fail error

	mu    sync.Mutex          // guards all below
	now   map[string]diskFile // as the programs see it
	safe  map[string]diskFile // what of it survives the machine's sudden end
	Saved int                 // writes so far

	missed map[string]bool // paths of which the last write failed
}

type diskFile struct {
	b  []byte
	at time.Time
}

// NewDisk returns an empty disk.
func NewDisk(now func() time.Time) *Disk {
	return &Disk{Now: now, now: map[string]diskFile{}, safe: map[string]diskFile{}, missed: map[string]bool{}}
}

// OpenOn opens the journal on a disk in memory, or makes a new one with newID as
// the node's id.
func OpenOn(d *Disk, newID string, log *slog.Logger) (*Journal, error) { return load(d, newID, log) }

// PowerCut forgets what was written without being asked to last.
func (d *Disk) PowerCut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = maps.Clone(d.safe)
}

// Missed reports whether an instance's record is older than it was to be, because
// the disk did not take the last one.
func (d *Disk) Missed(instanceID string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.missed[recordPath(instanceID)]
}

// Spoil makes an instance's record unreadable.
func (d *Disk) Spoil(instanceID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, files := range []map[string]diskFile{d.now, d.safe} {
		if f, ok := files[recordPath(instanceID)]; ok {
			files[recordPath(instanceID)] = diskFile{b: f.b[:len(f.b)/2], at: f.at}
		}
	}
}

func (d *Disk) read(path string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.now[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return f.b, nil
}

func (d *Disk) write(path string, b []byte, lasting bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.missed[path] = d.Fail != nil
	if d.Fail != nil {
		return d.Fail
	}
	d.Saved++
	d.now[path] = diskFile{b, d.Now()}
	if lasting {
		d.safe[path] = d.now[path]
	}
	return nil
}

func (d *Disk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.now[from]
	if !ok {
		return fs.ErrNotExist
	}
	delete(d.now, from)
	d.now[to] = f
	return nil
}

func (d *Disk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.now, path)
	delete(d.missed, path)
	return nil
}

func (d *Disk) list(dir string) ([]file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []file
	for _, p := range slices.Sorted(maps.Keys(d.now)) {
		if name, ok := strings.CutPrefix(p, dir+string(filepath.Separator)); ok {
			out = append(out, file{name: name, at: d.now[p].at})
		}
	}
	return out, nil
}
