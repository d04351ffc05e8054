package policy

import (
	"testing"

	"github.com/dinp/dinp/common/model"
)

// want says, for every action, which of viewer, deployer, operator, owner of the
// team, a stranger to the team, and admin may do it.
var want = map[Action]string{
	ViewApp:    "VDOW-A",
	ViewTeam:   "VDOW-A",
	CreateApp:  "-DOW-A",
	Deploy:     "-DOW-A",
	ViewEnv:    "-DOW-A",
	EditEnv:    "-DOW-A",
	Scale:      "--OW-A",
	Configure:  "--OW-A",
	EditDomain: "--OW-A",
	DeleteApp:  "---W-A",
	EditTeam:   "---W-A",
	ViewNodes:  "VDOWSA",
	OwnTokens:  "VDOWSA",
	EditNodes:  "-----A",
	ViewUsers:  "-----A",
	EditUsers:  "-----A",
	CreateTeam: "-----A",
	ViewAudit:  "-----A",

	UndeleteApp:      "-----A",
	CollectGarbage:   "-----A",
	EditCertificates: "-----A",
}

func TestCan_EveryActionAndRole(t *testing.T) {
	t.Parallel()
	member := func(team string, role model.TeamRole) model.Actor {
		return model.Actor{UserID: "u", Role: model.Member, Teams: map[string]model.TeamRole{team: role}}
	}
	actors := []model.Actor{
		member("t", model.Viewer), member("t", model.Deployer), member("t", model.Operator), member("t", model.Owner),
		member("other", model.Owner), {UserID: "a", Role: model.Admin},
	}
	for action, row := range want {
		for i, actor := range actors {
			if got := Can(actor, action, "t"); got != (row[i] != '-') {
				t.Errorf("%s by actor %d of %q: got %v", action, i, row, got)
			}
		}
	}
	if len(want) != len(needs)+len(everybody)+8 {
		t.Errorf("the table has %d actions, the policy %d of teams and %d for everybody and 8 for admins", len(want), len(needs), len(everybody))
	}
}

func TestCan_NobodyAndUnknownActionsAreRefused(t *testing.T) {
	t.Parallel()
	for action := range want {
		if Can(model.Actor{Role: model.Admin}, action, "t") {
			t.Errorf("%s: allowed without a user", action)
		}
	}
	owner := model.Actor{UserID: "u", Role: model.Member, Teams: map[string]model.TeamRole{"t": model.Owner, "": model.Owner}}
	if Can(owner, "something new", "t") {
		t.Error("an action that is in no table was allowed")
	}
	if Can(model.Actor{UserID: "u", Role: model.Member, Teams: map[string]model.TeamRole{"t": "boss"}}, ViewApp, "t") {
		t.Error("a role that is in no table was obeyed")
	}
	if Needs(Scale) != "operator" || Needs(EditNodes) != "admin" {
		t.Errorf("Needs: got %q and %q", Needs(Scale), Needs(EditNodes))
	}
}
