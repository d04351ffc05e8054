// Package policy says who may do what: one pure table of actions and roles. Dash
// asks it before every use case, for pages and API alike. It must never read a
// database, a clock or a request.
package policy

import "github.com/dinp/dinp/common/model"

// Action is something a person wants to do.
type Action string

// The actions on what a team owns.
const (
	ViewApp    Action = "see apps"
	CreateApp  Action = "create apps"
	Deploy     Action = "deploy" // also roll back, restart, cancel a build
	ViewEnv    Action = "read environment variables"
	EditEnv    Action = "change environment variables"
	Scale      Action = "scale apps"
	Configure  Action = "change an app's settings" // memory, CPU, port, health, maintenance, pause
	EditDomain Action = "bind and unbind domains"
	DeleteApp  Action = "delete apps"
	EditTeam   Action = "change a team's members"
	ViewTeam   Action = "see a team"
)

// The actions on the platform; they concern no team.
const (
	ViewNodes  Action = "see nodes"
	EditNodes  Action = "change nodes"
	ViewUsers  Action = "see all users"
	EditUsers  Action = "create and remove users"
	CreateTeam Action = "create teams"
	ViewAudit  Action = "read the audit log"
	OwnTokens  Action = "manage one's own tokens"

	EditCertificates Action = "change certificates of no app's own host"
	CollectGarbage   Action = "remove old images from the registry"

	// UndeleteApp takes back what an owner did, for whom a deleted app is out of sight.
	UndeleteApp Action = "bring deleted apps back"
)

// rank orders the team roles: each includes those below it.
var rank = map[model.TeamRole]int{model.Viewer: 1, model.Deployer: 2, model.Operator: 3, model.Owner: 4}

// needs is the least role in the team that an action asks for.
var needs = map[Action]model.TeamRole{
	ViewApp:    model.Viewer,
	ViewTeam:   model.Viewer,
	CreateApp:  model.Deployer,
	Deploy:     model.Deployer,
	ViewEnv:    model.Deployer, // values may be secrets; viewers see the names
	EditEnv:    model.Deployer,
	Scale:      model.Operator,
	Configure:  model.Operator,
	EditDomain: model.Operator,
	DeleteApp:  model.Owner,
	EditTeam:   model.Owner,
}

// everybody are the platform actions that need no more than a login; the rest
// of them are for admins.
var everybody = map[Action]bool{ViewNodes: true, OwnTokens: true}

// Can reports whether actor may do action to something of the team; teamID is
// "" for actions on the platform. Whatever is not in the tables is refused.
func Can(actor model.Actor, action Action, teamID string) bool {
	if actor.UserID == "" {
		return false
	}
	if actor.Role == model.Admin {
		return true
	}
	if least, ok := needs[action]; ok {
		return rank[actor.Teams[teamID]] >= rank[least]
	}
	return everybody[action]
}

// CanSomewhere reports whether actor may do a team's action in any team.
func CanSomewhere(actor model.Actor, action Action) bool {
	if Can(actor, action, "") {
		return true
	}
	for id := range actor.Teams {
		if Can(actor, action, id) {
			return true
		}
	}
	return false
}

// Needs names the role that action asks for, for messages: a team role, or admin.
func Needs(action Action) string {
	if least, ok := needs[action]; ok {
		return string(least)
	}
	return string(model.Admin)
}
