package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (c *console) loginCommands() []*cobra.Command {
	ctxs := c.command(spec{use: "contexts", short: "List the servers you are logged in to", example: "  dinp contexts\n  dinp contexts use prod",
		args: cobra.NoArgs, list: true, local: true, run: listContexts})
	ctxs.AddCommand(c.command(spec{use: "use NAME", short: "Talk to another of them from now on", example: "  dinp contexts use prod", args: cobra.ExactArgs(1), local: true, run: useContext}))
	return []*cobra.Command{c.loginCommand(), ctxs,
		c.command(spec{use: "logout", short: "Revoke the current login and forget it", example: "  dinp logout", args: cobra.NoArgs, local: true, run: logout}),
		c.command(spec{use: "version", short: "Print the version of this program and of the server", example: "  dinp version", args: cobra.NoArgs, list: true, local: true, run: version}),
	}
}

func (c *console) loginCommand() *cobra.Command {
	var user, name string
	var stdin bool
	cmd := c.command(spec{use: "login URL", short: "Log in to a server", long: "Log in to a server. The password is asked for, or read from standard input; a token is kept in its place.",
		example: "  dinp login https://dinp.example.com\n  pass show dinp | dinp login http://localhost:8000 --user ann --password-stdin",
		args:    cobra.ExactArgs(1), local: true,
		run: func(ctx context.Context, s *session, args []string) error {
			return s.login(ctx, args[0], user, name, stdin)
		}})
	cmd.Flags().StringVar(&user, "user", "", "who you are (default: asked for)")
	cmd.Flags().StringVar(&name, "name", "", "name of the context (default: the server's host)")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (s *session) login(ctx context.Context, address, user, name string, stdin bool) error {
	base, err := serverURL(address)
	if err != nil {
		return err
	}
	if user == "" {
		if user, err = s.ask("User"); err != nil {
			return err
		}
	}
	password, err := s.password("Password of "+user, stdin, false)
	if err != nil {
		return err
	}
	host, _ := os.Hostname() // "" is as good a name
	t, err := send[api.Token](ctx, s.clientOf(base, ""), http.MethodPost, "/login", api.Login{User: user, Password: password, Name: strings.TrimSpace("cli " + host)})
	if err != nil {
		return err
	}
	if name == "" {
		u, err := url.Parse(base)
		if err != nil {
			return err
		}
		name = u.Host
	}
	if err := saveServer(Home(s.getenv), name, server{URL: base, Token: t.Secret, User: user, TokenID: t.ID}); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "logged in to %s as %s\n", base, user)
	return nil
}

// ask reads a line from a person.
func (s *session) ask(what string) (string, error) {
	if !isTerminal(s.in) {
		return "", usage(s.cmd, fmt.Errorf("%s must be given by a flag: nobody can be asked here", strings.ToLower(what)))
	}
	fmt.Fprintf(s.err, "%s: ", what)
	line, err := bufio.NewReader(s.in).ReadString('\n')
	return strings.TrimSpace(line), err
}

// password asks for a password without echo, twice for a new one, or reads it
// from standard input.
func (s *session) password(what string, stdin, fresh bool) (string, error) {
	if stdin {
		b, err := io.ReadAll(io.LimitReader(s.in, 4096))
		if word := strings.TrimRight(string(b), "\r\n"); err != nil || word != "" {
			return word, err
		}
		return "", model.E(model.CodeBadRequest, "standard input holds no password")
	}
	f, ok := s.in.(*os.File)
	if !ok || !isTerminal(f) {
		return "", usage(s.cmd, errors.New("nobody can be asked for the password here; give --password-stdin"))
	}
	word, err := s.hidden(f, what)
	if err != nil || !fresh {
		return word, err
	}
	again, err := s.hidden(f, "Once more")
	if err == nil && again != word {
		return "", model.E(model.CodeBadRequest, "the two passwords differ")
	}
	return word, err
}

func (s *session) hidden(f *os.File, what string) (string, error) {
	fmt.Fprintf(s.err, "%s: ", what)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(s.err)
	return string(b), err
}

func logout(ctx context.Context, s *session, _ []string) error {
	dir := Home(s.getenv)
	c, err := loadContexts(dir)
	if err != nil {
		return err
	}
	v, ok := c.Contexts[c.Current]
	if !ok {
		return model.E(model.CodeNotFound, "you are not logged in")
	}
	if v.TokenID != "" {
		err := s.clientOf(v.URL, v.Token).call(ctx, http.MethodDelete, at("tokens", v.TokenID), nil, nil)
		if err != nil && !model.IsKind(err, model.Unauthentic) && !model.IsKind(err, model.NotFound) {
			fmt.Fprintf(s.err, "the token could not be revoked (%s); it stays valid there\n", clean(err.Error()))
		}
	}
	delete(c.Contexts, c.Current)
	fmt.Fprintf(s.err, "logged out of %s\n", v.URL)
	c.Current = ""
	for _, name := range slices.Sorted(maps.Keys(c.Contexts)) {
		c.Current = name
		fmt.Fprintf(s.err, "commands go to %s now\n", c.Contexts[name].URL)
		break
	}
	return c.save(dir)
}

// namedContext is a line of `dinp contexts`: never the token.
type namedContext struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	User    string `json:"user"`
	Current bool   `json:"current"`
}

func listContexts(_ context.Context, s *session, _ []string) error {
	c, err := loadContexts(Home(s.getenv))
	if err != nil {
		return err
	}
	var all []namedContext
	for _, name := range slices.Sorted(maps.Keys(c.Contexts)) {
		all = append(all, namedContext{name, c.Contexts[name].URL, c.Contexts[name].User, name == c.Current})
	}
	return show(s, all, []string{"CONTEXT", "SERVER", "USER", "CURRENT"}, func(v namedContext) []string {
		return []string{v.Name, v.URL, v.User, yesNo(v.Current)}
	})
}

func useContext(_ context.Context, s *session, args []string) error {
	c, err := loadContexts(Home(s.getenv))
	if err != nil {
		return err
	}
	if _, ok := c.Contexts[args[0]]; !ok {
		return model.E(model.CodeNotFound, "there is no context %q", args[0]).WithNext("dinp contexts lists them; dinp login URL makes one")
	}
	c.Current = args[0]
	return c.save(Home(s.getenv))
}

// versions is what `dinp version --json` prints.
type versions struct {
	Client string       `json:"client"`
	Server *api.Version `json:"server,omitempty"`
	URL    string       `json:"server_url,omitempty"`
}

func version(ctx context.Context, s *session, _ []string) error {
	v := versions{Client: clientVersion(s.cmd.Root().Version)}
	c, refused := s.open()
	if refused == nil { // without a server there is still a version to print
		got, err := get[api.Version](ctx, c, "/version")
		if v.URL = c.base; err == nil {
			v.Server = &got
		}
		refused = err
	}
	if s.json {
		return printJSON(s.out, v)
	}
	fmt.Fprintf(s.out, "dinp %s\n", v.Client)
	switch {
	case v.Server != nil:
		fmt.Fprintf(s.out, "server %s at %s, apps under %s\n", clean(v.Server.Version), v.URL, clean(v.Server.Domain))
	case v.URL != "":
		fmt.Fprintf(s.err, "server: %s\n", clean(refused.Error()))
	}
	return nil
}

// clientVersion is what the binary calls itself, or what Go noted in it.
func clientVersion(given string) string {
	if given != "" {
		return given
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "(unknown)"
}
