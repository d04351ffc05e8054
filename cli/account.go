package cli

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (c *console) accountCommands() []*cobra.Command {
	return []*cobra.Command{
		c.usersCommand(), c.teamsCommand(), c.tokensCommand(), c.identitiesCommand(), c.auditCommand(),
		c.command(spec{use: "whoami", short: "Say who you are there, and what you may do", example: "  dinp whoami", args: cobra.NoArgs, list: true, run: whoami}),
	}
}

func whoami(ctx context.Context, s *session, _ []string) error {
	u, err := get[api.User](ctx, s.api, "/whoami")
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, u)
	}
	return facts(s.out, "user", u.Name, "role", u.Role, "teams", roles(u.Teams), "server", s.api.base)
}

// roles prints a map of roles in a fixed order.
func roles(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+":"+m[k])
	}
	return strings.Join(out, " ")
}

func (c *console) usersCommand() *cobra.Command {
	cmd := c.command(spec{use: "users", short: "List, create or delete users", example: "  dinp users\n  dinp users create ann", args: cobra.NoArgs, list: true,
		run: func(ctx context.Context, s *session, _ []string) error {
			us, err := pages[api.User](ctx, s.api, "/users")
			if err != nil {
				return err
			}
			return show(s, us, []string{"USER", "ROLE", "TEAMS", "SINCE"}, func(u api.User) []string {
				return []string{u.Name, u.Role, roles(u.Teams), when(u.CreatedAt)}
			})
		}})
	cmd.AddCommand(c.createUserCommand(), c.passwordCommand(), c.command(spec{use: "delete NAME", short: "Delete a user with its tokens", example: "  dinp users delete ann", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			return s.gone(ctx, "user "+args[0], at("users", args[0]))
		}}))
	return cmd
}

// gone deletes a thing and says so.
func (s *session) gone(ctx context.Context, what, path string) error {
	err := s.api.call(ctx, http.MethodDelete, path, nil, nil)
	if err == nil {
		fmt.Fprintf(s.err, "deleted %s\n", what)
	}
	return err
}

func (c *console) createUserCommand() *cobra.Command {
	var admin, stdin bool
	cmd := c.command(spec{use: "create NAME", short: "Create a user", long: "Create a user. The password is asked for, or read from standard input: it never stands on a command line.",
		example: "  dinp users create ann\n  pass show ann | dinp users create ann --password-stdin", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			password, err := s.password("Password of "+args[0], stdin, true)
			if err != nil {
				return err
			}
			u := api.NewUser{Name: args[0], Password: password, Role: string(model.Member)}
			if admin {
				u.Role = string(model.Admin)
			}
			made, err := send[api.User](ctx, s.api, http.MethodPost, "/users", u)
			if err == nil {
				fmt.Fprintf(s.err, "created user %s (%s)\n", made.Name, made.Role)
			}
			return err
		}})
	cmd.Flags().BoolVar(&admin, "admin", false, "with all rights over the platform")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

// newPassword is the body of PUT /users/{user}/password.
type newPassword struct {
	Old      string `json:"old,omitempty"` // of one's own
	Password string `json:"password"`
}

func (c *console) passwordCommand() *cobra.Command {
	var stdin bool
	cmd := c.command(spec{use: "password NAME", short: "Set a user's password", long: "Set a user's password. With --password-stdin the new one is read; for your own, the old one is read from the line before it.",
		example: "  dinp users password ann", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			me, err := get[api.User](ctx, s.api, "/whoami")
			if err != nil {
				return err
			}
			in, err := s.newPassword(args[0], me.Name == args[0], stdin)
			if err != nil {
				return err
			}
			if err := s.api.call(ctx, http.MethodPut, at("users", args[0], "password"), in, nil); err != nil {
				return err
			}
			fmt.Fprintf(s.err, "password of %s is changed\n", args[0])
			return nil
		}})
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read from standard input")
	return cmd
}

func (s *session) newPassword(user string, own, stdin bool) (in newPassword, err error) {
	if own && !stdin {
		if in.Old, err = s.password("Your password now", false, false); err != nil {
			return in, err
		}
	}
	in.Password, err = s.password("New password of "+user, stdin, true)
	if own && stdin {
		in.Old, in.Password, _ = strings.Cut(in.Password, "\n")
	}
	return in, err
}

