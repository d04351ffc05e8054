package dispatch

import (
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// Event is something an agent, a monitor or a dash said; the reconciler's inbox
// holds them in order of arrival.
type Event any

// SessionOpened says that an agent came. Beats that say nothing new are no events
// while its pulse is calm; nil: each is one.
type SessionOpened struct {
	Session Session
	Hello   *pb.Hello
	Pulse   *Pulse
}

// SessionClosed says that a stream ended. It is a hint only: the node is
// unknown when its heartbeats have been missed.
type SessionClosed struct{ Session Session }

// Synced carries all that an agent knows.
type Synced struct {
	Session     Session
	Instances   []model.Observed
	DockerOK    bool
	DockerError string
	Disk        string // what is short of room on the node's disk; "" nothing
	Engine      uint32 // grows whenever the engine may have been restarted
}

// Reported carries what changed at an agent.
type Reported struct {
	Session   Session
	Instances []model.Observed
}

// Beat is a heartbeat that may say something new.
type Beat struct {
	Session     Session
	Digest      []byte
	DockerOK    bool
	DockerError string
	Disk        string // as in Synced
	Engine      uint32 // as in Synced
}

// Unused asks which of the images on an agent's node, that no instance there has,
// an app needs, when Keep releases of each are wanted at hand.
type Unused struct {
	Session Session
	Images  []string
	Keep    int
}

// MonitorOpened says that a health monitor came and wants its targets.
type MonitorOpened struct{ Monitor Monitor }

// MonitorClosed says that a monitor's stream ended.
type MonitorClosed struct{ Monitor Monitor }

// Judged carries a monitor's verdicts.
type Judged struct {
	Monitor  Monitor
	Verdicts []model.Verdict
}

// Nudged says that the desired state was changed and committed.
type Nudged struct {
	AppIDs []string
	Nodes  bool
}

// Do runs a function in the reconciler's goroutine, which owns the state.
type Do func()
