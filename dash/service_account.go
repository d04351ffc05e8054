package dash

import (
	"context"
	"regexp"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/sql/store"
)

// Limits of accounts.
const (
	minPassword = 8
	maxPassword = 256 // argon2 reads it all: a longer one would only cost time
)

var accountName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// Me tells who actor is, for /whoami.
func (d *Dash) Me(ctx context.Context, actor model.Actor) (api.User, error) {
	users, err := d.describeUsers(ctx, func(u model.User) bool { return u.ID == actor.UserID })
	if err != nil || len(users) == 0 {
		return api.User{Name: actor.Name, Role: string(actor.Role)}, err
	}
	return users[0], nil
}

// Users lists the users by name: all for admins, for others themselves.
func (d *Dash) Users(ctx context.Context, actor model.Actor) (api.Page[api.User], error) {
	all := policy.Can(actor, policy.ViewUsers, "")
	users, err := d.describeUsers(ctx, func(u model.User) bool { return all || u.ID == actor.UserID })
	return api.Page[api.User]{Items: users}, err
}

func (d *Dash) describeUsers(ctx context.Context, keep func(model.User) bool) ([]api.User, error) {
	users, err := d.store.Users(ctx)
	if err != nil {
		return nil, err
	}
	teams, err := d.teamNames(ctx)
	if err != nil {
		return nil, err
	}
	members, err := d.store.Memberships(ctx, "")
	if err != nil {
		return nil, err
	}
	roles := map[string]map[string]string{}
	for _, m := range members {
		if roles[m.UserID] == nil {
			roles[m.UserID] = map[string]string{}
		}
		roles[m.UserID][teams[m.TeamID]] = string(m.Role)
	}
	out := []api.User{}
	for _, u := range users {
		if keep(u) {
			out = append(out, userOut(u, roles[u.ID]))
		}
	}
	return out, nil
}

func userOut(u model.User, teams map[string]string) api.User {
	if teams == nil {
		teams = map[string]string{}
	}
	return api.User{Name: u.Name, Role: string(u.Role), Teams: teams, CreatedAt: u.CreatedAt}
}

// CreateUser makes a user.
func (d *Dash) CreateUser(ctx context.Context, actor model.Actor, in api.NewUser) (api.User, error) {
	if err := d.mayPlatform(ctx, actor, policy.EditUsers); err != nil {
		return api.User{}, err
	}
	role := model.GlobalRole(in.Role)
	if in.Role == "" {
		role = model.Member
	}
	switch {
	case !accountName.MatchString(in.Name):
		return api.User{}, badName("user", in.Name)
	case role != model.Member && role != model.Admin:
		return api.User{}, model.E(model.CodeBadRequest, "role %q is not known", in.Role).WithNext("use member or admin")
	}
	if err := checkPassword(in.Password); err != nil {
		return api.User{}, err
	}
	hash, err := d.passwords.hash(ctx, in.Password)
	if err != nil {
		return api.User{}, err
	}
	u, err := d.store.CreateUser(ctx, model.User{Name: in.Name, PasswordHash: hash, Role: role}, actor)
	return userOut(u, nil), err
}

func badName(what, name string) error {
	if len(name) > 80 {
		name = name[:80]
	}
	return model.E(model.CodeBadRequest, "%s name %q is not valid", what, name).
		WithNext("use 1 to 64 of the characters a-z, 0-9, dot, _ and -, beginning and ending with a letter or digit")
}

func checkPassword(p string) error {
	if len(p) < minPassword || len(p) > maxPassword {
		return model.E(model.CodeBadRequest, "the password has %d characters; it must have %d to %d", len(p), minPassword, maxPassword)
	}
	return nil
}

// DeleteUser removes a user; nobody removes themselves, so that an admin stays.
func (d *Dash) DeleteUser(ctx context.Context, actor model.Actor, name string) error {
	if err := d.mayPlatform(ctx, actor, policy.EditUsers); err != nil {
		return err
	}
	u, err := d.store.UserByName(ctx, name)
	if err != nil {
		return err
	}
	if u.ID == actor.UserID {
		return model.E(model.CodeConflict, "you cannot remove yourself").WithNext("let another admin do it")
	}
	return d.store.DeleteUser(ctx, u.ID, actor)
}

// SetPassword gives a user a new password and ends its browser logins. Users
// prove the old one to change their own; admins may set anybody else's.
func (d *Dash) SetPassword(ctx context.Context, actor model.Actor, name, old, password string) error {
	if name != actor.Name {
		if err := d.mayPlatform(ctx, actor, policy.EditUsers); err != nil {
			return err
		}
	}
	if err := checkPassword(password); err != nil {
		return err
	}
	u, err := d.store.UserByName(ctx, name)
	if err != nil {
		return err
	}
	if u.ID == actor.UserID {
		if _, err := d.Login(ctx, name, old, actor.From); err != nil {
			return err
		}
	}
	hash, err := d.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	return d.store.SetPassword(ctx, u.ID, hash, actor)
}

