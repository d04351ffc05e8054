package api

import (
	"time"
)

// Explain answers GET /apps/{app}/instances/{id}/explain and /apps/{app}/explain:
// why it is as it is, step by step.
type Explain struct {
	App   string        `json:"app"`
	State string        `json:"state"`
	Steps []ExplainStep `json:"steps"`
	Next  string        `json:"next,omitempty"` // the next command
}

// ExplainStep is one link of desired → placed → pulled → started → listening →
// healthy → routed; "stopping" stands at the end of an instance that is to go.
type ExplainStep struct {
	Instance    string       `json:"instance,omitempty"`
	Slot        int          `json:"slot"`
	Step        string       `json:"step"`
	OK          bool         `json:"ok"`
	Why         string       `json:"why,omitempty"` // a word for programs, such as no-room; docs/explain.md lists them
	Text        string       `json:"text"`
	At          time.Time    `json:"at,omitzero"` // when it was done, or since when it is as it is
	Code        string       `json:"code,omitempty"`
	Evidence    []string     `json:"evidence,omitempty"`
	Constraints []Constraint `json:"constraints,omitempty"` // all that exclude nodes
	Misses      []Miss       `json:"misses,omitempty"`      // the nodes that are nearest to fitting
	Next        string       `json:"next,omitempty"`
}

// Constraint is how many nodes something excludes. Only counts those that would
// fit but for it.
type Constraint struct {
	Why   string `json:"why"`
	Nodes int    `json:"nodes"`
	Only  int    `json:"only"`
}

// Miss is a node that almost fits.
type Miss struct {
	Node string `json:"node"`
	Text string `json:"text"`
}
