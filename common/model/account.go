package model

import "time"

// GlobalRole is a user's right over the whole platform.
type GlobalRole string

// The global roles.
const (
	Member GlobalRole = "member" // rights come from teams
	Admin  GlobalRole = "admin"
)

// TeamRole is a user's right over a team's apps. Each includes those before it.
type TeamRole string

// The team roles.
const (
	Viewer   TeamRole = "viewer"
	Deployer TeamRole = "deployer"
	Operator TeamRole = "operator"
	Owner    TeamRole = "owner"
)

// User is a person or a machine that logs in.
type User struct {
	ID           string
	Name         string // lower case, unique
	PasswordHash string // PHC string of argon2id; never leaves dash
	Role         GlobalRole
	CreatedAt    time.Time
}

// Team owns apps.
type Team struct {
	ID        string
	Name      string
	CreatedAt time.Time
}

// Token is a bearer token; only its SHA-256 is stored.
type Token struct {
	ID        string
	UserID    string
	Name      string // what it is for
	Hash      string // hex SHA-256 of the secret
	CreatedAt time.Time
	UsedAt    time.Time
	ExpiresAt time.Time // zero: never
}

// Session is a browser's login; only the SHA-256 of its cookie is stored.
type Session struct {
	Hash      string
	UserID    string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Actor is who does something, for rights and for the audit log.
type Actor struct {
	UserID string
	Name   string
	Role   GlobalRole
	Teams  map[string]TeamRole // by team ID
	From   string              // address it came from
}

// Event is one line of the append-only audit log and activity feed.
type Event struct {
	ID      int64
	At      time.Time
	Actor   string // user name, or "server", "builder"
	From    string // client address; "" for the platform itself
	Verb    string // "app.scale", "instance.gone", …
	AppID   string // "" when not about an app
	AppName string
	Subject string // what it was done to: release v3, instance uuid, node name
	Message string // one sentence for people, with numbers
	Detail  string // JSON: before and after, evidence; never a secret
	Outcome string // "ok", or an error code
}
