package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// waitFlags are those of commands that start a rollout.
type waitFlags struct {
	noWait  bool
	timeout time.Duration
}

func (w *waitFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.noWait, "no-wait", false, "do not wait for the rollout")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 10*time.Minute, "how long to wait for the rollout")
}

func (c *console) stateCommands() []*cobra.Command {
	return []*cobra.Command{c.scaleCommand(), c.restartCommand(), c.domainsCommand(), c.certsCommand(),
		c.command(spec{use: "maintenance APP on|off", short: "Show visitors the maintenance page, or the app again",
			example: "  dinp maintenance shop on", args: cobra.ExactArgs(2), complete: appThen("on", "off"), run: maintenance}),
		c.command(spec{use: "pause APP on|off", short: "Leave what runs of an app as it is, or carry changes out again",
			long:    "Leave what runs of an app as it is: nothing is started, replaced or stopped until the pause is off. Changes are kept, and carried out then.",
			example: "  dinp pause shop on", args: cobra.ExactArgs(2), complete: appThen("on", "off"), run: pause})}
}

func (c *console) scaleCommand() *cobra.Command {
	var w waitFlags
	cmd := c.command(spec{use: "scale APP N", short: "Run N instances of an app", example: "  dinp scale shop 3", args: cobra.ExactArgs(2), complete: appOnly,
		run: func(ctx context.Context, s *session, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return usage(s.cmd, fmt.Errorf("the number of instances is %q", args[1]))
			}
			if err := appArg(args[0]); err != nil {
				return err
			}
			if err := model.CheckInstances(n); err != nil {
				return err
			}
			a, err := send[api.App](ctx, s.api, http.MethodPost, at("apps", args[0], "scale"), api.Scale{Instances: &n})
			if err != nil {
				return err
			}
			s.warn(a.Warnings)
			return s.settled(ctx, args[0], w, scaled)
		}})
	w.add(cmd)
	return cmd
}

func (c *console) restartCommand() *cobra.Command {
	var w waitFlags
	cmd := c.command(spec{use: "restart APP", short: "Replace all instances, one after the other, without downtime", example: "  dinp restart shop",
		args: cobra.ExactArgs(1), complete: appOnly,
		run: func(ctx context.Context, s *session, args []string) error {
			return s.roll(ctx, http.MethodPost, "restart", args[0], nil, w)
		}})
	w.add(cmd)
	return cmd
}

// roll makes a change that needs a new release, and waits until it serves.
func (s *session) roll(ctx context.Context, method, what, app string, body any, w waitFlags) error {
	if err := appArg(app); err != nil {
		return err
	}
	if body == nil {
		body = struct{}{}
	}
	if err := s.api.call(ctx, method, at("apps", app, what), body, nil); err != nil {
		return err
	}
	return s.settled(ctx, app, w, rolled)
}

