package api

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

// Release is one numbered content of an app.
type Release struct {
	Version    string      `json:"version"`
	Image      string      `json:"image"`
	Runtime    string      `json:"runtime"`
	Artifact   string      `json:"artifact,omitempty"`
	Build      string      `json:"build,omitempty"`
	Cause      string      `json:"cause"`
	Note       string      `json:"note"`
	MemoryMiB  int64       `json:"memory_mib"`
	CPUMilli   int64       `json:"cpu_milli"`
	Port       int         `json:"port"`
	Health     string      `json:"health"`
	EnvNames   []string    `json:"env_names"`
	Strategy   string      `json:"strategy"` // by which it takes over: rolling, bluegreen, canary
	CreatedBy  string      `json:"created_by"`
	CreatedAt  time.Time   `json:"created_at"`
	Wanted     bool        `json:"wanted"`
	Serving    bool        `json:"serving"`
	Deployment *Deployment `json:"deployment,omitempty"`
	Pinned     bool        `json:"pinned"`  // its image and artifact are kept for ever
	Removed    bool        `json:"removed"` // its image is gone: nobody can go back to it
}

// Deployment is the movement to a release.
type Deployment struct {
	Release   string       `json:"release"`
	From      string       `json:"from,omitempty"`
	Status    string       `json:"status"` // waiting, running, succeeded, failed, superseded
	Error     *model.Error `json:"error,omitempty"`
	StartedAt time.Time    `json:"started_at,omitzero"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`

	// Of one that goes by steps beside the release before, as canary and bluegreen do.
	Strategy  string    `json:"strategy,omitempty"`
	Step      int       `json:"step,omitempty"`      // 1 for the first
	Steps     int       `json:"steps,omitempty"`     // the last is the taking over of the slots
	Share     int       `json:"share,omitempty"`     // percent of the requests that the new release gets in this step
	StepAt    time.Time `json:"step_at,omitzero"`    // when the step began
	Judgement string    `json:"judgement,omitempty"` // what was counted when the step before was passed, or why this one is held
	Held      bool      `json:"held,omitempty"`      // the step waits for a person to promote the release or to roll it back
}

// NewRelease is the body of POST /apps/{app}/releases: an existing image (which
// is copied in by a build), an artifact the platform has, or one to be fetched.
type NewRelease struct {
	Image    string `json:"image,omitempty"`
	Artifact string `json:"artifact,omitempty"` // sha256
	Filename string `json:"filename,omitempty"` // with Artifact
	Runtime  string `json:"runtime,omitempty"`
	URL      string `json:"url,omitempty"`    // the builder fetches the artifact from there
	SHA256   string `json:"sha256,omitempty"` // with URL: what the file must have; if the platform has it, nothing is fetched
	Job      string `json:"job,omitempty"`    // of CI: a name or address; it goes into the statement of provenance
	model.DeployRequest
}

// Rollback is the body of POST /apps/{app}/rollback; "" takes the last release
// before the wanted one that succeeded.
type Rollback struct {
	Version string `json:"version,omitempty"`
	Note    string `json:"note,omitempty"`
}

// Promote is the body of POST /apps/{app}/promote; version, when it is given,
// must be the wanted release: it guards against promoting one nobody has seen.
type Promote struct {
	Version string `json:"version,omitempty"`
}

// Deploy answers a deploy, and GET /builds/{id}/deploy tells how it goes on: all
// that a client needs to follow it to its end.
type Deploy struct {
	App        string       `json:"app"`
	URL        string       `json:"url"`
	Unchanged  bool         `json:"unchanged"` // the same content and settings serve already
	Build      *Build       `json:"build,omitempty"`
	Release    string       `json:"release,omitempty"` // once the build made it
	Deployment *Deployment  `json:"deployment,omitempty"`
	Done       bool         `json:"done"`
	OK         bool         `json:"ok"` // with Done: it serves
	Error      *model.Error `json:"error,omitempty"`
	Follow     string       `json:"follow"` // path of the event stream of this deploy
	State      string       `json:"state"`  // one sentence
	Instances  []Instance   `json:"instances,omitempty"`
}
