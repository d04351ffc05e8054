package api

import "time"

// SafeMode answers GET /safe-mode: whether the leader changes nothing because the
// database is older than what runs, and what it would do if it believed it.
type SafeMode struct {
	On     bool          `json:"on"`
	Since  time.Time     `json:"since,omitzero"`
	Reason string        `json:"reason,omitempty"`
	Apps   []SafeModeApp `json:"apps"`            // of which something would change
	Notes  []string      `json:"notes,omitempty"` // what else would, and what is not known
}

// SafeModeApp is what would be done for one app.
type SafeModeApp struct {
	Name    string `json:"name"`           // its host, when Lost
	Start   int    `json:"start"`          // instances to be started
	Stop    int    `json:"stop"`           // instances that the database knows, to be stopped
	Unknown int    `json:"unknown"`        // instances that it does not know, to be stopped once others serve
	Lost    bool   `json:"lost,omitempty"` // the database does not know the app: it would stop answering
}
