package api

// Collect asks for a garbage collection.
type Collect struct {
	DryRun bool `json:"dry_run"` // only tell what would be removed
}

// Collection answers POST /gc.
type Collection struct {
	DryRun  bool        `json:"dry_run"`
	Items   []Collected `json:"items"`                 // removed, or to be
	Bytes   int64       `json:"bytes"`                 // of what only they need
	Swept   *int64      `json:"swept_bytes,omitempty"` // freed on the disk of the embedded registry; others do that on their own
	Kept    int         `json:"kept"`                  // images and artifacts that stay
	Skipped []string    `json:"skipped,omitempty"`     // what was left alone this time, and why
}

// Collected is an image or artifact that goes.
type Collected struct {
	Kind     string   `json:"kind"` // image, artifact
	Name     string   `json:"name"` // repository@digest, or sha256
	App      string   `json:"app,omitempty"`
	Releases []string `json:"releases,omitempty"`
	Bytes    int64    `json:"bytes"` // that nothing else needs
}
