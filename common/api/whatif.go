package api

// WhatIf answers GET /whatif: what a change would bring, which is not made.
type WhatIf struct {
	Fits        bool     `json:"fits"`
	Text        string   `json:"text"`
	Moves       []Move   `json:"moves"` // the first thousand of Moved
	Moved       int      `json:"moved"`
	Misfits     []Misfit `json:"misfits"` // the first hundred of LeftOut
	LeftOut     int      `json:"left_out"`
	Notes       []string `json:"notes,omitempty"`
	Before      Headroom `json:"before"`
	After       Headroom `json:"after"`
	Interrupted []string `json:"interrupted,omitempty"` // apps that would not answer until they are replaced
}

// Move is one instance that would be placed. From is the node of the one it
// replaces; "" when it is new.
type Move struct {
	App     string `json:"app"`
	Slot    int    `json:"slot"`
	Release string `json:"release"`
	From    string `json:"from,omitempty"`
	To      string `json:"to"`
}

// Misfit is a slot that would find no room, or would not be moved.
type Misfit struct {
	App      string   `json:"app"`
	Slot     int      `json:"slot"`
	Code     string   `json:"code"`
	Message  string   `json:"message"`
	Evidence []string `json:"evidence,omitempty"`
	Next     string   `json:"next,omitempty"`
}

// Headroom is the room on nodes that take instances.
type Headroom struct {
	Nodes      int   `json:"nodes"`
	MemoryMiB  int64 `json:"memory_mib"`
	FreeMiB    int64 `json:"free_mib"`
	LargestMiB int64 `json:"largest_mib"` // free on the node with most room
	FreeMilli  int64 `json:"free_cpu_milli"`
	More       int   `json:"more,omitempty"` // instances like the one asked about that would still fit, at most 1000
}
