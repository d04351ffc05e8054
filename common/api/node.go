package api

import (
	"time"
)

// Node is a Docker host.
type Node struct {
	ID                string    `json:"id"`
	Name              string    `json:"name"`
	Address           string    `json:"address"`
	Zone              string    `json:"zone,omitempty"`
	Pool              string    `json:"pool,omitempty"`
	Labels            []string  `json:"labels,omitempty"`
	Connected         bool      `json:"connected"`
	Status            string    `json:"status"`
	Availability      string    `json:"availability"`
	MemoryMiB         int64     `json:"memory_mib"`
	MemoryReservedMiB int64     `json:"memory_reserved_mib"`
	CPUMilli          int64     `json:"cpu_milli"`
	CPUReservedMilli  int64     `json:"cpu_reserved_milli"`
	Instances         int       `json:"instances"`
	HeardAt           time.Time `json:"heard_at,omitzero"`
	Drained           bool      `json:"drained,omitempty"` // it is draining, and nothing is on it any more
	Message           string    `json:"message,omitempty"`
	Version           string    `json:"version,omitempty"`
	Docker            string    `json:"docker,omitempty"`
}

// EditNode is the body of PATCH /nodes/{node}.
type EditNode struct {
	Availability string `json:"availability"` // active, cordoned, draining
}

// Pool is how nodes of one name are filled, and the body of PUT /pools/{pool}.
type Pool struct {
	Name   string `json:"name"`
	Policy string `json:"policy"` // spread or binpack
	Nodes  int    `json:"nodes"`
}

// Router is one router as it last reported.
type Router struct {
	ID       string    `json:"id"`
	Addr     string    `json:"addr"`
	Serves   string    `json:"serves"`
	Live     bool      `json:"live"`
	At       time.Time `json:"at"`
	Requests uint64    `json:"requests"`
	Errors   uint64    `json:"errors"`
}

// Nodes answers GET /nodes.
type Nodes struct {
	Items   []Node   `json:"items"`
	Routers []Router `json:"routers"`
	Leader  string   `json:"leader"`
	Epoch   int64    `json:"epoch"`

	Survival *Survival `json:"survival,omitempty"` // nil when no server leads
	// SafeMode is why the leader changes nothing; "": it works.
	SafeMode string `json:"safe_mode,omitempty"`
}

// Survival is the standing answer: does the cluster survive the loss of any one node?
type Survival struct {
	Survives        bool      `json:"survives"` // the others have room for what is on each
	Complete        bool      `json:"complete"` // all nodes were looked at
	Looked          int       `json:"looked"`
	Nodes           int       `json:"nodes"` // that have instances
	Text            string    `json:"text"`
	Because         []string  `json:"because,omitempty"`
	Interrupted     []string  `json:"interrupted,omitempty"` // apps that would not answer until they are replaced, some of them
	InterruptedApps int       `json:"interrupted_apps"`
	At              time.Time `json:"at"`
}
