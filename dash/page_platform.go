package dash

import (
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/dash/view"
)

// Pages about the platform and its people rather than about one app.

func (d *Dash) nodesPage(c *gin.Context) { d.showNodes(c, nil) }

func (d *Dash) showNodes(c *gin.Context, problem error) {
	p, err := d.nodesData(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	d.show(c, "nodes", p, problem)
}

func (d *Dash) nodesData(c *gin.Context) (*view.Page, error) {
	nodes, err := d.Nodes(c.Request.Context(), actorOf(c))
	if err != nil {
		return nil, err
	}
	data := view.Nodes{Nodes: nodes}
	q := WhatIfQuery{Drain: c.Query("drain"), Lose: c.Query("lose"), LoseZone: c.Query("lose_zone")}
	if q.asked() > 0 {
		a, err := d.WhatIf(c.Request.Context(), actorOf(c), q)
		if err != nil {
			return nil, err
		}
		data.WhatIf = &a
	}
	p := d.newPage(c, "/nodes", text(c, "nodes.title"), data)
	p.Live = "/live/nodes"
	return p, nil
}

func (d *Dash) availabilityForm(c *gin.Context) {
	n, err := d.EditNode(c.Request.Context(), actorOf(c), c.Param("node"), api.EditNode{Availability: c.PostForm("availability")})
	if err != nil {
		d.showNodes(c, err)
		return
	}
	d.done(c, "/nodes", "flash.node", n.Name, n.Availability)
}

func (d *Dash) peoplePage(c *gin.Context) { d.showPeople(c, "", nil) }

func (d *Dash) showPeople(c *gin.Context, newUser string, problem error) {
	ctx, actor := c.Request.Context(), actorOf(c)
	users, err := d.Users(ctx, actor)
	if err != nil {
		d.fail(c, err)
		return
	}
	teams, err := d.Teams(ctx, actor)
	if err != nil {
		d.fail(c, err)
		return
	}
	data := view.People{
		Users: users.Items, Teams: teams.Items, NewUser: newUser, CanEdit: policy.CanSomewhere(actor, policy.EditTeam),
		Roles: []model.TeamRole{model.Viewer, model.Deployer, model.Operator, model.Owner},
	}
	d.show(c, "people", d.newPage(c, "/people", text(c, "people.title"), data), problem)
}

func (d *Dash) userForm(c *gin.Context) {
	in := api.NewUser{Name: c.PostForm("name"), Password: c.PostForm("password"), Role: c.PostForm("role")}
	if _, err := d.CreateUser(c.Request.Context(), actorOf(c), in); err != nil {
		d.showPeople(c, in.Name, err)
		return
	}
	d.done(c, "/people", "flash.user", in.Name)
}

func (d *Dash) teamForm(c *gin.Context) {
	in := api.NewTeam{Name: c.PostForm("name")}
	if _, err := d.CreateTeam(c.Request.Context(), actorOf(c), in); err != nil {
		d.showPeople(c, "", err)
		return
	}
	d.done(c, "/people", "flash.team", in.Name)
}

func (d *Dash) memberForm(c *gin.Context) {
	team, user, role := c.PostForm("team"), c.PostForm("user"), c.PostForm("role")
	if err := d.SetMember(c.Request.Context(), actorOf(c), team, user, role); err != nil {
		d.showPeople(c, "", err)
		return
	}
	if role == "" {
		d.done(c, "/people", "flash.removed", user, team)
		return
	}
	d.done(c, "/people", "flash.role", user, text(c, "role."+role), team)
}

func (d *Dash) tokensPage(c *gin.Context) { d.showTokens(c, nil, nil) }

func (d *Dash) showTokens(c *gin.Context, made *api.Token, problem error) {
	list, err := d.Tokens(c.Request.Context(), actorOf(c))
	if err != nil {
		d.fail(c, err)
		return
	}
	p := d.newPage(c, "/tokens", text(c, "tokens.title"), view.Tokens{Tokens: list.Items, Made: made})
	p.Path = "/tokens"
	d.show(c, "tokens", p, problem)
}

// tokenForm answers with the page itself instead of a redirect: the secret is
// shown in this answer and stands nowhere else.
func (d *Dash) tokenForm(c *gin.Context) {
	days, err := strconv.Atoi(c.PostForm("days"))
	if err != nil {
		d.showTokens(c, nil, model.E(model.CodeBadRequest, "days is not a number"))
		return
	}
	made, err := d.CreateToken(c.Request.Context(), actorOf(c), api.NewToken{Name: c.PostForm("name"), Days: days})
	if err != nil {
		d.showTokens(c, nil, err)
		return
	}
	d.showTokens(c, &made, nil)
}

func (d *Dash) revokeForm(c *gin.Context) {
	if err := d.DeleteToken(c.Request.Context(), actorOf(c), c.Param("token")); err != nil {
		d.showTokens(c, nil, err)
		return
	}
	d.done(c, "/tokens", "flash.revoked")
}

func (d *Dash) auditPage(c *gin.Context) {
	list, err := d.Audit(c.Request.Context(), actorOf(c), EventQuery{Before: c.Query("before")})
	if err != nil {
		d.fail(c, err)
		return
	}
	d.show(c, "audit", d.newPage(c, "/audit", text(c, "audit.title"), view.Audit{Events: list.Items, Next: list.Next}), nil)
}
