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
}

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
	j.epoch = next
	return nil
}

// loadEpoch fails on a file it cannot read: guessing "none" would let every
// old leader back in.
func (j *Journal) loadEpoch() error {
	err := j.readJSON(epochFile, &j.epoch)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("read %s: %w; delete it only when no old server can come back", epochFile, err)
}
