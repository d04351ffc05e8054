package api

import (
	"time"
)

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
	Strategy    string      `json:"strategy"`             // by which the next release takes over, unless that one says otherwise; "" before the first
	Deployment  *Deployment `json:"deployment,omitempty"` // of the wanted release
	Warnings    []string    `json:"warnings,omitempty"`   // of a change that was taken and will not do what it says, in the answer to it alone
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

// Scale is the body of POST /apps/{app}/scale. Instances is a pointer so that a
// missing field is refused and never scales to zero.
type Scale struct {
	Generation int64 `json:"generation,omitempty"`
	Instances  *int  `json:"instances"`
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

// Domain is the body of POST /apps/{app}/domains, and a line of its list.
type Domain struct {
	Host string `json:"host"`
}
