package model

import "time"

// Identity is a certificate that the cluster's authority has signed, for a part of a
// role with a name; an agent's name is the id of its node.
type Identity struct {
	Serial    string
	Role      string
	Name      string
	IssuedAt  time.Time
	ExpiresAt time.Time
	RevokedAt time.Time // zero: good
}

// JoinToken is a token by which one part may join, as the database knows it.
type JoinToken struct {
	Hash      string // of its secret
	Role      string // of the part
	ExpiresAt time.Time
}
