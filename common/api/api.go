// Package api is the wire form of the REST API under /api/v1: what dash answers
// and the command line reads. Fields are only ever added. Times are RFC 3339,
// sizes say their unit in the name.
package api

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

// ErrorBody is the body of every answer that is not a success.
type ErrorBody struct {
	Error *model.Error `json:"error"`
}

// Page is one page of a list; Next is the value for ?after= (or ?before= where
// the newest come first), "" on the last.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// App is one app with its live state.
type App struct {
	Name        string      `json:"name"`
	URL         string      `json:"url"`
	Team        string      `json:"team"`
	Release     string      `json:"release"`   // wanted: "v3"; "" before the first
	Serving     string      `json:"serving"`   // the release that is kept up; differs while, or after, a deployment failed
	Instances   int         `json:"instances"` // wanted
	Ready       int         `json:"ready"`     // routed
	Paused      bool        `json:"paused"`
	Maintenance bool        `json:"maintenance"`
	Singleton   bool        `json:"singleton"`   // at most one instance, at any time
	Constraints []string    `json:"constraints"` // on nodes: zone==a, label==ssd, pool==big, per-node==1
	Generation  int64       `json:"generation"`
	State       string      `json:"state"` // one sentence
	Domains     []string    `json:"domains"`
	Runtime     string      `json:"runtime"`
	MemoryMiB   int64       `json:"memory_mib"`
	CPUMilli    int64       `json:"cpu_milli"`
	Port        int         `json:"port"`
	Health      string      `json:"health"`
	EnvNames    []string    `json:"env_names"`
	Deployment  *Deployment `json:"deployment,omitempty"` // of the wanted release
	CreatedAt   time.Time   `json:"created_at"`
	UpdatedAt   time.Time   `json:"updated_at"`
}

// CreateApp is the body of POST /apps.
type CreateApp struct {
	Name string `json:"name"`
	Team string `json:"team,omitempty"` // default: the caller's only team, or "default"
}

// EditApp is the body of PATCH /apps/{app}; nil fields stay. Generation is the one
// the caller saw; 0 takes any.
type EditApp struct {
	Generation  int64     `json:"generation,omitempty"`
	Instances   *int      `json:"instances,omitempty"`
	Paused      *bool     `json:"paused,omitempty"`
	Maintenance *bool     `json:"maintenance,omitempty"`
	Singleton   *bool     `json:"singleton,omitempty"`
	Constraints *[]string `json:"constraints,omitempty"` // all of them; [] drops them
	MemoryMiB   *int64    `json:"memory_mib,omitempty"`  // this and those below make a new release
	CPUMilli    *int64    `json:"cpu_milli,omitempty"`
	Port        *int      `json:"port,omitempty"`
	Health      *string   `json:"health,omitempty"`
	Note        string    `json:"note,omitempty"`
}

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

// Scale is the body of POST /apps/{app}/scale. Instances is a pointer so that a
// missing field is refused and never scales to zero.
type Scale struct {
	Generation int64 `json:"generation,omitempty"`
	Instances  *int  `json:"instances"`
}

// Release is one numbered content of an app.
type Release struct {
	Version    string      `json:"version"`
	Image      string      `json:"image"`
	Runtime    string      `json:"runtime"`
	Artifact   string      `json:"artifact,omitempty"`
	Build      string      `json:"build,omitempty"`
	Cause      string      `json:"cause"`
	Note       string      `json:"note"`
	MemoryMiB  int64       `json:"memory_mib"`
	CPUMilli   int64       `json:"cpu_milli"`
	Port       int         `json:"port"`
	Health     string      `json:"health"`
	EnvNames   []string    `json:"env_names"`
	CreatedBy  string      `json:"created_by"`
	CreatedAt  time.Time   `json:"created_at"`
	Wanted     bool        `json:"wanted"`
	Serving    bool        `json:"serving"`
	Deployment *Deployment `json:"deployment,omitempty"`
	Pinned     bool        `json:"pinned"`  // its image and artifact are kept for ever
	Removed    bool        `json:"removed"` // its image is gone: nobody can go back to it
}

// Collect asks for a garbage collection.
type Collect struct {
	DryRun bool `json:"dry_run"` // only tell what would be removed
}

