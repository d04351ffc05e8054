package dash

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/seal"
	"github.com/dinp/dinp/dash/policy"
)

// Certificates lists the certificates that actor may see: those of apps of
// their teams, and for admins all.
func (d *Dash) Certificates(ctx context.Context, actor model.Actor) (api.Page[api.Certificate], error) {
	out := api.Page[api.Certificate]{Items: []api.Certificate{}}
	all, err := d.store.Certificates(ctx)
	if err != nil {
		return out, err
	}
	for _, c := range all {
		team, _, err := d.teamOfHost(ctx, c.Host)
		if err != nil {
			return out, err
		}
		if policy.Can(actor, policy.ViewApp, team) {
			out.Items = append(out.Items, describeCertificate(c, time.Now()))
		}
	}
	return out, nil
}

// PutCertificate keeps a certificate for a host, or has one issued.
func (d *Dash) PutCertificate(ctx context.Context, actor model.Actor, host string, in api.PutCertificate) (api.Certificate, error) {
	host, err := d.certificateFor(ctx, actor, host)
	if err != nil {
		return api.Certificate{}, err
	}
	c := model.Certificate{Host: host, Source: model.Uploaded, UpdatedAt: time.Now()}
	switch {
	case in.ACME && in.Chain+in.Key != "":
		return api.Certificate{}, model.E(model.CodeBadRequest, "a certificate is either given or issued, not both")
	case in.ACME:
		err = d.keepChain(ctx, &c)
	default:
		err = d.takeChain(&c, in)
	}
	if err != nil {
		return api.Certificate{}, err
	}
	if err := d.store.PutCertificate(ctx, c, actor); err != nil {
		return api.Certificate{}, err
	}
	return describeCertificate(c, time.Now()), nil
}

// takeChain checks and seals what was uploaded.
func (d *Dash) takeChain(c *model.Certificate, in api.PutCertificate) error {
	leaf, err := model.CheckCertificate(c.Host, in.Chain, in.Key, time.Now())
	if err != nil {
		return err
	}
	key, err := seal.New(d.cfg.Secret, seal.AtRest)
	if err != nil {
		return model.E(model.CodeBadConfig, "the key cannot be kept: %v", err)
	}
	c.Chain, c.NotAfter = in.Chain, leaf.NotAfter
	c.SealedKey, err = key.Seal(rand.Reader, []byte(in.Key), c.Host)
	return err
}

// keepChain leaves what there is in use until the authority has given another.
func (d *Dash) keepChain(ctx context.Context, c *model.Certificate) error {
	c.Source = model.ByACME
	all, err := d.store.Certificates(ctx)
	for _, old := range all {
		if old.Host == c.Host {
			c.Chain, c.SealedKey, c.NotAfter = old.Chain, old.SealedKey, old.NotAfter
		}
	}
	return err
}

// DeleteCertificate removes the certificate of a host.
func (d *Dash) DeleteCertificate(ctx context.Context, actor model.Actor, host string) error {
	host, err := d.certificateFor(ctx, actor, host)
	if err != nil {
		return err
	}
	return d.store.DeleteCertificate(ctx, host, actor)
}

// certificateFor returns the host in canonical form if actor may change its
// certificate: that of an app's own host needs the right to its domains, all
// others, and wildcards, need an admin.
func (d *Dash) certificateFor(ctx context.Context, actor model.Actor, host string) (string, error) {
	host, err := model.CheckCertName(host)
	if err != nil {
		return "", err
	}
	team, app, err := d.teamOfHost(ctx, host)
	if err != nil {
		return "", err
	}
	if team == "" {
		return host, d.may(ctx, actor, policy.EditCertificates, "", model.App{})
	}
	return host, d.may(ctx, actor, policy.EditDomain, team, app)
}

// teamOfHost finds the app that a host leads to, and its team; "" when it leads
// to none alone.
func (d *Dash) teamOfHost(ctx context.Context, host string) (string, model.App, error) {
	if name, own := strings.CutSuffix(host, "."+d.cfg.Domain); own {
		return teamOf(d.store.App(ctx, name))
	}
	domains, err := d.store.Domains(ctx, "")
	for _, v := range domains {
		if v.Host == host {
			return teamOf(d.store.AppByID(ctx, v.AppID))
		}
	}
	return "", model.App{}, err
}

func teamOf(app model.App, err error) (string, model.App, error) {
	if model.IsCode(err, model.CodeNotFound) {
		return "", model.App{}, nil
	}
	return app.TeamID, app, err
}

func describeCertificate(c model.Certificate, now time.Time) api.Certificate {
	out := api.Certificate{Host: c.Host, Source: string(c.Source), State: "in use", NotAfter: c.NotAfter, Failure: c.Failure, TryAt: c.TryAt, Updated: c.UpdatedAt}
	switch {
	case c.Chain == "" && c.Failure == "":
		out.State = "waiting"
	case c.Chain == "":
		out.State = "failing"
	case now.After(c.NotAfter):
		out.State = "expired"
	}
	if block, _ := pem.Decode([]byte(c.Chain)); block != nil {
		if leaf, err := x509.ParseCertificate(block.Bytes); err == nil {
			out.Issuer = leaf.Issuer.String()
		}
	}
	return out
}
