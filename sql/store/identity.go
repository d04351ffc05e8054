package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/dinp/dinp/common/model"
)

const authorityName = "cluster"

// Authority returns the certificate of the cluster's authority and its sealed
// key; "" when there is none yet.
func (s *Store) Authority(ctx context.Context) (certificate, sealed string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT certificate, sealed_key FROM authority WHERE name = ?`, authorityName).Scan(&certificate, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	return certificate, sealed, err
}

// CreateAuthority keeps the authority, unless another part was first.
func (s *Store) CreateAuthority(ctx context.Context, certificate, sealed string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO authority (name, certificate, sealed_key, created_ms) VALUES (?,?,?,?)`, authorityName, certificate, sealed, ms(time.Now()))
	if isDuplicate(err) {
		return nil
	}
	return err
}

// CreateJoinToken keeps a token and drops those that have expired.
func (s *Store) CreateJoinToken(ctx context.Context, v model.JoinToken, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `DELETE FROM join_tokens WHERE expires_ms < ?`, ms(t.now.Add(-keepExpired))); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `INSERT INTO join_tokens (hash, role, created_by, created_ms, expires_ms, used_ms) VALUES (?,?,?,?,?,0)`,
			v.Hash, v.Role, by.Name, ms(t.now), ms(v.ExpiresAt)); err != nil {
			return err
		}
		return t.record(ctx, by, model.App{}, "join.token", v.Role, "token made for a part of role "+v.Role+" to join", nil)
	})
}

// keepExpired is how long the database remembers tokens and certificates that
// have expired, so that it can say so.
const keepExpired = 7 * 24 * time.Hour

// Join uses a token up and keeps the certificate that is given for it, or does
// neither: the token must be good, and nobody else may have a good certificate
// under the same name.
func (s *Store) Join(ctx context.Context, hash string, c model.Identity, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE join_tokens SET used_ms = ? WHERE hash = ? AND role = ? AND used_ms = 0 AND expires_ms > ?`, ms(t.now), hash, c.Role, ms(t.now))
		if err != nil {
			return err
		}
		if n != 1 {
			return t.badToken(ctx, hash, c.Role)
		}
		if err := t.nameIsFree(ctx, c); err != nil {
			return err
		}
		if err := t.putIdentity(ctx, c); err != nil {
			return err
		}
		return t.record(ctx, by, model.App{}, "join."+c.Role, c.Name, c.Role+" "+c.Name+" joined", nil)
	})
}

// badToken says why a token does not count.
func (t *tx) badToken(ctx context.Context, hash, role string) error {
	var is string
	var used, expires int64
	err := t.QueryRowContext(ctx, `SELECT role, used_ms, expires_ms FROM join_tokens WHERE hash = ?`, hash).Scan(&is, &used, &expires)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	e := model.E(model.CodeBadJoin, "the join token is not known")
	switch {
	case err != nil:
	case used != 0:
		e = model.E(model.CodeBadJoin, "the join token was used at %s; each lets one part in", fromMS(used).Format(time.DateTime))
	case is != role:
		e = model.E(model.CodeBadJoin, "the join token is for a part of role %s, not %s", is, role)
	default:
		e = model.E(model.CodeBadJoin, "the join token expired at %s, and it is %s", fromMS(expires).Format(time.DateTime), t.now.Format(time.DateTime))
	}
	return e.WithNext("make a new one with: dinp token create-join --role %s", role)
}

// nameIsFree keeps a stranger with a token from becoming a node that there is.
func (t *tx) nameIsFree(ctx context.Context, c model.Identity) error {
	var serial string
	err := t.QueryRowContext(ctx, `SELECT serial FROM identities WHERE role = ? AND name = ? AND revoked_ms = 0 AND expires_ms > ?`, c.Role, c.Name, ms(t.now)).Scan(&serial)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return model.E(model.CodeNameTaken, "%s %s has joined already: its certificate %s is good", c.Role, c.Name, serial).
		WithNext("if that host is lost or its certificate is, revoke it first: dinp identities revoke %s", c.Name)
}

// PutIdentity keeps a certificate that was signed, and drops those that have
// expired.
func (s *Store) PutIdentity(ctx context.Context, c model.Identity) error {
	return s.tx(ctx, func(t *tx) error { return t.putIdentity(ctx, c) })
}

func (t *tx) putIdentity(ctx context.Context, c model.Identity) error {
	if _, err := t.ExecContext(ctx, `DELETE FROM identities WHERE role = ? AND name = ? AND expires_ms < ?`, c.Role, c.Name, ms(t.now.Add(-keepExpired))); err != nil {
		return err
	}
	_, err := t.ExecContext(ctx, `INSERT INTO identities (serial, role, name, issued_ms, expires_ms, revoked_ms) VALUES (?,?,?,?,?,0)`,
		c.Serial, c.Role, c.Name, ms(c.IssuedAt), ms(c.ExpiresAt))
	return err
}

// Identities lists those that have not expired at now, by role, name and time.
func (s *Store) Identities(ctx context.Context, now time.Time) ([]model.Identity, error) {
	return list(ctx, s.db, func(r scanner) (model.Identity, error) {
		var c model.Identity
		var issued, expires, revoked int64
		err := r.Scan(&c.Serial, &c.Role, &c.Name, &issued, &expires, &revoked)
		c.IssuedAt, c.ExpiresAt, c.RevokedAt = fromMS(issued), fromMS(expires), fromMS(revoked)
		return c, err
	}, `SELECT serial, role, name, issued_ms, expires_ms, revoked_ms FROM identities WHERE expires_ms > ? ORDER BY role, name, issued_ms, serial`, ms(now))
}

// RevokedIdentities lists the serials that servers refuse.
func (s *Store) RevokedIdentities(ctx context.Context, now time.Time) ([]string, error) {
	return list(ctx, s.db, func(r scanner) (serial string, err error) { return serial, r.Scan(&serial) },
		`SELECT serial FROM identities WHERE revoked_ms <> 0 AND expires_ms > ?`, ms(now))
}

// Revoke takes all certificates of a name back, and returns how many there
// were. The servers refuse them within seconds.
func (s *Store) Revoke(ctx context.Context, name string, by model.Actor) (int64, error) {
	var n int64
	err := s.tx(ctx, func(t *tx) (err error) {
		n, err = exec(ctx, t, `UPDATE identities SET revoked_ms = ? WHERE name = ? AND revoked_ms = 0 AND expires_ms > ?`, ms(t.now), name, ms(t.now))
		if err != nil || n == 0 {
			return err
		}
		return t.record(ctx, by, model.App{}, "identity.revoke", name, "certificates of "+name+" revoked", nil)
	})
	return n, err
}
