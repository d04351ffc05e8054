package api

import (
	"time"
)

// Instance is one container of an app.
type Instance struct {
	ID        string    `json:"id"`
	Slot      int       `json:"slot"`
	Role      string    `json:"role"`
	Release   string    `json:"release"`
	Node      string    `json:"node"`
	Phase     string    `json:"phase"`
	Stopping  bool      `json:"stopping"`
	Reason    string    `json:"reason,omitempty"`
	Ready     bool      `json:"ready"`
	Routed    bool      `json:"routed"`
	Addr      string    `json:"addr,omitempty"`
	Container string    `json:"container,omitempty"`
	Verdict   string    `json:"verdict,omitempty"` // the last probe in words
	Code      string    `json:"code,omitempty"`
	Message   string    `json:"message,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	StartedAt time.Time `json:"started_at,omitzero"`
}

// Instances answers GET /apps/{app}/instances: what runs, and which slots wait for what.
type Instances struct {
	Items   []Instance `json:"items"`
	Pending []Pending  `json:"pending"`
	State   string     `json:"state"`
}

// Pending is a slot without an instance, and why.
type Pending struct {
	Slot    int       `json:"slot"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
	NotTill time.Time `json:"not_till,omitzero"` // back-off
}
