package dash

import (
	"context"
	"errors"
	"maps"
	"slices"

	"golang.org/x/crypto/bcrypt"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// visitorCost is that of the passwords by which visitors open an app: about
// 50 ms, which the router spends once for each that it does not know yet.
const visitorCost = 10

// Routing tells how routers treat an app's requests.
func (d *Dash) Routing(ctx context.Context, actor model.Actor, name string) (api.Routing, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.Routing{}, err
	}
	return shownRouting(app)
}

func shownRouting(app model.App) (api.Routing, error) {
	r, err := app.Routing.Routing()
	return api.Routing{Generation: app.Generation, Settings: r.Shown()}, err
}

// EditRouting changes how routers treat an app's requests. It makes no release.
func (d *Dash) EditRouting(ctx context.Context, actor model.Actor, name string, in api.EditRouting) (api.Routing, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.Routing{}, err
	}
	if err := d.may(ctx, actor, policy.Configure, app.TeamID, app); err != nil {
		return api.Routing{}, err
	}
	if len(in.Settings)+len(in.Passwords) == 0 {
		return api.Routing{}, model.E(model.CodeBadRequest, "nothing to change: the body names no setting").WithNext("dinp routing --help lists them")
	}
	hashes, err := d.hashVisitors(ctx, in.Passwords)
	if err != nil {
		return api.Routing{}, err
	}
	edit := store.AppEdit{Routing: func(is model.RoutingText) (model.RoutingText, error) { return editRouting(is, in.Settings, hashes) }}
	if app, err = d.store.EditApp(ctx, app.ID, in.Generation, edit, actor); err != nil {
		return api.Routing{}, err
	}
	d.leader.nudge(ctx, false, app.ID)
	return shownRouting(app)
}

// editRouting is the change itself, without any effect.
func editRouting(is model.RoutingText, changes map[string]any, hashes map[string]string) (model.RoutingText, error) {
	old, err := is.Routing()
	if err != nil {
		return is, err
	}
	known := old
	if len(hashes) > 0 { // so that users and their passwords may come in one request
		with := model.Routing{}
		if old != nil {
			with = *old
		}
		for _, user := range slices.Sorted(maps.Keys(hashes)) {
			with.SetPassword(user, hashes[user])
		}
		known = &with
	}
	r, err := known.Merge(changes)
	if err != nil {
		return is, err
	}
	return r.Text(), nil
}

// hashVisitors hashes passwords; an empty one stays empty.
func (d *Dash) hashVisitors(ctx context.Context, passwords map[string]string) (map[string]string, error) {
	if len(passwords) > model.MaxBasicUsers {
		return nil, model.E(model.CodeBadRouting, "basic_auth: %d passwords, at most %d users are allowed", len(passwords), model.MaxBasicUsers)
	}
	out := make(map[string]string, len(passwords))
	for user, password := range passwords {
		if password == "" {
			out[user] = ""
			continue
		}
		var hash []byte
		var failed error
		err := d.passwords.run(ctx, func() { hash, failed = bcrypt.GenerateFromPassword([]byte(password), visitorCost) })
		if errors.Is(failed, bcrypt.ErrPasswordTooLong) {
			failed = model.E(model.CodeBadRouting, "basic_auth: the password of %q has %d bytes, at most 72 are allowed", clip(user, 40), len(password))
		}
		if err == nil {
			err = failed
		}
		if err != nil {
			return nil, err
		}
		out[user] = string(hash)
	}
	return out, nil
}
