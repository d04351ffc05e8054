package dash

import (
	"context"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
)

// Domains lists the custom domains of an app.
func (d *Dash) Domains(ctx context.Context, actor model.Actor, name string) (api.Page[api.Domain], error) {
	out := api.Page[api.Domain]{Items: []api.Domain{}}
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return out, err
	}
	found, err := d.store.Domains(ctx, app.ID)
	for _, v := range found {
		out.Items = append(out.Items, api.Domain{Host: v.Host})
	}
	return out, err
}

// BindDomain binds a host name to an app.
func (d *Dash) BindDomain(ctx context.Context, actor model.Actor, name, host string) (api.Domain, error) {
	app, err := d.appFor(ctx, actor, name, policy.EditDomain)
	if err != nil {
		return api.Domain{}, err
	}
	host, err = model.CheckRoute(host, d.cfg.Domain)
	if err != nil {
		return api.Domain{}, err
	}
	if err := d.store.BindDomain(ctx, app.ID, host, actor); err != nil {
		return api.Domain{}, err
	}
	d.leader.nudge(ctx, false, app.ID)
	return api.Domain{Host: host}, nil
}

// UnbindDomain takes a host name away from an app.
func (d *Dash) UnbindDomain(ctx context.Context, actor model.Actor, name, host string) error {
	app, err := d.appFor(ctx, actor, name, policy.EditDomain)
	if err != nil {
		return err
	}
	if h, err := model.CheckRoute(host, d.cfg.Domain); err == nil {
		host = h
	}
	if err := d.store.UnbindDomain(ctx, app.ID, host, actor); err != nil {
		return err
	}
	d.leader.nudge(ctx, false, app.ID)
	return nil
}
