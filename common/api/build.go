package api

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

// Build is artifact + runtime → image.
type Build struct {
	ID        string       `json:"id"`
	App       string       `json:"app"`
	Artifact  string       `json:"artifact,omitempty"`
	Filename  string       `json:"filename,omitempty"`
	Size      int64        `json:"size_bytes"`
	ImageRef  string       `json:"image_ref,omitempty"`
	Runtime   string       `json:"runtime"`
	Status    string       `json:"status"`
	Step      string       `json:"step,omitempty"`
	Image     string       `json:"image,omitempty"`
	Error     *model.Error `json:"error,omitempty"`
	Release   string       `json:"release,omitempty"`
	CreatedBy string       `json:"created_by"`
	CreatedAt time.Time    `json:"created_at"`
	StartedAt time.Time    `json:"started_at,omitzero"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`

	URL      string             `json:"url,omitempty"`  // the artifact came from there; without its query
	From     string             `json:"from,omitempty"` // address of the client
	Job      string             `json:"job,omitempty"`  // of CI, as the client named it
	Attempts int                `json:"attempts,omitempty"`
	Report   *model.BuildReport `json:"report,omitempty"` // of one build, once it has ended
}

// Artifact answers HEAD and GET /artifacts/{sha256}, and a finished upload.
type Artifact struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size_bytes"`
}

// NewUpload is the body of POST /apps/{app}/uploads: a file that the client has cut into parts.
type NewUpload struct {
	Filename string `json:"filename"`
	SHA256   string `json:"sha256"` // of the whole
	Parts    []Part `json:"parts"`  // in their order; each but the last has 512 KiB to 4 MiB
}

// Part is a stretch of a file.
type Part struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size_bytes"`
}

// PlannedUpload answers POST /apps/{app}/uploads. Missing are the places, from 0, of the parts to send, one after the other,
// to Upload, as any upload that can be resumed. Its artifact is for who sent it to deploy, at once, and is there for others, and
// for GET /artifacts, when a builder has summed it up. Without Upload the platform has nothing to add to the file: it is sent as a
// whole (POST /artifacts).
type PlannedUpload struct {
	Upload  string `json:"upload,omitempty"`
	Missing []int  `json:"missing,omitempty"`
}
