package dash

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// What the first start makes.
const (
	defaultTeam = "default"
	firstUser   = "admin"
)

// platform is who acts when no person does.
var platform = model.Actor{Name: "dash"}

// Login checks a password. An unknown user and a wrong password are refused
// alike, take as long, and are recorded.
func (d *Dash) Login(ctx context.Context, user, password, from string) (model.Actor, error) {
	if err := d.throttle.attempt(user, from, time.Now()); err != nil {
		return model.Actor{}, err
	}
	u, err := d.store.UserByName(ctx, user)
	if err != nil && !model.IsKind(err, model.NotFound) {
		return model.Actor{}, err
	}
	ok, stale, err := d.passwords.verify(ctx, u.PasswordHash, password) // for "" it spends the same time and says no
	if err != nil {
		return model.Actor{}, err
	}
	if !ok {
		return model.Actor{}, d.refuseLogin(ctx, user, from)
	}
	d.throttle.succeeded(user, from)
	actor, err := d.store.ActorOf(ctx, u.ID)
	if err != nil {
		return model.Actor{}, err
	}
	actor.From = from
	if stale {
		d.rehash(ctx, actor, password)
	}
	return actor, nil
}

func (d *Dash) refuseLogin(ctx context.Context, user, from string) error {
	e := model.E(model.CodeUnauthentic, "user name or password is wrong")
	err := d.store.AddEvent(ctx, model.Event{
		Actor: user, From: from, Verb: "user.login", Subject: user, Message: "login refused", Outcome: string(e.Code),
	})
	if err != nil {
		d.log.Error("refused login not recorded", "err", err)
	}
	return e
}

// rehash brings an old hash up to today's cost; the login does not depend on it.
func (d *Dash) rehash(ctx context.Context, actor model.Actor, password string) {
	hash, err := d.passwords.hash(ctx, password)
	if err == nil {
		err = d.store.SetPassword(ctx, actor.UserID, hash, platform)
	}
	if err != nil {
		d.log.Warn("password not hashed anew", "user", actor.Name, "err", err)
	}
}

// LoginToken logs in and makes a token, for programs.
func (d *Dash) LoginToken(ctx context.Context, in api.Login, from string) (api.Token, error) {
	actor, err := d.Login(ctx, in.User, in.Password, from)
	if err != nil {
		return api.Token{}, err
	}
	name := in.Name
	if name == "" {
		name = "cli"
	}
	return d.CreateToken(ctx, actor, api.NewToken{Name: name})
}

// Bootstrap makes the team "default" and the user "admin" with a random
// password when there are no users yet. Of several processes that start at once,
// one creates the user and gets the password.
func (d *Dash) Bootstrap(ctx context.Context) (password string, created bool, err error) {
	users, err := d.store.Users(ctx)
	if err != nil || len(users) > 0 {
		return "", false, err
	}
	team, err := d.store.CreateTeam(ctx, defaultTeam, platform)
	if model.IsKind(err, model.Conflict) {
		team, err = d.store.TeamByName(ctx, defaultTeam)
	}
	if err != nil {
		return "", false, fmt.Errorf("create team %s: %w", defaultTeam, err)
	}
	password = rand.Text()
	hash, err := d.passwords.hash(ctx, password)
	if err != nil {
		return "", false, err
	}
	u, err := d.store.CreateUser(ctx, model.User{Name: firstUser, PasswordHash: hash, Role: model.Admin}, platform)
	if model.IsKind(err, model.Conflict) {
		return "", false, nil // another process was faster
	}
	if err != nil {
		return "", false, fmt.Errorf("create user %s: %w", firstUser, err)
	}
	return password, true, d.store.SetMembership(ctx, store.Membership{TeamID: team.ID, UserID: u.ID, Role: model.Owner}, platform)
}

// IssueToken makes a bearer token for a user, for the process that holds the
// database: the command line's context on the machine of `dinp up`.
func (d *Dash) IssueToken(ctx context.Context, user, name string) (string, error) {
	u, err := d.store.UserByName(ctx, user)
	if err != nil {
		return "", err
	}
	secret := newToken()
	_, err = d.store.CreateToken(ctx, model.Token{UserID: u.ID, Name: name, Hash: hashSecret(secret)}, platform)
	return secret, err
}
