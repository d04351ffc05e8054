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

	// Forgotten is a node that never returns: its instances count as gone, and
	// its agent is refused until it is made active again.
	Forgotten Availability = "forgotten"
)

// PoolPolicy says how a pool of nodes is filled.
type PoolPolicy string

// The policies of a pool.
const (
	PoolSpread  PoolPolicy = "spread"  // the emptiest node first: losses hurt least
	PoolBinPack PoolPolicy = "binpack" // the fullest node that has room first: big requests find room longest
)

// DefaultPool is the pool of nodes and apps that name none.
const DefaultPool = "default"

// Node is a Docker host with an agent. The leader writes the row when the
// agent first says hello; availability is people's and lives in its own table.
type Node struct {
	ID           string
	Name         string // host name, for people
	Address      string // IP at which its instances are reached
	Zone         string
	Pool         string   // nodes that are filled together; "" is the default one
	Labels       []string // such as "ssd" or "disk=ssd"
	MemoryMiB    int64    // what may be reserved by instances
	CPUMilli     int64
	Availability Availability
	CreatedAt    time.Time
	SeenAt       time.Time // last hello, or one within an hour before it
}
