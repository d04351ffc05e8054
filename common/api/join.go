package api

import "time"

// NewJoinToken is the body of POST /join-tokens.
type NewJoinToken struct {
	Role    string `json:"role,omitempty"`    // agent (default) or hm
	Minutes int    `json:"minutes,omitempty"` // until it expires; default 15, at most a day
}

// JoinToken lets one part join the cluster, once. It is shown when it is made,
// and never again.
type JoinToken struct {
	Token     string    `json:"token"`
	Role      string    `json:"role"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Identity is a certificate by which a part is known to the cluster.
type Identity struct {
	Serial    string    `json:"serial"`
	Role      string    `json:"role"`
	Name      string    `json:"name"`           // an agent's is the ID of its node
	Node      string    `json:"node,omitempty"` // an agent's: the name of its node
	IssuedAt  time.Time `json:"issued_at"`
	ExpiresAt time.Time `json:"expires_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Revoked is the answer to DELETE /identities/{name}.
type Revoked struct {
	Name         string `json:"name"`
	Certificates int64  `json:"certificates"` // so many were good until now
}
