package dash

import (
	"context"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/proto/pki"
)

const (
	joinMinutes    = 15
	maxJoinMinutes = 24 * 60
)

// CreateJoinToken makes a token by which one part joins the cluster.
func (d *Dash) CreateJoinToken(ctx context.Context, actor model.Actor, in api.NewJoinToken) (api.JoinToken, error) {
	if err := d.mayPlatform(ctx, actor, policy.EditNodes); err != nil {
		return api.JoinToken{}, err
	}
	if in.Role == "" {
		in.Role = string(pki.RoleAgent)
	}
	if in.Minutes == 0 {
		in.Minutes = joinMinutes
	}
	if role := pki.Role(in.Role); role != pki.RoleAgent && role != pki.RoleMonitor {
		return api.JoinToken{}, model.E(model.CodeBadRequest, "a part of role %q does not join with a token; agent and hm do", in.Role)
	}
	if in.Minutes < 0 || in.Minutes > maxJoinMinutes {
		return api.JoinToken{}, model.E(model.CodeBadRequest, "minutes is %d; it must be 1 to %d", in.Minutes, maxJoinMinutes)
	}
	certificate, _, err := d.store.Authority(ctx)
	if err != nil {
		return api.JoinToken{}, err
	}
	ca, err := pki.HashPEM([]byte(certificate))
	if err != nil {
		return api.JoinToken{}, err
	}
	t := pki.NewToken(pki.Role(in.Role), ca)
	out := api.JoinToken{Token: t.String(), Role: in.Role, ExpiresAt: time.Now().Add(time.Duration(in.Minutes) * time.Minute)}
	return out, d.store.CreateJoinToken(ctx, model.JoinToken{Hash: t.Hash(), Role: in.Role, ExpiresAt: out.ExpiresAt}, actor)
}

// Identities lists those that have not expired.
func (d *Dash) Identities(ctx context.Context, actor model.Actor) (api.Page[api.Identity], error) {
	out := api.Page[api.Identity]{Items: []api.Identity{}}
	if err := d.mayPlatform(ctx, actor, policy.EditNodes); err != nil {
		return out, err
	}
	nodes, err := d.store.Nodes(ctx)
	if err != nil {
		return out, err
	}
	names := map[string]string{}
	for _, n := range nodes {
		names[n.ID] = n.Name
	}
	found, err := d.store.Identities(ctx, time.Now())
	for _, c := range found {
		out.Items = append(out.Items, api.Identity{
			Serial: c.Serial, Role: c.Role, Name: c.Name, Node: names[c.Name], IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt, RevokedAt: c.RevokedAt,
		})
	}
	return out, err
}

// Revoke takes the certificates of a node, by name or ID, or of another part
// back: within seconds the servers end its connections and refuse it.
func (d *Dash) Revoke(ctx context.Context, actor model.Actor, name string) (api.Revoked, error) {
	if err := d.mayPlatform(ctx, actor, policy.EditNodes); err != nil {
		return api.Revoked{}, err
	}
	nodes, err := d.store.Nodes(ctx)
	if err != nil {
		return api.Revoked{}, err
	}
	out := api.Revoked{Name: name}
	for _, n := range nodes {
		if n.Name == name {
			out.Name = n.ID
		}
	}
	out.Certificates, err = d.store.Revoke(ctx, out.Name, actor)
	if err == nil && out.Certificates == 0 {
		return out, model.E(model.CodeNotFound, "there is no good certificate of %q", name).WithNext("see them with: dinp identities")
	}
	return out, err
}
