package journal

import (
	"errors"
	"fmt"
	"io/fs"
)

// Epoch is the fencing token the agent has last obeyed, and whose it was.
type Epoch struct {
	Max    int64  `json:"max"`
	Leader string `json:"leader"`
	// Written is how far that leader's term had come, in milliseconds, at the last
	// write that the database had acknowledged when it was last heard. On disk it may
	// be up to writtenEvery behind.
	Written int64 `json:"written,omitempty"`
}

// writtenEvery is how much history is told before it is written down again.
const writtenEvery = 60_000 // milliseconds

// ErrStaleEpoch refuses a leader that another has followed (rule R3).
var ErrStaleEpoch = errors.New("stale epoch")

// Epoch returns the highest epoch obeyed.
func (j *Journal) Epoch() Epoch {
	j.epochMu.Lock()
	defer j.epochMu.Unlock()
	return j.epoch
}

// Admit decides whether a leader may be obeyed: never one with a lower epoch,
// nor a second one with the same. A higher epoch is on disk before Admit
// returns, so that no crash lets an older leader back in.
func (j *Journal) Admit(epoch int64, leader string) error {
	j.epochMu.Lock()
	defer j.epochMu.Unlock()
	switch {
	case epoch < j.epoch.Max:
		return fmt.Errorf("%w: %d of %q, but %d of %q was obeyed", ErrStaleEpoch, epoch, leader, j.epoch.Max, j.epoch.Leader)
	case epoch == j.epoch.Max && leader == j.epoch.Leader:
		return nil
	case epoch == j.epoch.Max && epoch != 0:
		return fmt.Errorf("%w: %d is claimed by %q and was obeyed of %q", ErrStaleEpoch, epoch, leader, j.epoch.Leader)
	}
	next := Epoch{Max: epoch, Leader: leader}
	if j.files != nil {
		if err := j.writeJSON(epochFile, next, true); err != nil {
			return fmt.Errorf("remember epoch: %w", err)
		}
	}
	j.epoch, j.toldOnDisk = next, 0
	return nil
}

// Told notes how far a leader's history had got when it spoke. Of one that is not
// obeyed nothing is noted. A write that fails is tried again with the next word:
// nothing is decided here by what it would hold.
func (j *Journal) Told(epoch, written int64) {
	j.epochMu.Lock()
	defer j.epochMu.Unlock()
	if epoch != j.epoch.Max || written <= j.epoch.Written {
		return
	}
	j.epoch.Written = written
	if j.files == nil || written < j.toldOnDisk+writtenEvery {
		return
	}
	if err := j.writeJSON(epochFile, j.epoch, true); err != nil {
		j.log.Warn("epoch not written", "err", err)
		return
	}
	j.toldOnDisk = written
}

// loadEpoch fails on a file it cannot read: guessing "none" would let every
// old leader back in.
func (j *Journal) loadEpoch() error {
	err := j.readJSON(epochFile, &j.epoch)
	j.toldOnDisk = j.epoch.Written
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("read %s: %w; delete it only when no old server can come back", epochFile, err)
}
