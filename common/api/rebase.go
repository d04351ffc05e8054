package api

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

// NewRebase asks for the rebuilding of a runtime's apps on its newest base image.
type NewRebase struct {
	Runtime string `json:"runtime"`
	App     string `json:"app,omitempty"`   // only this one
	Batch   int    `json:"batch,omitempty"` // apps under way at a time; 0: 3
	All     bool   `json:"all,omitempty"`   // apps that seem to be on the newest base, too
	DryRun  bool   `json:"dry_run,omitempty"`
}

// Rebase answers POST /rebases and GET /rebases/{id}.
type Rebase struct {
	ID        string       `json:"id,omitempty"` // "" when nothing was begun
	Runtime   string       `json:"runtime"`
	Batch     int          `json:"batch"`
	DryRun    bool         `json:"dry_run,omitempty"`
	Status    string       `json:"status,omitempty"` // running, done, stopped
	Error     *model.Error `json:"error,omitempty"`
	By        string       `json:"by,omitempty"`
	CreatedAt time.Time    `json:"created_at,omitzero"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`
	Apps      []RebaseApp  `json:"apps"`
}

// RebaseApp is one app of a rebase.
type RebaseApp struct {
	App     string `json:"app"`
	Release string `json:"release,omitempty"` // the wanted one, in a plan
	Step    string `json:"step"`              // waiting, building, rolling, done, unchanged, superseded, failed
	Build   string `json:"build,omitempty"`
	Base    string `json:"base,omitempty"` // name of the base image, in a plan
	From    string `json:"from,omitempty"` // the base's digest that the release stands on, in a plan
	To      string `json:"to,omitempty"`   // the one its name leads to now, in a plan; "": the builder finds out
	Note    string `json:"note,omitempty"`
}
