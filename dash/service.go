package dash

import (
	"context"
	"fmt"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
)

// Sizes of a page of a list.
const (
	defaultPage = 100
	maxPage     = 500
)

// pageSize is how many items to list for a wish of n.
func pageSize(n int) int {
	if n <= 0 {
		return defaultPage
	}
	return min(n, maxPage)
}

// pageOf cuts a list that was read one longer than the page, and says where the
// next begins.
func pageOf[T any](items []T, n int, key func(T) string) api.Page[T] {
	p := api.Page[T]{Items: items}
	if p.Items == nil {
		p.Items = []T{} // [] in JSON, not null
	}
	if len(items) > n {
		p.Items = items[:n]
		p.Next = key(items[n-1])
	}
	return p
}

// appFor finds an app for an action. An app of a team one may not see answers
// as if it did not exist.
func (d *Dash) appFor(ctx context.Context, actor model.Actor, name string, action policy.Action) (model.App, error) {
	app, err := d.store.App(ctx, name)
	if err != nil {
		return app, err
	}
	if !policy.Can(actor, policy.ViewApp, app.TeamID) {
		return model.App{}, noApp(name)
	}
	return app, d.may(ctx, actor, action, app.TeamID, app)
}

func noApp(name string) error {
	return model.E(model.CodeNotFound, "there is no app %q", name).WithNext("dinp apps lists them")
}

// may refuses an action that policy does not allow, and records the refusal:
// who tried what belongs in the audit log as much as what was done.
func (d *Dash) may(ctx context.Context, actor model.Actor, action policy.Action, teamID string, app model.App) error {
	if policy.Can(actor, action, teamID) {
		return nil
	}
	if actor.UserID == "" {
		return model.E(model.CodeUnauthentic, "this needs a login")
	}
	e := model.E(model.CodeDenied, "user %s may not %s: that needs the role %s", actor.Name, action, policy.Needs(action)).
		WithNext("ask an owner of the team, or an admin, for the role")
	err := d.store.AddEvent(ctx, model.Event{
		Actor: actor.Name, From: actor.From, Verb: "denied", AppID: app.ID, AppName: app.Name, Subject: string(action),
		Message: fmt.Sprintf("%s was refused to %s", actor.Name, action), Outcome: string(e.Code),
	})
	if err != nil {
		d.log.Error("refusal not recorded", "err", err)
	}
	return e
}

// mayPlatform is may for actions that concern no team.
func (d *Dash) mayPlatform(ctx context.Context, actor model.Actor, action policy.Action) error {
	return d.may(ctx, actor, action, "", model.App{})
}