// Collection answers POST /gc.
type Collection struct {
	DryRun  bool        `json:"dry_run"`
	Items   []Collected `json:"items"`                 // removed, or to be
	Bytes   int64       `json:"bytes"`                 // of what only they need
	Swept   *int64      `json:"swept_bytes,omitempty"` // freed on the disk of the embedded registry; others do that on their own
	Kept    int         `json:"kept"`                  // images and artifacts that stay
	Skipped []string    `json:"skipped,omitempty"`     // what was left alone this time, and why
}

// Collected is an image or artifact that goes.
type Collected struct {
	Kind     string   `json:"kind"` // image, artifact
	Name     string   `json:"name"` // repository@digest, or sha256
	App      string   `json:"app,omitempty"`
	Releases []string `json:"releases,omitempty"`
	Bytes    int64    `json:"bytes"` // that nothing else needs
}

// NewRebase asks for the rebuilding of a runtime's apps on its newest base image.
type NewRebase struct {
	Runtime string `json:"runtime"`
	App     string `json:"app,omitempty"`   // only this one
	Batch   int    `json:"batch,omitempty"` // apps under way at a time; 0: 3
	All     bool   `json:"all,omitempty"`   // apps that seem to be on the newest base, too
	DryRun  bool   `json:"dry_run,omitempty"`
}

// Rebase answers POST /rebases and GET /rebases/{id}.
type Rebase struct {
	ID        string       `json:"id,omitempty"` // "" when nothing was begun
	Runtime   string       `json:"runtime"`
	Batch     int          `json:"batch"`
	DryRun    bool         `json:"dry_run,omitempty"`
	Status    string       `json:"status,omitempty"` // running, done, stopped
	Error     *model.Error `json:"error,omitempty"`
	By        string       `json:"by,omitempty"`
	CreatedAt time.Time    `json:"created_at,omitzero"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`
	Apps      []RebaseApp  `json:"apps"`
}

// RebaseApp is one app of a rebase.
type RebaseApp struct {
	App     string `json:"app"`
	Release string `json:"release,omitempty"` // the wanted one, in a plan
	Step    string `json:"step"`              // waiting, building, rolling, done, unchanged, superseded, failed
	Build   string `json:"build,omitempty"`
	Base    string `json:"base,omitempty"` // name of the base image, in a plan
	From    string `json:"from,omitempty"` // the base's digest that the release stands on, in a plan
	To      string `json:"to,omitempty"`   // the one its name leads to now, in a plan; "": the builder finds out
	Note    string `json:"note,omitempty"`
}

// Deployment is the movement to a release.
type Deployment struct {
	Release   string       `json:"release"`
	From      string       `json:"from,omitempty"`
	Status    string       `json:"status"` // waiting, running, succeeded, failed, superseded
	Error     *model.Error `json:"error,omitempty"`
	StartedAt time.Time    `json:"started_at,omitzero"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`
}

// NewRelease is the body of POST /apps/{app}/releases: an existing image (which
// is copied in by a build), an artifact the platform has, or one to be fetched.
type NewRelease struct {
	Image    string `json:"image,omitempty"`
	Artifact string `json:"artifact,omitempty"` // sha256
	Filename string `json:"filename,omitempty"` // with Artifact
	Runtime  string `json:"runtime,omitempty"`
	URL      string `json:"url,omitempty"`    // the builder fetches the artifact from there
	SHA256   string `json:"sha256,omitempty"` // with URL: what the file must have; if the platform has it, nothing is fetched
	Job      string `json:"job,omitempty"`    // of CI: a name or address; it goes into the statement of provenance
	model.DeployRequest
}

// Rollback is the body of POST /apps/{app}/rollback; "" takes the last release
// before the wanted one that succeeded.
type Rollback struct {
	Version string `json:"version,omitempty"`
	Note    string `json:"note,omitempty"`
}

// Env is the body of GET and PUT /apps/{app}/env.
type Env struct {
	Env map[string]string `json:"env"`
}

// EditEnv is the body of PATCH /apps/{app}/env.
type EditEnv struct {
	Generation int64             `json:"generation,omitempty"`
	Set        map[string]string `json:"set,omitempty"`
	Unset      []string          `json:"unset,omitempty"`
}

