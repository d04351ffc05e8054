package api

import "github.com/dinp/dinp/common/model"

// Verification answers GET /builds/{id}/verify.
type Verification struct {
	Build  string  `json:"build"`
	OK     bool    `json:"ok"`
	Image  string  `json:"image"`
	KeyID  string  `json:"key_id,omitempty"`
	Signer string  `json:"signer,omitempty"` // builder that has the key
	Checks []Check `json:"checks"`
}

// Check is one thing that was compared.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// Signers answers GET /signers: the keys that builders sign statements of provenance with.
type Signers struct {
	Items []model.Signer `json:"items"`
}
