// Package place chooses the node for one new instance, or says why none will
// do. The Index holds all nodes in dense arrays and is kept up by small steps,
// so that a decision costs the same in a cluster of ten nodes and of ten
// thousand. It is a pure package: integers only, no clock, no map order; the
// same state and request always give the same node, whatever the history.
//
// The reconciler owns one Index and calls it from its one goroutine; what-if
// works on a Clone of it. Neither has locks.
package place

import (
	"github.com/dinp/dinp/common/model"
)

// DefaultPool is the pool of nodes and apps that name none.
const DefaultPool = model.DefaultPool

// Policy says how a pool is filled.
type Policy uint8

// The policies of a pool.
const (
	Spread  Policy = iota // the emptiest node first: losses hurt least
	BinPack               // the fullest node that has room first: big requests find room longest
)

// Node is a host as placement sees it. What instances have reserved on it is
// not part of it: Reserve and Release keep that.
type Node struct {
	ID, Name            string
	Pool                string // "" is DefaultPool
	Zone                string
	Labels              []string // such as "ssd" or "disk=ssd"
	Status              model.NodeStatus
	Availability        model.Availability
	Away                bool  // not connected, or not yet synced: nothing new goes there (R8)
	DiskPressure        bool  // its disk is nearly full
	MemoryMiB, CPUMilli int64 // in all
}

// placeable reports whether any request at all may go to the node.
func (n *Node) placeable() bool {
	return n.Status == model.NodeReady && (n.Availability == model.Active || n.Availability == "") && !n.Away && !n.DiskPressure
}

func (n *Node) pool() string {
	if n.Pool == "" {
		return DefaultPool
	}
	return n.Pool
}

// Request is what a new instance needs.
type Request struct {
	MemoryMiB, CPUMilli int64
	Avoid               string   // node ID not to take; "" for none
	Pool                string   // "" is DefaultPool
	Zone                string   // the only zone to take; "" for any
	Labels              []string // all of which the node must have; at most MaxLabels count
	MaxPerNode          int      // of the app's instances on one node; 0 for no limit
	MaxFailures         int      // a node with so many recent failures of the release is not taken; 0 for no limit
	Seed                uint64   // tells equal requests of different apps apart, such as Seed(app ID)
}

// MaxLabels is how many labels a request may ask for.
const MaxLabels = model.MaxLabels

// Seed is the FNV-1a hash of a name.
func Seed(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}