// settled waits until an app is what is wanted of it, telling each new state.
func (s *session) settled(ctx context.Context, app string, w waitFlags, done func(api.App) (bool, error)) error {
	if w.noWait {
		fmt.Fprintf(s.err, "it goes on; watch it with: dinp explain %s\n", app)
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	told := ""
	for {
		a, err := get[api.App](limited, s.api, at("apps", app))
		if err == nil {
			if a.State != told {
				told = a.State
				fmt.Fprintln(s.err, clean(told))
			}
			if ok, err := done(a); ok {
				return err
			}
			err = sleep(limited, s.poll)
		}
		if limited.Err() != nil {
			return s.unsettled(ctx, app, w)
		}
		if err != nil {
			return err
		}
	}
}

// rolled reports whether nothing more will happen to an app's wanted release by
// itself; the error says that this is not what was wanted.
func rolled(a api.App) (bool, error) {
	d := a.Deployment
	switch {
	case a.Paused:
		return true, paused(a)
	case d != nil && d.Held:
		return true, model.E(model.CodeHeld, "%s is held at %d %% of the requests: %s", d.Release, d.Share, d.Judgement).WithStill("%s serves the rest", d.From).
			WithNext("dinp promote %s lets it take over; dinp rollback %s takes it back", a.Name, a.Name)
	case d != nil && d.Release == a.Release && d.Status == string(model.DeploymentFailed):
		if d.Error != nil {
			return true, withNext(d.Error, "dinp explain %s", a.Name)
		}
		return true, model.E(model.CodeNotReady, "release %s of %s failed: %s", a.Release, a.Name, a.State).WithNext("dinp explain %s", a.Name)
	}
	return a.Serving == a.Release && a.Ready == a.Instances, nil
}

// scaled reports whether an app has its count, at whichever release is kept up:
// that a deploy failed some time ago does not make a scaling fail.
func scaled(a api.App) (bool, error) {
	switch {
	case a.Paused:
		return true, paused(a)
	case a.Release == "":
		return true, nil // the count is kept for the first release
	case a.Serving == "" && a.Instances > 0:
		return rolled(a)
	}
	return a.Ready == a.Instances, nil
}

func paused(a api.App) error {
	return model.E(model.CodeConflict, "app %s is paused: the change is kept, and takes effect when it is resumed", a.Name).WithStill("%s", a.State)
}

// withNext gives an error a next step if it has none.
func withNext(e *model.Error, format string, args ...any) *model.Error {
	if e.Next != "" {
		return e
	}
	return e.WithNext(format, args...)
}

// unsettled says why the wait ended: the person's wish, or the time.
func (s *session) unsettled(ctx context.Context, app string, w waitFlags) error {
	if ctx.Err() != nil {
		fmt.Fprintf(s.err, "the change of %s goes on\n  watch it:  dinp explain %s\n", app, app)
		return ctx.Err()
	}
	e := model.E(model.CodeNotReady, "app %s is not there after %s", app, w.timeout).WithStill("the platform keeps trying").WithNext("dinp explain %s", app)
	in, err := get[api.Instances](ctx, s.api, at("apps", app, "instances"))
	if err != nil {
		return e
	}
	for _, p := range in.Pending {
		e = e.WithEvidence(fmt.Sprintf("slot %d: %s: %s", p.Slot, p.Code, p.Message))
	}
	return e
}

func maintenance(ctx context.Context, s *session, args []string) error {
	return s.turn(ctx, "maintenance", args, func(on bool) api.EditApp { return api.EditApp{Maintenance: &on} })
}

func pause(ctx context.Context, s *session, args []string) error {
	return s.turn(ctx, "pause", args, func(on bool) api.EditApp { return api.EditApp{Paused: &on} })
}

// turn switches something of an app on or off.
func (s *session) turn(ctx context.Context, what string, args []string, edit func(on bool) api.EditApp) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	if args[1] != "on" && args[1] != "off" {
		return usage(s.cmd, fmt.Errorf("say on or off, not %q", args[1]))
	}
	if _, err := send[api.App](ctx, s.api, http.MethodPatch, at("apps", args[0]), edit(args[1] == "on")); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%s of %s is %s\n", what, args[0], args[1])
	return nil
}

func (c *console) domainsCommand() *cobra.Command {
	return c.command(spec{use: "domains APP [add|remove HOST]", short: "List, bind or unbind an app's own domains",
		long: "List, bind or unbind an app's own domains. *.shop.example stands for every name one label below shop.example,\n" +
			"example.com/api for that path and all below it. The most exact one wins: the name itself before a star, then the longest path.",
		example: "  dinp domains shop\n  dinp domains shop add www.shop.example\n  dinp domains shop add '*.shop.example'\n  dinp domains api add example.com/api\n  dinp domains shop remove www.shop.example",
		args:    cobra.RangeArgs(1, 3), complete: appThen("add", "remove"), list: true, run: domains})
}

func domains(ctx context.Context, s *session, args []string) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	path := at("apps", args[0], "domains")
	switch {
	case len(args) == 1:
		hosts, err := pages[api.Domain](ctx, s.api, path)
		if err != nil {
			return err
		}
		return show(s, hosts, []string{"HOST"}, func(d api.Domain) []string { return []string{d.Host} })
	case len(args) == 3 && args[1] == "add":
		d, err := send[api.Domain](ctx, s.api, http.MethodPost, path, api.Domain{Host: args[2]})
		if err == nil {
			fmt.Fprintf(s.err, "bound %s to %s\n", d.Host, args[0])
		}
		return err
	case len(args) == 3 && args[1] == "remove":
		err := s.api.call(ctx, http.MethodDelete, path+at(args[2]), nil, nil)
		if err == nil {
			fmt.Fprintf(s.err, "unbound %s from %s\n", args[2], args[0])
		}
		return err
	}
	return usage(s.cmd, fmt.Errorf("say add HOST or remove HOST"))
}
