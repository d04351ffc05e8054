package model

import "time"

// Role says why a slot has an instance.
type Role string

// The roles. A slot has at most one live instance of each.
const (
	Primary Role = "primary" // serves the slot
	Surge   Role = "surge"   // a new release's, before it takes the slot over
	Suspect Role = "suspect" // on a node we lost; its replacement is the primary
)

// Instance is a placement: one container of one release on one node. The leader
// alone writes it, before any command leaves (rule R2).
type Instance struct {
	ID        string // UUID; the container is named dinp-<ID>
	AppID     string
	ReleaseID string
	Slot      int
	Role      Role
	NodeID    string
	Stopping  bool   // the leader wants it gone; never set back
	Reason    Reason // why it is stopping
	Epoch     int64  // of the leader that inserted it
	CreatedAt time.Time
	StoppedAt time.Time // when Stopping was set
}

// Reason says why an instance is being stopped.
type Reason string

// The reasons to stop an instance.
const (
	ReasonNone      Reason = ""
	ReasonReplaced  Reason = "replaced by a newer release"
	ReasonScaled    Reason = "scaled down"
	ReasonDeleted   Reason = "app deleted"
	ReasonUnhealthy Reason = "unhealthy"
	ReasonAborted   Reason = "deployment failed"
	ReasonLost      Reason = "replaced while its node was lost"
	ReasonDrained   Reason = "node drained"
	ReasonCancelled Reason = "no longer needed"
)

// Phase is how far an instance has come, as its agent reports it. Phases only
// move forward.
type Phase int

// The phases, in order.
const (
	PhaseAssigned Phase = iota // a row; nothing heard of it yet
	PhaseAccepted              // the agent has it in its journal
	PhasePulling               // the image is on its way
	PhaseCreated               // a container exists
	PhaseStarting              // the engine starts it
	PhaseRunning               // its process runs
	PhaseDraining              // un-routed, finishing its requests
	PhaseStopping              // told to stop
	PhaseGone                  // no container, and none will come
)

var phaseNames = [...]string{"assigned", "accepted", "pulling", "created", "starting", "running", "draining", "stopping", "gone"}

// String returns the phase's name.
func (p Phase) String() string {
	if p < 0 || int(p) >= len(phaseNames) {
		return "unknown"
	}
	return phaseNames[p]
}

// Gone says how an instance ended.
type Gone string

// The ends of an instance.
const (
	GoneNone     Gone = ""
	GoneExited   Gone = "exited"   // its process ended, or we stopped it
	GoneFailed   Gone = "failed"   // it could not be pulled, created or started
	GoneOOM      Gone = "oom"      // killed by the kernel for its memory limit
	GoneRejected Gone = "rejected" // the agent has no room, or a tombstone of it
	GoneLost     Gone = "lost"     // its container was removed behind our back
)

// Observed is what an agent says of one instance.
type Observed struct {
	ID        string
	Phase     Phase
	Gone      Gone     // with PhaseGone
	ExitCode  int      // with GoneExited and GoneOOM
	Code      Code     // why it is where it is, when something is wrong
	Message   string   // the same for people
	Logs      []string // with PhaseGone: the app's last lines
	Container string
	Addr      string    // ip:port at which it can be reached, from PhaseRunning on
	CreatedAt time.Time // its container was made, its image being there
	StartedAt time.Time
	Singleton bool // its agent stops it before the node can be taken for lost
}

// Verdict is the health monitor's word on a running instance.
type Verdict struct {
	InstanceID string
	Healthy    bool
	Since      time.Time // when the verdict last changed
	Evidence   string    // the last probe in words: "GET / → 200 in 3ms"
	// Answers is how long ago, when this is said, it first answered a probe in any
	// way; 0: it has not. No two hosts' clocks are compared by it.
	Answers time.Duration
}

// ContainerName is the name of an instance's container.
func ContainerName(instanceID string) string { return "dinp-" + instanceID }

// The labels that mark a container as ours (rule R4: labels, never env).
const (
	LabelInstance = "dinp.instance"
	LabelApp      = "dinp.app"
	LabelName     = "dinp.name" // of the app, for people
	LabelRelease  = "dinp.release"
	LabelNode     = "dinp.node"
	LabelSpec     = "dinp.spec"
)
