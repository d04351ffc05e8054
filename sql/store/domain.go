package store

import (
	"context"
	"strings"

	"github.com/dinp/dinp/common/model"
)

func scanDomain(r scanner) (model.Domain, error) {
	var d model.Domain
	var created int64
	err := r.Scan(&d.Host, &d.AppID, &created)
	d.CreatedAt = fromMS(created)
	return d, err
}

// Domains lists the custom domains of an app, or of all apps for "".
func (s *Store) Domains(ctx context.Context, appID string) ([]model.Domain, error) {
	if appID == "" {
		return list(ctx, s.db, scanDomain, `SELECT host, app_id, created_ms FROM domains ORDER BY host`)
	}
	return list(ctx, s.db, scanDomain, `SELECT host, app_id, created_ms FROM domains WHERE app_id = ? ORDER BY host`, appID)
}

// BindDomain binds host, already in canonical form, to an app. Binding it again
// to the same app changes nothing.
func (s *Store) BindDomain(ctx context.Context, appID, host string, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		app, err := t.lockApp(ctx, appID, 0)
		if err != nil {
			return err
		}
		bound, err := list(ctx, t, scanDomain, `SELECT host, app_id, created_ms FROM domains WHERE host = ?`, host)
		if err != nil {
			return err
		}
		if len(bound) == 1 && bound[0].AppID == appID {
			return nil
		}
		if err := t.checkKin(ctx, app, host); err != nil {
			return err
		}
		taken := model.E(model.CodeDomainTaken, "domain %s is bound to another app", host).WithNext("remove it there first: dinp domains APP remove %s", host)
		if len(bound) == 1 {
			return taken
		}
		_, err = t.ExecContext(ctx, `INSERT INTO domains (host, app_id, created_ms) VALUES (?,?,?)`, host, appID, ms(t.now))
		if isDuplicate(err) {
			return taken
		}
		if err != nil {
			return err
		}
		return t.record(ctx, by, app, "domain.bind", host, "domain bound", nil)
	})
}

// checkKin refuses a domain that could answer for hosts of another team's: with
// a path or a star somebody could take their requests, and read their cookies.
func (t *tx) checkKin(ctx context.Context, app model.App, domain string) error {
	host, _, wild, err := model.SplitDomain(domain)
	if err != nil {
		return err
	}
	suffix := host // all kin end with it, or with what follows its first label
	if _, rest, ok := strings.Cut(host, "."); ok && !wild && strings.Contains(rest, ".") {
		suffix = "." + rest
	}
	others, err := list(ctx, t, scanDomain, `SELECT d.host, d.app_id, d.created_ms FROM domains d JOIN apps a ON a.id = d.app_id
		WHERE a.team_id <> ? AND (d.host LIKE ? OR d.host LIKE ?) ORDER BY d.host`, app.TeamID, "%"+suffix, "%"+suffix+"/%")
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.Host != domain && model.Kin(o.Host, domain) {
			return model.E(model.CodeDomainTaken, "domain %s could answer for %s, which another team has bound", domain, o.Host).
				WithNext("ask an admin which team the name belongs to")
		}
	}
	return nil
}

// UnbindDomain takes host away from an app.
func (s *Store) UnbindDomain(ctx context.Context, appID, host string, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		app, err := t.lockApp(ctx, appID, 0)
		if err != nil {
			return err
		}
		n, err := exec(ctx, t, `DELETE FROM domains WHERE host = ? AND app_id = ?`, host, appID)
		if err != nil {
			return err
		}
		if n == 0 {
			return model.E(model.CodeNotFound, "domain %s is not bound to app %s", host, app.Name).WithNext("dinp domains %s lists them", app.Name)
		}
		return t.record(ctx, by, app, "domain.unbind", host, "domain unbound", nil)
	})
}
