package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

const routingHelp = `Show or change how routers treat an app's requests. A change takes effect within a second or so and restarts nothing.

  policy            least (default), round_robin, weighted or hash: how an instance is chosen
  hash_on           header:NAME or cookie:NAME, for policy hash
  sticky            names of the app's session cookies, such as JSESSIONID: a session stays at its instance
  https_redirect    on: requests in clear are sent to https
  redirects         @FILE with a line FROM TO [STATUS] each, such as: /old/* /new/* 301
  allow_from        addresses and networks that may come: 10.0.0.0/8 192.0.2.7
  basic_auth        see password below; unset basic_auth removes all users
  max_body          size of a request's body: 512K, 10M
  max_in_flight     requests at a time, per router
  rate, source_rate requests per second, of all and of one address: 100, or 100:500 with a burst; per router
  header_timeout    for the app to begin its answer: 30s
  idle_timeout      without a byte in either direction
  total_timeout     from the request to the end of the answer
  compress          on: text is sent with gzip
  maintenance_page, error_page   HTML, or @FILE with it; error_page may hold {code} {title} {message} {next} {request_id}

password USER sets the password by which USER opens the app; it is asked for, or read from standard input.`

func (c *console) routingCommand() *cobra.Command {
	var stdin bool
	cmd := c.command(spec{use: "routing APP [set NAME=VALUE… | unset NAME… | password USER]", short: "Show or change limits, redirects, passwords and time-outs of an app",
		long: routingHelp,
		example: "  dinp routing shop\n  dinp routing shop set rate=100 max_body=10M sticky=JSESSIONID\n  dinp routing shop set redirects=@redirects.txt\n" +
			"  dinp routing shop unset rate\n  pass show shop | dinp routing shop password ann --password-stdin",
		args: cobra.MinimumNArgs(1), complete: appThen("set", "unset", "password"), list: true,
		run: func(ctx context.Context, s *session, args []string) error { return s.routing(ctx, args, stdin) }})
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (s *session) routing(ctx context.Context, args []string, stdin bool) error {
	app := args[0]
	if err := appArg(app); err != nil {
		return err
	}
	if len(args) == 1 {
		r, err := get[api.Routing](ctx, s.api, at("apps", app, "routing"))
		if err != nil {
			return err
		}
		return s.showRouting(r)
	}
	switch verb, words := args[1], args[2:]; {
	case verb == "set" && len(words) > 0:
		edit, err := routingEdit(words)
		if err != nil {
			return err
		}
		return s.editRouting(ctx, app, edit)
	case verb == "unset" && len(words) > 0:
		edit := api.EditRouting{Settings: map[string]any{}}
		for _, w := range words {
			edit.Settings[w] = nil
		}
		return s.editRouting(ctx, app, edit)
	case verb == "password" && len(words) == 1:
		password, err := s.password("Password of "+words[0], stdin, true)
		if err != nil {
			return err
		}
		return s.editRouting(ctx, app, api.EditRouting{Passwords: map[string]string{words[0]: password}})
	}
	return usage(s.cmd, fmt.Errorf("say set NAME=VALUE…, unset NAME… or password USER"))
}

// routingEdit reads NAME=VALUE words; @FILE stands for what the file holds.
func routingEdit(words []string) (api.EditRouting, error) {
	edit := api.EditRouting{Settings: map[string]any{}}
	for _, w := range words {
		name, text, ok := strings.Cut(w, "=")
		if !ok {
			return edit, model.E(model.CodeBadRouting, "%q is not NAME=VALUE", w).WithNext("dinp routing --help lists the settings")
		}
		if path, isFile := strings.CutPrefix(text, "@"); isFile {
			b, err := os.ReadFile(path)
			if err != nil {
				return edit, model.E(model.CodeBadRequest, "%v", err)
			}
			text = string(b)
		}
		v, err := model.RoutingValue(name, text)
		if err != nil {
			return edit, err
		}
		edit.Settings[name] = v
	}
	return edit, nil
}

func (s *session) editRouting(ctx context.Context, app string, edit api.EditRouting) error {
	r, err := send[api.Routing](ctx, s.api, http.MethodPatch, at("apps", app, "routing"), edit)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "routing of %s is changed\n", app)
	return s.showRouting(r)
}

// showRouting prints what differs from the defaults, as set takes it; of pages
// and redirects only how much there is.
func (s *session) showRouting(r api.Routing) error {
	if s.json {
		return printJSON(s.out, r)
	}
	said := false
	for _, name := range model.RoutingNames {
		v := r.Settings.Show(name)
		if v == "" {
			continue
		}
		said = true
		switch name {
		case "redirects":
			v = clean(strings.ReplaceAll(strings.TrimSpace(v), "\n", "; "))
		case "maintenance_page", "error_page":
			v = fmt.Sprintf("(%d bytes)", len(v))
		}
		fmt.Fprintf(s.out, "%s=%s\n", name, clean(v))
	}
	if !said {
		fmt.Fprintln(s.err, "nothing is set: every request goes to the least busy ready instance")
	}
	return nil
}
