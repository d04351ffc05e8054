package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/dinp/dinp/common/model"
)

const userColumns = `id, name, password_hash, role, created_ms`

func scanUser(r scanner) (model.User, error) {
	var u model.User
	var created int64
	err := r.Scan(&u.ID, &u.Name, &u.PasswordHash, &u.Role, &created)
	u.CreatedAt = fromMS(created)
	return u, err
}

// UserByName finds a user.
func (s *Store) UserByName(ctx context.Context, name string) (model.User, error) {
	return userBy(ctx, s.db, name, `name = ?`, name)
}

// UserByID finds a user.
func (s *Store) UserByID(ctx context.Context, id string) (model.User, error) {
	return userBy(ctx, s.db, id, `id = ?`, id)
}

func userBy(ctx context.Context, q querier, what, where string, a ...any) (model.User, error) {
	u, err := scanUser(q.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE `+where, a...))
	if errors.Is(err, sql.ErrNoRows) {
		return u, model.E(model.CodeNotFound, "there is no user %q", what)
	}
	return u, err
}

// Users lists the users by name.
func (s *Store) Users(ctx context.Context) ([]model.User, error) {
	return list(ctx, s.db, scanUser, `SELECT `+userColumns+` FROM users ORDER BY name`)
}

// CreateUser makes a user.
func (s *Store) CreateUser(ctx context.Context, u model.User, by model.Actor) (model.User, error) {
	u.ID = NewID()
	err := s.tx(ctx, func(t *tx) error {
		u.CreatedAt = t.now
		_, err := t.ExecContext(ctx, `INSERT INTO users (`+userColumns+`) VALUES (?,?,?,?,?)`, u.ID, u.Name, u.PasswordHash, string(u.Role), ms(t.now))
		if isDuplicate(err) {
			return model.E(model.CodeConflict, "there is a user %q already", u.Name)
		}
		if err != nil {
			return err
		}
		return t.record(ctx, by, model.App{}, "user.create", u.Name, "user created as "+string(u.Role), nil)
	})
	return u, err
}

// SetPassword replaces a user's password hash and ends all its browser logins.
func (s *Store) SetPassword(ctx context.Context, userID, hash string, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		u, err := userBy(ctx, t, userID, `id = ?`, userID)
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `UPDATE users SET password_hash = ? WHERE id = ?`, hash, userID); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM logins WHERE user_id = ?`, userID); err != nil {
			return err
		}
		return t.record(ctx, by, model.App{}, "user.password", u.Name, "password changed", nil)
	})
}