// Deploy answers a deploy, and GET /builds/{id}/deploy tells how it goes on: all
// that a client needs to follow it to its end.
type Deploy struct {
	App        string       `json:"app"`
	URL        string       `json:"url"`
	Unchanged  bool         `json:"unchanged"` // the same content and settings serve already
	Build      *Build       `json:"build,omitempty"`
	Release    string       `json:"release,omitempty"` // once the build made it
	Deployment *Deployment  `json:"deployment,omitempty"`
	Done       bool         `json:"done"`
	OK         bool         `json:"ok"` // with Done: it serves
	Error      *model.Error `json:"error,omitempty"`
	Follow     string       `json:"follow"` // path of the event stream of this deploy
	State      string       `json:"state"`  // one sentence
	Instances  []Instance   `json:"instances,omitempty"`
}

// Build is artifact + runtime → image.
type Build struct {
	ID        string       `json:"id"`
	App       string       `json:"app"`
	Artifact  string       `json:"artifact,omitempty"`
	Filename  string       `json:"filename,omitempty"`
	Size      int64        `json:"size_bytes"`
	ImageRef  string       `json:"image_ref,omitempty"`
	Runtime   string       `json:"runtime"`
	Status    string       `json:"status"`
	Step      string       `json:"step,omitempty"`
	Image     string       `json:"image,omitempty"`
	Error     *model.Error `json:"error,omitempty"`
	Release   string       `json:"release,omitempty"`
	CreatedBy string       `json:"created_by"`
	CreatedAt time.Time    `json:"created_at"`
	StartedAt time.Time    `json:"started_at,omitzero"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`

	URL      string             `json:"url,omitempty"`  // the artifact came from there; without its query
	From     string             `json:"from,omitempty"` // address of the client
	Job      string             `json:"job,omitempty"`  // of CI, as the client named it
	Attempts int                `json:"attempts,omitempty"`
	Report   *model.BuildReport `json:"report,omitempty"` // of one build, once it has ended
}

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

// ComponentSearch answers GET /components?q=.
type ComponentSearch struct {
	Items   []FoundComponent `json:"items"`
	Unknown []string         `json:"unknown"` // apps of which is not known what they carry: images by reference, and artifacts built before bills were made
}

// FoundComponent is a package in an app that runs, or is wanted to.
type FoundComponent struct {
	App       string `json:"app"`
	Release   string `json:"release"`
	Instances int    `json:"instances"` // that run this release
	model.Component
}

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

// Instance is one container of an app.
type Instance struct {
	ID        string    `json:"id"`
	Slot      int       `json:"slot"`
	Role      string    `json:"role"`
	Release   string    `json:"release"`
	Node      string    `json:"node"`
	Phase     string    `json:"phase"`
	Stopping  bool      `json:"stopping"`
	Reason    string    `json:"reason,omitempty"`
	Ready     bool      `json:"ready"`
	Routed    bool      `json:"routed"`
	Addr      string    `json:"addr,omitempty"`
	Container string    `json:"container,omitempty"`
	Verdict   string    `json:"verdict,omitempty"` // the last probe in words
	Code      string    `json:"code,omitempty"`
	Message   string    `json:"message,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	StartedAt time.Time `json:"started_at,omitzero"`
}

// Instances answers GET /apps/{app}/instances: what runs, and which slots wait for what.
type Instances struct {
	Items   []Instance `json:"items"`
	Pending []Pending  `json:"pending"`
	State   string     `json:"state"`
}

// Pending is a slot without an instance, and why.
type Pending struct {
	Slot    int       `json:"slot"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
	NotTill time.Time `json:"not_till,omitzero"` // back-off
}

// Explain answers GET /apps/{app}/instances/{id}/explain and /apps/{app}/explain:
// why it is as it is, step by step.
type Explain struct {
	App   string        `json:"app"`
	State string        `json:"state"`
	Steps []ExplainStep `json:"steps"`
	Next  string        `json:"next,omitempty"` // the next command
}

