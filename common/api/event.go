package api

import (
	"time"
)

// LogLine is one line of a build's or an app's log.
type LogLine struct {
	Seq      int64     `json:"seq,omitempty"` // of a build's log
	At       time.Time `json:"at"`
	Text     string    `json:"text"`
	Instance string    `json:"instance,omitempty"`
	Slot     int       `json:"slot,omitempty"`
	Release  string    `json:"release,omitempty"`
	Stderr   bool      `json:"stderr,omitempty"`
}

// Event is one line of the audit log and activity feed.
type Event struct {
	ID      string    `json:"id"` // decimal text: it does not fit a JavaScript number
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	From    string    `json:"from,omitempty"`
	Verb    string    `json:"verb"`
	App     string    `json:"app,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Message string    `json:"message"`
	Outcome string    `json:"outcome"`
	Detail  any       `json:"detail,omitempty"`
}
