package api

import (
	"time"
)

// Certificate is a line of GET /certificates: what routers answer HTTPS with
// for one name. The key is told to nobody.
type Certificate struct {
	Host     string    `json:"host"`                // perhaps with "*." in front
	Source   string    `json:"source"`              // upload or acme
	State    string    `json:"state"`               // in use, waiting, failing or expired
	Issuer   string    `json:"issuer,omitempty"`    //
	NotAfter time.Time `json:"not_after,omitzero"`  //
	Failure  string    `json:"failure,omitempty"`   // of the last attempt to have it issued
	TryAt    time.Time `json:"next_try,omitzero"`   // when it will be asked for (again)
	Updated  time.Time `json:"updated_at,omitzero"` //
}

// PutCertificate is the body of PUT /certificates/{host}: a chain and its key,
// or the wish that an authority issues one.
type PutCertificate struct {
	Chain string `json:"chain,omitempty"` // PEM, the leaf first
	Key   string `json:"key,omitempty"`   // PEM
	ACME  bool   `json:"acme,omitempty"`  // have it issued and renewed
}