// ExplainStep is one link of desired → placed → pulled → started → listening →
// healthy → routed; "stopping" stands at the end of an instance that is to go.
type ExplainStep struct {
	Instance    string       `json:"instance,omitempty"`
	Slot        int          `json:"slot"`
	Step        string       `json:"step"`
	OK          bool         `json:"ok"`
	Why         string       `json:"why,omitempty"` // a word for programs, such as no-room; docs/explain.md lists them
	Text        string       `json:"text"`
	At          time.Time    `json:"at,omitzero"` // when it was done, or since when it is as it is
	Code        string       `json:"code,omitempty"`
	Evidence    []string     `json:"evidence,omitempty"`
	Constraints []Constraint `json:"constraints,omitempty"` // all that exclude nodes
	Misses      []Miss       `json:"misses,omitempty"`      // the nodes that are nearest to fitting
	Next        string       `json:"next,omitempty"`
}

// Constraint is how many nodes something excludes. Only counts those that would
// fit but for it.
type Constraint struct {
	Why   string `json:"why"`
	Nodes int    `json:"nodes"`
	Only  int    `json:"only"`
}

// Miss is a node that almost fits.
type Miss struct {
	Node string `json:"node"`
	Text string `json:"text"`
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

// Node is a Docker host.
type Node struct {
	ID                string    `json:"id"`
	Name              string    `json:"name"`
	Address           string    `json:"address"`
	Zone              string    `json:"zone,omitempty"`
	Pool              string    `json:"pool,omitempty"`
	Labels            []string  `json:"labels,omitempty"`
	Connected         bool      `json:"connected"`
	Status            string    `json:"status"`
	Availability      string    `json:"availability"`
	MemoryMiB         int64     `json:"memory_mib"`
	MemoryReservedMiB int64     `json:"memory_reserved_mib"`
	CPUMilli          int64     `json:"cpu_milli"`
	CPUReservedMilli  int64     `json:"cpu_reserved_milli"`
	Instances         int       `json:"instances"`
	HeardAt           time.Time `json:"heard_at,omitzero"`
	Message           string    `json:"message,omitempty"`
	Version           string    `json:"version,omitempty"`
	Docker            string    `json:"docker,omitempty"`
}

// EditNode is the body of PATCH /nodes/{node}.
type EditNode struct {
	Availability string `json:"availability"` // active, cordoned, draining
}

// Pool is how nodes of one name are filled, and the body of PUT /pools/{pool}.
type Pool struct {
	Name   string `json:"name"`
	Policy string `json:"policy"` // spread or binpack
	Nodes  int    `json:"nodes"`
}

// Router is one router as it last reported.
type Router struct {
	ID       string    `json:"id"`
	Addr     string    `json:"addr"`
	Serves   string    `json:"serves"`
	Live     bool      `json:"live"`
	At       time.Time `json:"at"`
	Requests uint64    `json:"requests"`
	Errors   uint64    `json:"errors"`
}

// Nodes answers GET /nodes.
type Nodes struct {
	Items   []Node   `json:"items"`
	Routers []Router `json:"routers"`
	Leader  string   `json:"leader"`
	Epoch   int64    `json:"epoch"`

	Survival *Survival `json:"survival,omitempty"` // nil when no server leads
	// SafeMode is why the leader changes nothing; "": it works.
	SafeMode string `json:"safe_mode,omitempty"`
}

// Survival is the standing answer: does the cluster survive the loss of any one node?
type Survival struct {
	Survives        bool      `json:"survives"` // the others have room for what is on each
	Complete        bool      `json:"complete"` // all nodes were looked at
	Looked          int       `json:"looked"`
	Nodes           int       `json:"nodes"` // that have instances
	Text            string    `json:"text"`
	Because         []string  `json:"because,omitempty"`
	Interrupted     []string  `json:"interrupted,omitempty"` // apps that would not answer until they are replaced, some of them
	InterruptedApps int       `json:"interrupted_apps"`
	At              time.Time `json:"at"`
}

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

// Domain is the body of POST /apps/{app}/domains, and a line of its list.
type Domain struct {
	Host string `json:"host"`
}

// Artifact answers HEAD and GET /artifacts/{sha256}, and a finished upload.
type Artifact struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size_bytes"`
}

// Version answers GET /version, without a login.
type Version struct {
	Version string `json:"version"`
	Domain  string `json:"domain"` // apps answer on <app>.<domain>
	URL     string `json:"url"`    // with %s for the app: http://%s.apps.localhost:8080/
}

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
