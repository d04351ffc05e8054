package model

import (
	"crypto/sha512"
	"encoding/hex"
	"strings"
	"time"
)

// BuildStatus is how far a build has come.
type BuildStatus string

// The statuses of a build.
const (
	BuildQueued    BuildStatus = "queued"
	BuildRunning   BuildStatus = "running"
	BuildSucceeded BuildStatus = "succeeded"
	BuildFailed    BuildStatus = "failed"
	BuildCancelled BuildStatus = "cancelled"
)

// RuntimeImage is the runtime of a deploy by image reference: nothing is
// built, the image is resolved to a digest and copied into the registry once.
const RuntimeImage = "image"

// Build is artifact + runtime → image, a row in the queue that builders lease.
// When it succeeds and Deploy is set, the release is made in the same
// transaction: a deploy survives the death of the dash that took it.
type Build struct {
	ID         string
	AppID      string
	AppName    string
	Artifact   string // sha256, hex; "" for RuntimeImage
	Filename   string // as uploaded; for people and for telling .war from .zip, never a path
	Size       int64  // bytes of the artifact
	ImageRef   string // with RuntimeImage: the reference as given
	Runtime    string // as asked; "" until detected
	Status     BuildStatus
	Step       string // unpack, detect, assemble, push, …
	Image      string // repository@sha256:…, when it succeeded
	Error      *Error // when it failed
	Deploy     *DeployRequest
	ReleaseID  string // the release it made
	CreatedBy  string
	CreatedAt  time.Time
	StartedAt  time.Time
	EndedAt    time.Time
	BuilderID  string
	LeaseUntil time.Time // past it, another builder may take a running build over
	Cancel     bool      // a person asked for its end
	Origin     BuildOrigin
	Attempts   int // how often a builder began it and neither finished nor gave it back
}

// Source names what is built, for people: the file, the image or the address, without what may be secret in it.
func (b Build) Source() string {
	switch {
	case b.ImageRef != "":
		return b.ImageRef
	case b.Filename == "" && b.Origin.URL != "":
		return b.Origin.PublicURL()
	}
	return b.Filename
}

// Ended reports whether the build has come to an end.
func (b Build) Ended() bool {
	return b.Status == BuildSucceeded || b.Status == BuildFailed || b.Status == BuildCancelled
}

// DeployRequest is what to do with an image once it is there: the settings a
// person gave with the upload. Nil fields keep the last release's value.
type DeployRequest struct {
	Instances *int              `json:"instances,omitempty"`
	MemoryMiB *int64            `json:"memory_mib,omitempty"`
	CPUMilli  *int64            `json:"cpu_milli,omitempty"`
	Port      *int              `json:"port,omitempty"`
	Health    *string           `json:"health,omitempty"`
	Command   []string          `json:"command,omitempty"`
	Env       map[string]string `json:"env,omitempty"` // added to the last release's
	Deadline  *Duration         `json:"deadline,omitempty"`
	Drain     *Duration         `json:"drain,omitempty"`
	Grace     *Duration         `json:"grace,omitempty"`
	Strategy  string            `json:"strategy,omitempty"`
	Steps     []int             `json:"steps,omitempty"`   // of a canary, in percent of the requests
	Observe   *Duration         `json:"observe,omitempty"` // of a canary's step; how long bluegreen keeps the old release
	Note      string            `json:"note,omitempty"`
}

// Apply returns base with the request's values laid over it.
func (d DeployRequest) Apply(base Spec) Spec {
	s := base.WithDefaults()
	set(&s.MemoryMiB, d.MemoryMiB)
	set(&s.CPUMilli, d.CPUMilli)
	set(&s.Port, d.Port)
	set(&s.Health, d.Health)
	set(&s.Deadline, d.Deadline)
	set(&s.Drain, d.Drain)
	set(&s.Grace, d.Grace)
	if d.Strategy != "" && d.Strategy != s.Strategy { // the settings of another do not fit it
		s.Strategy, s.Steps, s.Observe = d.Strategy, nil, 0
	}
	if d.Steps != nil {
		s.Steps = d.Steps
	}
	set(&s.Observe, d.Observe)
	if d.Command != nil {
		s.Command = d.Command
	}
	env := make(map[string]string, len(s.Env)+len(d.Env))
	for k, v := range s.Env {
		env[k] = v
	}
	for k, v := range d.Env {
		env[k] = v
	}
	s.Env = env
	return s
}

func set[T any](dst *T, src *T) {
	if src != nil {
		*dst = *src
	}
}

// LogLine is one line of a build's log.
type LogLine struct {
	Seq  int64
	At   time.Time
	Text string
}

// The registry repositories dinp writes. An artifact is kept there as an OCI
// image whose raw layers are its parts (common/parts), so that the registry is
// the only shared storage that the platform needs, and a part that several
// artifacts have is there once.
const (
	ArtifactRepository = "dinp/artifacts"
	ArtifactMediaType  = "application/vnd.dinp.artifact.v1"
)

// ArtifactTag is the tag of an artifact in ArtifactRepository.
func ArtifactTag(sha256hex string) string { return "sha256-" + sha256hex }

// PromisedArtifact is the name, as a sha256 in hex, under which lies what a user promises to be the artifact of a digest, until a builder
// has summed it up. Each user's is another one. It comes from another hash function, so that no file has it as its SHA-256.
func PromisedArtifact(sha256hex, userID string) string {
	sum := sha512.Sum512_256([]byte(sha256hex + " promised by " + userID))
	return hex.EncodeToString(sum[:])
}

// AppRepository is the repository of an app's images.
func AppRepository(app string) string { return "dinp/apps/" + strings.ToLower(app) }
