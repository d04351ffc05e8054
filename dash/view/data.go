package view

import (
	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// Login is the data of the page login.
type Login struct {
	Next string // where to go afterwards
	User string // as typed before
}

// Drop is the data of the deploy form. App is "" where a new app is made.
type Drop struct {
	App      string
	Suffix   string // what follows the name in the app's address
	Runtimes []string
	Teams    []string // to choose from; empty when there is no choice
}

// Keep is a field's hint: the default for a new app; an app that has releases
// keeps its last one's value.
func (d Drop) Keep(value string) string {
	if d.App != "" {
		return ""
	}
	return value
}

// Apps is the data of the page apps. Drop is nil for those who may not deploy.
type Apps struct {
	Apps []api.App
	Next string
	Drop *Drop
}

// Deploying is the data of the page deploy.
type Deploying struct {
	Deploy    api.Deploy
	Log       []api.LogLine
	CanCancel bool
}

// Rollout are the deploy's instances as the instance table takes them.
func (d Deploying) Rollout() api.Instances { return api.Instances{Items: d.Deploy.Instances} }

// Can is what the reader of an app's page may do to it; it only hides what would
// be refused.
type Can struct {
	Deploy, Env, Scale, Configure, Domain, Delete bool
}

// App is what all pages of one app share. Can and Tab are the frame; the rest is
// filled in by the page that needs it.
type App struct {
	App        api.App
	Tab        string // "", "deploy", "releases", …
	Can        Can
	Instances  api.Instances
	Explain    api.Explain
	Traffic    *api.Traffic // nil when no server leads
	Releases   []api.Release
	Drop       *Drop
	Domains    []api.Domain
	Host       string // as typed into the domain form
	Events     []api.Event
	Log        []api.LogLine
	Instance   string // whose log is shown; "" all
	Next       string
	Generation int64 // that the form's values come from

	Shown bool     // values of env are on the page
	Rows  []EnvRow // what is set
	New   []EnvRow // the empty rows, or what was typed into them

	Form    Settings
	Routing Routing
}

// Why are the steps that are not done.
func (a App) Why() (out []api.ExplainStep) {
	for _, s := range a.Explain.Steps {
		if !s.OK {
			out = append(out, s)
		}
	}
	return out
}

// EnvRow is one environment variable.
type EnvRow struct {
	Name  string
	Value string
}

// Settings are the values of the settings form, as text, so that what was typed
// wrongly comes back to be corrected.
type Settings struct {
	Memory, CPU, Port, Health, Note string
}

// Tabs are the pages of an app.
func (a App) Tabs() []Link {
	var out []Link
	for _, tab := range []string{"", "deploy", "releases", "env", "domains", "routing", "logs", "events", "settings"} {
		l := Link{Path: "/apps/" + a.App.Name, Key: "tab.overview", Here: tab == a.Tab}
		if tab != "" {
			l.Path, l.Key = l.Path+"/"+tab, "tab."+tab
		}
		if tab != "deploy" || a.Can.Deploy {
			out = append(out, l)
		}
	}
	return out
}

// Builds is the data of the page builds.
type Builds struct {
	Builds []api.Build
	Next   string
}

// Build is the data of the page build.
type Build struct {
	Build     api.Build
	Log       []api.LogLine
	CanCancel bool
}

// Rebases is the data of the page rebases. Chosen is the runtime as typed before.
type Rebases struct {
	Rebases         []api.Rebase
	Next            string
	Runtimes        []string // to choose from; an operator's own may be typed
	Chosen          string
	Batch, MaxBatch int
	CanBegin        bool
}

// Rebase is the data of the page rebase.
type Rebase struct {
	Rebase  api.Rebase
	CanStop bool
}

// Nodes is the data of the page nodes.
type Nodes struct {
	Nodes  api.Nodes
	WhatIf *api.WhatIf // the answer to what was asked; nil when nothing was
}

// People is the data of the page people. Users is empty for those who are no admins.
type People struct {
	Users   []api.User
	Teams   []api.Team
	Roles   []model.TeamRole
	NewUser string // as typed before
	CanEdit bool   // may set roles in some team
}

// Tokens is the data of the page tokens. Made is the new one, with its secret.
type Tokens struct {
	Tokens []api.Token
	Made   *api.Token
}

// Audit is the data of the page audit.
type Audit struct {
	Events []api.Event
	Next   string
}

// Feed are events as the feed draws them.
type Feed struct {
	Items   []api.Event
	ShowApp bool
}

func newFeed(events []api.Event, showApp bool) Feed { return Feed{Items: events, ShowApp: showApp} }
