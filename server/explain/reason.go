package explain

// Reason is why a link is not done, as a word for programs.
type Reason string

// The reasons of an app as a whole.
const (
	Deleted    Reason = "deleted"
	Undeployed Reason = "not-deployed"
	ScaledDown Reason = "scaled-to-0"
	Paused     Reason = "paused"
	Hidden     Reason = "maintenance"
	Failed     Reason = "deployment-failed"
	Held       Reason = "held"           // a step of its rollout waits for a person
	Trouble    Reason = "leader-trouble" // the leader cannot write what it decides
	SafeMode   Reason = "safe-mode"      // the database is older than what runs: nothing is changed
)

// The reasons of a slot without an instance.
const (
	NoRoom   Reason = "no-room"
	BackOff  Reason = "back-off"
	Crashing Reason = "crashing"
	Planned  Reason = "about-to-be-placed"
	Alone    Reason = "not-alone" // a singleton waits for the end of the instance before it
)

// The reasons of an instance.
const (
	NodeUnknown   Reason = "node-unknown"
	NodeLost      Reason = "node-lost"
	EngineDown    Reason = "engine-down"
	AgentAway     Reason = "agent-away"
	AgentReturns  Reason = "agent-returns" // connected, and has yet to tell what it has
	NotSent       Reason = "not-sent"
	NotTaken      Reason = "not-taken" // the command was sent, and nothing heard of it yet
	Queued        Reason = "queued"    // for a pull or a start
	Pulling       Reason = "pulling"
	PullFails     Reason = "pull-fails"
	Starting      Reason = "starting"
	Ended         Reason = "ended"
	NoMonitor     Reason = "no-monitor"
	NotProbed     Reason = "not-probed"
	NotListening  Reason = "not-listening"
	Unhealthy     Reason = "unhealthy"
	MassSick      Reason = "mass-unhealthy" // so many that none is replaced for it
	NotInTable    Reason = "not-in-table"
	Reserved      Reason = "reserved" // ready, and its release gets no requests at this step of the rollout
	RoutersBehind Reason = "routers-behind"
	NoRouter      Reason = "no-router"
	Leaving       Reason = "to-be-replaced" // it serves, and is not what is wanted
	Proving       Reason = "proving"        // a surge instance that is to be ready for a while
	Surplus       Reason = "surplus"        // it serves on until others do
	Unrouting     Reason = "un-routing"     // being stopped: routers have yet to let go of it
	Draining      Reason = "draining"       // being stopped: it finishes its requests
	StopPending   Reason = "stop-pending"   // being stopped, and its agent cannot be told
)

// Reasons lists them all.
func Reasons() []Reason {
	return []Reason{
		Deleted, Undeployed, ScaledDown, Paused, Hidden, Failed, Held, Trouble, SafeMode, NoRoom, BackOff, Crashing, Planned, Alone,
		NodeUnknown, NodeLost, EngineDown, AgentAway, AgentReturns, NotSent, NotTaken, Queued, Pulling, PullFails, Starting, Ended,
		NoMonitor, NotProbed, NotListening, Unhealthy, MassSick, NotInTable, Reserved, RoutersBehind, NoRouter, Leaving, Proving, Surplus,
		Unrouting, Draining, StopPending,
	}
}
