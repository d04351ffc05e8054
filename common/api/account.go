package api

import (
	"time"
)

// Login is the body of POST /login; its answer is a new Token.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
	Name     string `json:"name,omitempty"` // of the token; default "cli"
}

// Token is a bearer token; Secret is shown once, when it is made.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Secret    string    `json:"secret,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UsedAt    time.Time `json:"used_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// NewToken is the body of POST /tokens; Days 0 never expires.
type NewToken struct {
	Name string `json:"name"`
	Days int    `json:"days,omitempty"`
}

// User is a person or machine that logs in.
type User struct {
	Name      string            `json:"name"`
	Role      string            `json:"role"`
	Teams     map[string]string `json:"teams"` // team name → role
	CreatedAt time.Time         `json:"created_at"`
}

// NewUser is the body of POST /users.
type NewUser struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Role     string `json:"role,omitempty"` // member (default) or admin
}

// Team owns apps.
type Team struct {
	Name    string            `json:"name"`
	Members map[string]string `json:"members"` // user name → role
}

// NewTeam is the body of POST /teams.
type NewTeam struct {
	Name string `json:"name"`
}

// Member is the body of PUT /teams/{team}/members/{user}.
type Member struct {
	Role string `json:"role"`
}