// DeleteUser removes a user with its tokens, logins and memberships.
func (s *Store) DeleteUser(ctx context.Context, userID string, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		u, err := userBy(ctx, t, userID, `id = ?`, userID)
		if err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM tokens WHERE user_id = ?`, `DELETE FROM logins WHERE user_id = ?`, `DELETE FROM memberships WHERE user_id = ?`, `DELETE FROM users WHERE id = ?`} {
			if _, err := t.ExecContext(ctx, q, userID); err != nil {
				return err
			}
		}
		return t.record(ctx, by, model.App{}, "user.delete", u.Name, "user deleted", nil)
	})
}

func scanTeam(r scanner) (model.Team, error) {
	var v model.Team
	var created int64
	err := r.Scan(&v.ID, &v.Name, &created)
	v.CreatedAt = fromMS(created)
	return v, err
}

// Teams lists the teams by name.
func (s *Store) Teams(ctx context.Context) ([]model.Team, error) {
	return list(ctx, s.db, scanTeam, `SELECT id, name, created_ms FROM teams ORDER BY name`)
}

// TeamByName finds a team.
func (s *Store) TeamByName(ctx context.Context, name string) (model.Team, error) {
	v, err := scanTeam(s.db.QueryRowContext(ctx, `SELECT id, name, created_ms FROM teams WHERE name = ?`, name))
	if errors.Is(err, sql.ErrNoRows) {
		return v, model.E(model.CodeNotFound, "there is no team %q", name)
	}
	return v, err
}

// CreateTeam makes a team.
func (s *Store) CreateTeam(ctx context.Context, name string, by model.Actor) (model.Team, error) {
	v := model.Team{ID: NewID(), Name: name}
	err := s.tx(ctx, func(t *tx) error {
		v.CreatedAt = t.now
		_, err := t.ExecContext(ctx, `INSERT INTO teams (id, name, created_ms) VALUES (?,?,?)`, v.ID, name, ms(t.now))
		if isDuplicate(err) {
			return model.E(model.CodeConflict, "there is a team %q already", name)
		}
		if err != nil {
			return err
		}
		return t.record(ctx, by, model.App{}, "team.create", name, "team created", nil)
	})
	return v, err
}

// Membership is one user's role in one team.
type Membership struct {
	TeamID, UserID string
	Role           model.TeamRole
}

// Memberships lists the members of a team, or of all teams for "".
func (s *Store) Memberships(ctx context.Context, teamID string) ([]Membership, error) {
	return list(ctx, s.db, scanMembership, `SELECT team_id, user_id, role FROM memberships WHERE ? = '' OR team_id = ?`, teamID, teamID)
}

func scanMembership(r scanner) (Membership, error) {
	var m Membership
	return m, r.Scan(&m.TeamID, &m.UserID, &m.Role)
}

// SetMembership gives a user a role in a team; "" takes it away.
func (s *Store) SetMembership(ctx context.Context, m Membership, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `DELETE FROM memberships WHERE team_id = ? AND user_id = ?`, m.TeamID, m.UserID); err != nil {
			return err
		}
		if m.Role != "" {
			if _, err := t.ExecContext(ctx, `INSERT INTO memberships (team_id, user_id, role) VALUES (?,?,?)`, m.TeamID, m.UserID, string(m.Role)); err != nil {
				return err
			}
		}
		return t.record(ctx, by, model.App{}, "team.member", m.UserID, "role in team "+m.TeamID+" set to "+string(m.Role), nil)
	})
}

// ActorOf returns who a user is and what it may do.
func (s *Store) ActorOf(ctx context.Context, userID string) (model.Actor, error) {
	u, err := s.UserByID(ctx, userID)
	if err != nil {
		return model.Actor{}, err
	}
	a := model.Actor{UserID: u.ID, Name: u.Name, Role: u.Role, Teams: map[string]model.TeamRole{}}
	ms, err := list(ctx, s.db, scanMembership, `SELECT team_id, user_id, role FROM memberships WHERE user_id = ?`, userID)
	for _, m := range ms {
		a.Teams[m.TeamID] = m.Role
	}
	return a, err
}

const tokenColumns = `id, user_id, name, hash, created_ms, used_ms, expires_ms`

func scanToken(r scanner) (model.Token, error) {
	var v model.Token
	var created, used, expires int64
	err := r.Scan(&v.ID, &v.UserID, &v.Name, &v.Hash, &created, &used, &expires)
	v.CreatedAt, v.UsedAt, v.ExpiresAt = fromMS(created), fromMS(used), fromMS(expires)
	return v, err
}

// CreateToken stores a token by its hash.
func (s *Store) CreateToken(ctx context.Context, v model.Token, by model.Actor) (model.Token, error) {
	v.ID = NewID()
	err := s.tx(ctx, func(t *tx) error {
		v.CreatedAt = t.now
		if _, err := t.ExecContext(ctx, `INSERT INTO tokens (`+tokenColumns+`) VALUES (?,?,?,?,?,0,?)`, v.ID, v.UserID, v.Name, v.Hash, ms(t.now), ms(v.ExpiresAt)); err != nil {
			return err
		}
		return t.record(ctx, by, model.App{}, "token.create", v.Name, "token created", nil)
	})
	return v, err
}

// TokenByHash finds a token that has not expired, and notes once a minute that
// it was used.
func (s *Store) TokenByHash(ctx context.Context, hash string, now time.Time) (model.Token, error) {
	v, err := scanToken(s.db.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE hash = ?`, hash))
	if errors.Is(err, sql.ErrNoRows) || err == nil && !v.ExpiresAt.IsZero() && !now.Before(v.ExpiresAt) {
		return v, model.E(model.CodeUnauthentic, "the token is unknown or has expired").WithNext("make a new one: dinp tokens create NAME, or dinp login")
	}
	if err == nil && now.Sub(v.UsedAt) > time.Minute {
		_, err = s.db.ExecContext(ctx, `UPDATE tokens SET used_ms = ? WHERE id = ?`, ms(now), v.ID)
	}
	return v, err
}

// Tokens lists a user's tokens, newest first.
func (s *Store) Tokens(ctx context.Context, userID string) ([]model.Token, error) {
	return list(ctx, s.db, scanToken, `SELECT `+tokenColumns+` FROM tokens WHERE user_id = ? ORDER BY created_ms DESC, id`, userID)
}

// DeleteToken revokes one of a user's tokens.
func (s *Store) DeleteToken(ctx context.Context, userID, id string, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `DELETE FROM tokens WHERE id = ? AND user_id = ?`, id, userID)
		if err != nil {
			return err
		}
		if n == 0 {
			return model.E(model.CodeNotFound, "there is no such token")
		}
		return t.record(ctx, by, model.App{}, "token.delete", id, "token revoked", nil)
	})
}

// CreateLogin stores a browser's login and drops those that have expired.
func (s *Store) CreateLogin(ctx context.Context, v model.Session, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `DELETE FROM logins WHERE expires_ms < ?`, ms(t.now)); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `INSERT INTO logins (hash, user_id, created_ms, expires_ms) VALUES (?,?,?,?)`, v.Hash, v.UserID, ms(t.now), ms(v.ExpiresAt)); err != nil {
			return err
		}
		return t.record(ctx, by, model.App{}, "user.login", by.Name, "logged in", nil)
	})
}

// LoginByHash finds a browser's login that has not expired.
func (s *Store) LoginByHash(ctx context.Context, hash string, now time.Time) (model.Session, error) {
	var v model.Session
	var created, expires int64
	err := s.db.QueryRowContext(ctx, `SELECT hash, user_id, created_ms, expires_ms FROM logins WHERE hash = ?`, hash).Scan(&v.Hash, &v.UserID, &created, &expires)
	v.CreatedAt, v.ExpiresAt = fromMS(created), fromMS(expires)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !now.Before(v.ExpiresAt) {
		return v, model.E(model.CodeUnauthentic, "you are not logged in").WithNext("log in")
	}
	return v, err
}

// DeleteLogin ends a browser's login.
func (s *Store) DeleteLogin(ctx context.Context, hash string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM logins WHERE hash = ?`, hash)
	return err
}
