package api

import "github.com/dinp/dinp/common/model"

// Routing is how routers treat an app's requests. The users of basic_auth come
// without the hashes of their passwords.
type Routing struct {
	Generation int64         `json:"generation"` // of the app
	Settings   model.Routing `json:"settings"`
}

// EditRouting is the body of PATCH /apps/{app}/routing. Settings are as in Routing;
// those not named stay, null takes one back to its default. Generation is the one
// the caller saw; 0 takes any.
type EditRouting struct {
	Generation int64             `json:"generation,omitempty"`
	Settings   map[string]any    `json:"settings,omitempty"`
	Passwords  map[string]string `json:"passwords,omitempty"` // of users of basic_auth, in clear; "" takes the user away
}
