// Package runtime is the contract between the agent and a container engine:
// what an instance is made of, what a container tells, and the few calls in
// between. Package docker implements it on a Docker engine, package fake in
// memory; both pass the suite in package runtimetest.
//
// A Runtime belongs to one node. It sees and touches only the containers that
// carry that node's label (rule R4): a person's container, or another node's on
// the same engine, does not exist for it.
package runtime

import (
	"context"
	"errors"
	"time"
)

// The errors the agent branches on. Any other error means that the engine
// answered and refused: trying again the same way is of no use.
var (
	// ErrNotFound says that there is no such container of ours.
	ErrNotFound = errors.New("no such container")
	// ErrAway says that the engine did not answer, or not in time. Whether the
	// call took effect is unknown: ask with Inspect before concluding anything.
	ErrAway = errors.New("the engine does not answer")
	// ErrForeign says that the name belongs to a container that is not ours.
	ErrForeign = errors.New("the container's name is held by one that is not ours")
	// ErrNoImage says that the image is not on the host.
	ErrNoImage = errors.New("the image is not on this host")
	// ErrImageUsed says that a container, perhaps not one of ours, is made of the image.
	ErrImageUsed = errors.New("a container uses the image")
)

// Spec is all the engine needs to know of an instance.
type Spec struct {
	InstanceID string            `json:"instance_id"`
	AppID      string            `json:"app_id"`
	AppName    string            `json:"app_name"`
	ReleaseID  string            `json:"release_id"`
	Release    int               `json:"release"` // number
	Slot       int               `json:"slot"`
	Image      string            `json:"image"` // repository@sha256:… within the platform's registry
	Command    []string          `json:"command,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	Port       int               `json:"port"`
	MemoryMiB  int64             `json:"memory_mib"`
	CPUMilli   int64             `json:"cpu_milli"` // 0: no limit
	Hash       string            `json:"hash"`
	// Singleton says that it may run only while the leader hears of the node (R11).
	Singleton bool `json:"singleton,omitempty"`
}

// State is what the engine says of a container's process.
type State int

// The states of a container.
const (
	Created State = iota // exists, never started
	Running
	Exited // ended; its exit code is known
)

// Container is one container of ours.
type Container struct {
	ID         string
	InstanceID string
	AppID      string // from the labels
	ReleaseID  string
	SpecHash   string
	State      State
	Addr       string // ip:port at which its port is published; "" unless running

	// Known to Inspect and Create only; List leaves them zero.
	ExitCode  int
	OOM       bool   // the kernel killed it for its memory limit
	Error     string // the engine's own words, when it could not be started
	MemoryMiB int64
	CPUMilli  int64
	CreatedAt time.Time
	StartedAt time.Time
}

// Line is one line of a container's output.
type Line struct {
	At     time.Time
	Stderr bool
	Text   string
}

// Info is what the engine says of itself.
type Info struct {
	Version string
	Root    string // folder of its images and containers on this host; "" when there is none
}

// Event hints that something happened to a container; what, Inspect tells. An
// empty InstanceID says that the subscription stands: what happened before
// must be listed.
type Event struct {
	InstanceID string
}

// Runtime drives a container engine for one node. Containers are named by their
// instance. Every call has a deadline of its own besides ctx.
type Runtime interface {
	// Info asks the engine whether it is there.
	Info(ctx context.Context) (Info, error)
	// EnsureImage pulls the image unless it is on the host.
	EnsureImage(ctx context.Context, image string) error
	// RemoveImage takes an image's name of ours off the host, and with its last
	// name the image. Of one that is not there it is a no-op; one that a container
	// uses stays (ErrImageUsed).
	RemoveImage(ctx context.Context, image string) error
	// Create makes the container, or returns the one that exists already: it is
	// safe to repeat, and can never make a second one.
	Create(ctx context.Context, s Spec) (Container, error)
	// Start starts a created container. Of one that was started before it is a
	// no-op, also when it has ended: an instance is one life of one process.
	Start(ctx context.Context, instanceID string) error
	// Stop sends the stop signal, waits up to grace, kills, and returns when the
	// process is gone. Of a container that does not run it is a no-op.
	Stop(ctx context.Context, instanceID string, grace time.Duration) error
	// Remove removes the container, killing it if need be. Of one that does not
	// exist it is a no-op.
	Remove(ctx context.Context, instanceID string) error
	// Inspect tells all of one container.
	Inspect(ctx context.Context, instanceID string) (Container, error)
	// List tells of all containers of this node.
	List(ctx context.Context) ([]Container, error)
	// Events calls f with each event until ctx ends or the engine goes away.
	Events(ctx context.Context, f func(Event)) error
	// Logs calls f with each line printed at since or later, in order of time,
	// and with follow until the container ends.
	Logs(ctx context.Context, instanceID string, since time.Time, follow bool, f func(Line) error) error
}
