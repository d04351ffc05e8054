package api

import "github.com/dinp/dinp/common/model"

// ComponentSearch answers GET /components?q=.
type ComponentSearch struct {
	Items   []FoundComponent `json:"items"`
	Unknown []string         `json:"unknown"` // apps of which is not known what they carry: images by reference, and artifacts built before bills were made
}

// FoundComponent is a package in an app that runs, or is wanted to.
type FoundComponent struct {
	App       string `json:"app"`
	Release   string `json:"release"`
	Instances int    `json:"instances"` // that run this release
	model.Component
}
