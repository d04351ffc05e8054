package model

import "time"

// RebaseStatus is how a rebase stands.
type RebaseStatus string

// The statuses of a rebase.
const (
	RebaseRunning RebaseStatus = "running"
	RebaseDone    RebaseStatus = "done"
	RebaseStopped RebaseStatus = "stopped" // at the first app that did not come up, or by a person
)

// RebaseStep is how far an app is within a rebase.
type RebaseStep string

// The steps of an app within a rebase.
const (
	StepWaiting    RebaseStep = "waiting"
	StepBuilding   RebaseStep = "building"
	StepRolling    RebaseStep = "rolling"
	StepDone       RebaseStep = "done"
	StepUnchanged  RebaseStep = "unchanged"  // it is on the newest base already
	StepSuperseded RebaseStep = "superseded" // somebody deployed it meanwhile
	StepFailed     RebaseStep = "failed"
)

// Ended reports whether nothing more happens to the app within the rebase.
func (s RebaseStep) Ended() bool {
	return s != StepWaiting && s != StepBuilding && s != StepRolling
}

// Rebase is the rebuilding of a runtime's apps on a new base image from their stored artifacts, a few at a time.
type Rebase struct {
	ID        string
	Runtime   string
	Batch     int // apps under way at a time
	Status    RebaseStatus
	Error     *Error
	By        Actor // name and address
	CreatedAt time.Time
	EndedAt   time.Time
	Apps      []RebaseApp // in their order
}

// RebaseApp is one app of a rebase.
type RebaseApp struct {
	Seq     int
	AppID   string
	AppName string
	Step    RebaseStep
	BuildID string
	Note    string // why, for people
}

// NextOfRebase says which waiting apps a rebase begins now, by index, and whether it has ended. A failure lets what is
// under way end, and begins nothing.
func NextOfRebase(r Rebase) (begin []int, end RebaseStatus) {
	under, failed := 0, false
	for _, a := range r.Apps {
		failed = failed || a.Step == StepFailed
		if a.Step == StepBuilding || a.Step == StepRolling {
			under++
		}
	}
	if !failed {
		for i, a := range r.Apps {
			if a.Step == StepWaiting && under+len(begin) < max(r.Batch, 1) {
				begin = append(begin, i)
			}
		}
	}
	switch {
	case under > 0 || len(begin) > 0:
		return begin, RebaseRunning
	case failed:
		return nil, RebaseStopped
	}
	return nil, RebaseDone
}