func (c *console) teamsCommand() *cobra.Command {
	cmd := c.command(spec{use: "teams", short: "List or create teams, and say who is in them", example: "  dinp teams\n  dinp teams create web\n  dinp teams member web ann deployer",
		args: cobra.NoArgs, list: true,
		run: func(ctx context.Context, s *session, _ []string) error {
			ts, err := pages[api.Team](ctx, s.api, "/teams")
			if err != nil {
				return err
			}
			return show(s, ts, []string{"TEAM", "MEMBERS"}, func(t api.Team) []string { return []string{t.Name, roles(t.Members)} })
		}})
	cmd.AddCommand(
		c.command(spec{use: "create NAME", short: "Create a team", example: "  dinp teams create web", args: cobra.ExactArgs(1),
			run: func(ctx context.Context, s *session, args []string) error {
				t, err := send[api.Team](ctx, s.api, http.MethodPost, "/teams", api.NewTeam{Name: args[0]})
				if err == nil {
					fmt.Fprintf(s.err, "created team %s; add people with: dinp teams member %s USER ROLE\n", t.Name, t.Name)
				}
				return err
			}}),
		c.command(spec{use: "member TEAM USER viewer|deployer|operator|owner|none", short: "Give a user a role in a team, or take it away",
			example: "  dinp teams member web ann deployer\n  dinp teams member web ann none", args: cobra.ExactArgs(3), run: member}))
	return cmd
}

func member(ctx context.Context, s *session, args []string) error {
	path := at("teams", args[0], "members", args[1])
	var err error
	if args[2] == "none" {
		err = s.api.call(ctx, http.MethodDelete, path, nil, nil)
	} else {
		err = s.api.call(ctx, http.MethodPut, path, api.Member{Role: args[2]}, nil)
	}
	if err == nil {
		fmt.Fprintf(s.err, "role of %s in team %s is %s\n", args[1], args[0], args[2])
	}
	return err
}

func (c *console) tokensCommand() *cobra.Command {
	var days int
	cmd := c.command(spec{use: "tokens", short: "List, create or revoke your tokens", example: "  dinp tokens\n  dinp tokens create ci --days 90\n  dinp tokens delete ID",
		args: cobra.NoArgs, list: true,
		run: func(ctx context.Context, s *session, _ []string) error {
			ts, err := pages[api.Token](ctx, s.api, "/tokens")
			if err != nil {
				return err
			}
			return show(s, ts, []string{"ID", "NAME", "CREATED", "USED", "EXPIRES"}, func(t api.Token) []string {
				return []string{t.ID, t.Name, when(t.CreatedAt), when(t.UsedAt), when(t.ExpiresAt)}
			})
		}})
	create := c.command(spec{use: "create NAME", short: "Create a token and print it, once", example: "  dinp tokens create ci --days 90", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			t, err := send[api.Token](ctx, s.api, http.MethodPost, "/tokens", api.NewToken{Name: args[0], Days: days})
			if err == nil {
				fmt.Fprintln(s.out, t.Secret)
				fmt.Fprintln(s.err, "keep it: it is not shown again")
			}
			return err
		}})
	create.Flags().IntVar(&days, "days", 0, "days until it expires (0: never)")
	cmd.Aliases = []string{"token"}
	cmd.AddCommand(create, c.createJoinCommand(), c.command(spec{use: "delete ID", short: "Revoke a token", example: "  dinp tokens delete 0b5e", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			return s.gone(ctx, "token "+args[0], at("tokens", args[0]))
		}}))
	return cmd
}

func (c *console) auditCommand() *cobra.Command {
	var n int
	cmd := c.command(spec{use: "audit", short: "Show who did what, from where, oldest first", example: "  dinp audit --tail 200 --json", args: cobra.NoArgs, list: true,
		run: func(ctx context.Context, s *session, _ []string) error {
			p, err := get[api.Page[api.Event]](ctx, s.api, "/audit?limit="+strconv.Itoa(n))
			if err != nil {
				return err
			}
			slices.Reverse(p.Items) // they come newest first
			return show(s, p.Items, append(slices.Clone(eventHead), "FROM"), func(e api.Event) []string { return append(eventRow(e), e.From) })
		}})
	cmd.Flags().IntVar(&n, "tail", 100, "at most so many")
	return cmd
}
