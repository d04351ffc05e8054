// Package journal is the agent's memory on disk: which node this is, the
// highest epoch it has obeyed, every instance it was given, and tombstones of
// those it must never start. One small file each, written to a temporary name,
// synced and renamed: a file is there whole, or not at all.
//
// The agent writes what it is about to do before it asks the engine to, so that
// after a kill at any instant it knows which containers may exist.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Record is what is kept of one instance.
type Record struct {
	Spec   runtime.Spec   `json:"spec"`
	Status model.Observed `json:"status"` // as last reported
	// Adopted says that the container was found by its label and we know no spec
	// of it: it is reported, and stopped when told to, but never started.
	Adopted bool `json:"adopted,omitempty"`
	// Pulled says that the image is on the host, with phase pulling.
	Pulled bool `json:"pulled,omitempty"`
	// Tries counts refusals of the engine.
	Tries int `json:"tries,omitempty"`
	// Stop is set once a stop was ordered, and never unset.
	Stop *Stop `json:"stop,omitempty"`
	// End is how it ended, from when that is known until its container is removed.
	End *End `json:"end,omitempty"`
	// Unreadable says that only the file's name could be read, so that nothing is
	// known but the instance's id. The file stays until the next Put of that id.
	Unreadable bool `json:"-"`
}

// Stop is an order to stop.
type Stop struct {
	DrainUntil time.Time     `json:"drain_until"`
	Grace      time.Duration `json:"grace"`
	KillAt     time.Time     `json:"kill_at"` // set with the stop signal
	Reason     string        `json:"reason,omitempty"`
}

// End is how an instance ended.
type End struct {
	Gone     model.Gone `json:"gone"`
	ExitCode int        `json:"exit_code,omitempty"`
	Code     model.Code `json:"code,omitempty"`
	Message  string     `json:"message,omitempty"`
	Logs     []string   `json:"logs,omitempty"`
}

// Journal is the open journal of one agent.
type Journal struct {
	files  files // nil: nothing is written
	nodeID string
	log    *slog.Logger
	lock   *os.File // held until Close; nil without a folder

	epochMu    sync.Mutex // guards epoch and toldOnDisk, and orders their writes
	epoch      Epoch
	toldOnDisk int64 // Epoch.Written as the disk has it

	tombMu sync.Mutex // guards tombs
	tombs  map[string]time.Time
}

// The names below the data folder.
const (
	instancesDir = "instances"
	tombsDir     = "tombstones"
	nodeIDFile   = "node-id"
	epochFile    = "epoch.json"
	lockFile     = "lock"
)

// An id becomes a file's and a container's name, and comes from the network.
var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// ValidID reports whether id may be an instance's.
func ValidID(id string) bool { return validID.MatchString(id) }

// Open opens the journal in dir, or makes a new one with newID as the node's
// id. Two agents cannot have the same one open.
func Open(dir, newID string, log *slog.Logger) (*Journal, error) {
	for _, d := range []string{dir, filepath.Join(dir, instancesDir), filepath.Join(dir, tombsDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	lock, err := acquire(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	j, err := load(folder(dir), newID, log)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	j.lock = lock
	return j, nil
}

func load(f files, newID string, log *slog.Logger) (*Journal, error) {
	j := &Journal{files: f, log: log, tombs: map[string]time.Time{}}
	return j, errors.Join(j.loadNodeID(newID), j.loadEpoch(), j.loadTombs())
}

// Memory returns a journal that keeps nothing on disk, for fake nodes.
func Memory(nodeID string) *Journal {
	return &Journal{nodeID: nodeID, tombs: map[string]time.Time{}}
}

// Close lets another agent open the journal. All is written already.
func (j *Journal) Close() error {
	if j.lock == nil {
		return nil
	}
	return j.lock.Close()
}

// NodeID is the node's id, made on the first start and kept for ever.
func (j *Journal) NodeID() string { return j.nodeID }

// Records reads every instance's record. One that cannot be read is Unreadable,
// with a warning: that its instance was given is still known, by the file's name,
// and what became of it the engine can say. What the file holds is kept beside it.
func (j *Journal) Records() ([]Record, error) {
	if j.files == nil {
		return nil, nil
	}
	entries, err := j.files.list(instancesDir)
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.name, ".json")
		if !ok || !ValidID(id) {
			continue // a temporary file of a write that never finished, or a copy of one that was unreadable
		}
		var r Record
		if err := j.readJSON(recordPath(id), &r); err != nil || r.Spec.InstanceID != id {
			j.log.Error("journal record unreadable", "instance", id, "err", err)
			j.keepUnreadable(id)
			r = Record{Spec: runtime.Spec{InstanceID: id}, Unreadable: true}
		}
		out = append(out, r)
	}
	return out, nil
}

// keepUnreadable copies a record that cannot be read, for people: its file is to be
// overwritten. It is not moved, because it is all that is known of its instance.
func (j *Journal) keepUnreadable(id string) {
	b, err := j.files.read(recordPath(id))
	if err == nil {
		err = j.files.write(recordPath(id)+".unreadable", b, false)
	}
	if err != nil {
		j.log.Warn("unreadable journal record not copied", "instance", id, "err", err)
	}
}

// Put writes an instance's record; when it returns nil the record survives the
// agent's end, and with lasting that of the machine, at the price of a few
// milliseconds.
func (j *Journal) Put(r Record, lasting bool) error {
	if j.files == nil {
		return nil
	}
	return j.writeJSON(recordPath(r.Spec.InstanceID), r, lasting)
}

// Forget replaces an instance's record by a tombstone.
func (j *Journal) Forget(id string, now time.Time) error {
	if err := j.Bury(id, now); err != nil {
		return err
	}
	if j.files == nil {
		return nil
	}
	return j.files.remove(recordPath(id))
}

func recordPath(id string) string { return filepath.Join(instancesDir, id+".json") }

// NodeID reads the id of the node that a data folder belongs to, or makes newID it.
func NodeID(dir, newID string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	j := &Journal{files: folder(dir)}
	err := j.loadNodeID(newID)
	return j.nodeID, err
}

func (j *Journal) loadNodeID(newID string) error {
	b, err := j.files.read(nodeIDFile)
	if errors.Is(err, fs.ErrNotExist) {
		j.nodeID = newID
		return j.files.write(nodeIDFile, []byte(newID+"\n"), true)
	}
	if err != nil {
		return err
	}
	j.nodeID = strings.TrimSpace(string(b))
	if !ValidID(j.nodeID) {
		return fmt.Errorf("%s does not hold a node id", nodeIDFile)
	}
	return nil
}

func (j *Journal) readJSON(path string, v any) error {
	b, err := j.files.read(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func (j *Journal) writeJSON(path string, v any, lasting bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return j.files.write(path, b, lasting)
}
