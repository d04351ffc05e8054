package model

import "time"

// NodeStatus is what the leader knows of a node; it is never stored.
type NodeStatus string

// The statuses of a node.
const (
	NodeReady      NodeStatus = "ready"
	NodeUnknown    NodeStatus = "unknown"     // heartbeats missed; nothing is concluded
	NodeLost       NodeStatus = "lost"        // unknown for the loss time; replaced
	NodeDockerDown NodeStatus = "docker-down" // its agent answers, its engine does not
)

// Availability is what people want of a node.
type Availability string

// The availabilities of a node.
const (
	Active   Availability = "active"
	Cordoned Availability = "cordoned" // no new placements
	Draining Availability = "draining" // moved away, then empty
)

// Node is a Docker host with an agent. The leader writes the row when the
// agent first says hello; availability is people's and lives in its own table.
type Node struct {
	ID           string
	Name         string // host name, for people
	Address      string // IP at which its instances are reached
	Zone         string
	MemoryMiB    int64 // what may be reserved by instances
	CPUMilli     int64
	Availability Availability
	CreatedAt    time.Time
	SeenAt       time.Time // last hello
}