// Teams lists the teams that actor may see, with their members.
func (d *Dash) Teams(ctx context.Context, actor model.Actor) (api.Page[api.Team], error) {
	out := api.Page[api.Team]{Items: []api.Team{}}
	teams, err := d.store.Teams(ctx)
	if err != nil {
		return out, err
	}
	users, err := d.store.Users(ctx)
	if err != nil {
		return out, err
	}
	names := map[string]string{}
	for _, u := range users {
		names[u.ID] = u.Name
	}
	members, err := d.store.Memberships(ctx, "")
	for _, t := range teams {
		if policy.Can(actor, policy.ViewTeam, t.ID) {
			out.Items = append(out.Items, teamOut(t, members, names))
		}
	}
	return out, err
}

func teamOut(t model.Team, members []store.Membership, names map[string]string) api.Team {
	out := api.Team{Name: t.Name, Members: map[string]string{}}
	for _, m := range members {
		if m.TeamID == t.ID {
			out.Members[names[m.UserID]] = string(m.Role)
		}
	}
	return out
}

// CreateTeam makes a team.
func (d *Dash) CreateTeam(ctx context.Context, actor model.Actor, in api.NewTeam) (api.Team, error) {
	if err := d.mayPlatform(ctx, actor, policy.CreateTeam); err != nil {
		return api.Team{}, err
	}
	if !accountName.MatchString(in.Name) {
		return api.Team{}, badName("team", in.Name)
	}
	t, err := d.store.CreateTeam(ctx, in.Name, actor)
	return api.Team{Name: t.Name, Members: map[string]string{}}, err
}

// SetMember gives a user a role in a team; "" takes it away.
func (d *Dash) SetMember(ctx context.Context, actor model.Actor, team, user, role string) error {
	t, err := d.store.TeamByName(ctx, team)
	if err != nil {
		return err
	}
	if !policy.Can(actor, policy.ViewTeam, t.ID) {
		return model.E(model.CodeNotFound, "there is no team %q", team)
	}
	if err := d.may(ctx, actor, policy.EditTeam, t.ID, model.App{}); err != nil {
		return err
	}
	switch model.TeamRole(role) {
	case "", model.Viewer, model.Deployer, model.Operator, model.Owner:
	default:
		return model.E(model.CodeBadRequest, "role %q is not known", role).WithNext("use viewer, deployer, operator or owner")
	}
	u, err := d.store.UserByName(ctx, user)
	if err != nil {
		return err
	}
	return d.store.SetMembership(ctx, store.Membership{TeamID: t.ID, UserID: u.ID, Role: model.TeamRole(role)}, actor)
}

func (d *Dash) teamNames(ctx context.Context) (map[string]string, error) {
	teams, err := d.store.Teams(ctx)
	out := make(map[string]string, len(teams))
	for _, t := range teams {
		out[t.ID] = t.Name
	}
	return out, err
}

// Tokens lists actor's own tokens, newest first.
func (d *Dash) Tokens(ctx context.Context, actor model.Actor) (api.Page[api.Token], error) {
	out := api.Page[api.Token]{Items: []api.Token{}}
	found, err := d.store.Tokens(ctx, actor.UserID)
	for _, t := range found {
		out.Items = append(out.Items, tokenOut(t, ""))
	}
	return out, err
}

func tokenOut(t model.Token, secret string) api.Token {
	return api.Token{ID: t.ID, Name: t.Name, Secret: secret, CreatedAt: t.CreatedAt, UsedAt: t.UsedAt, ExpiresAt: t.ExpiresAt}
}

// CreateToken makes a bearer token of actor's; its secret is told this once.
func (d *Dash) CreateToken(ctx context.Context, actor model.Actor, in api.NewToken) (api.Token, error) {
	if err := d.mayPlatform(ctx, actor, policy.OwnTokens); err != nil {
		return api.Token{}, err
	}
	if in.Name == "" || len(in.Name) > 100 {
		return api.Token{}, model.E(model.CodeBadRequest, "the token's name has %d characters; it must have 1 to 100", len(in.Name)).WithNext("name what it is for, such as ci")
	}
	if in.Days < 0 || in.Days > 3650 {
		return api.Token{}, model.E(model.CodeBadRequest, "days is %d; it must be 0 (for ever) to 3650", in.Days)
	}
	t := model.Token{UserID: actor.UserID, Name: in.Name}
	if in.Days > 0 {
		t.ExpiresAt = time.Now().AddDate(0, 0, in.Days)
	}
	secret := newToken()
	t.Hash = hashSecret(secret)
	t, err := d.store.CreateToken(ctx, t, actor)
	return tokenOut(t, secret), err
}

// DeleteToken revokes one of actor's tokens.
func (d *Dash) DeleteToken(ctx context.Context, actor model.Actor, id string) error {
	return d.store.DeleteToken(ctx, actor.UserID, id, actor)
}
