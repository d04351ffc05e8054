package reconcile

import "github.com/dinp/dinp/server/dispatch"

// LogSource is where an instance's output can be read.
type LogSource struct {
	Session dispatch.Session // nil while the node's agent is away
	Node    string           // name, for people
}
