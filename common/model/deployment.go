package model

import "time"

// DeploymentStatus is how far the movement to a release has come.
type DeploymentStatus string

// The statuses of a deployment.
const (
	DeploymentRunning    DeploymentStatus = "running"
	DeploymentSucceeded  DeploymentStatus = "succeeded"
	DeploymentFailed     DeploymentStatus = "failed"     // rolled back to FromReleaseID, if there is one
	DeploymentSuperseded DeploymentStatus = "superseded" // a newer release was wanted before it ended
)

// Deployment is the movement of an app to one release. Only the leader writes
// it: people want a release, the deployment says whether it could be had. When
// it failed, the app is kept at FromReleaseID, the last that succeeded.
type Deployment struct {
	ReleaseID     string // key: every movement makes a release of its own
	AppID         string
	FromReleaseID string // the last release that succeeded; "" for the first
	Status        DeploymentStatus
	Error         *Error // with DeploymentFailed
	StartedAt     time.Time
	Deadline      time.Time // moved on with each bit of progress
	Stage         int       // of its release's Stages; their number when it has passed them all
	StageAt       time.Time // when the stage began; zero for the first
	Judgement     string    // what was counted when the stage before was passed, or why this one is held
	Held          bool      // the stage waits for a person: too few requests came to judge by
	EndedAt       time.Time
}

// Ended reports whether the deployment has come to an end.
func (d Deployment) Ended() bool { return d.Status != DeploymentRunning && d.Status != "" }
