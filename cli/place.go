package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (c *console) placeCommands() []*cobra.Command {
	return []*cobra.Command{
		c.command(spec{use: "place APP [CONSTRAINT… | any]", short: "Say on which nodes an app may run",
			long: "Say on which nodes an app may run. The constraints given replace those before; any drops them all.\n" +
				"zone==ZONE, pool==POOL and label==LABEL name what a node must have, per-node==N how many instances one may hold.\n" +
				"What runs stays where it is; instances that are placed from now on obey.\n" +
				"Constraints that no node meets now are taken, with a warning: the nodes may come later.",
			example: "  dinp place shop zone==a label==ssd\n  dinp place shop per-node==1\n  dinp place shop any", args: cobra.MinimumNArgs(1), complete: appThen("any"), list: true, run: placeApp}),
		c.command(spec{use: "singleton APP on|off", short: "Never run two instances of an app at a time",
			long: "Never run two instances of an app at a time, not even while it is replaced or its node is cut off:\n" +
				"a rollout or a drain stops the old instance before the new one starts, and one on a silent node\nis replaced only when the node returns, or is forgotten (dinp node NODE forget).",
			example: "  dinp singleton cron on", args: cobra.ExactArgs(2), complete: appThen("on", "off"), list: true, run: singleton}),
		c.command(spec{use: "pools", short: "List the pools of nodes", example: "  dinp pools", args: cobra.NoArgs, list: true, run: listPools}),
		c.command(spec{use: "pool POOL spread|binpack", short: "Say how the nodes of a pool are filled",
			long:    "Say how the nodes of a pool are filled:\nspread takes the emptiest node, so that a loss hurts least; binpack the fullest that has room, so that big apps find room longest.",
			example: "  dinp pool default binpack", args: cobra.ExactArgs(2), list: true, run: setPool}),
	}
}

func placeApp(ctx context.Context, s *session, args []string) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	if len(args) == 1 {
		a, err := get[api.App](ctx, s.api, at("apps", args[0]))
		if err == nil && s.json {
			return printJSON(s.out, a)
		}
		if err == nil {
			fmt.Fprintln(s.out, orAnyNode(a.Constraints))
		}
		return err
	}
	list := args[1:]
	if len(list) == 1 && list[0] == "any" {
		list = []string{}
	}
	if _, err := model.ParseConstraints(list); err != nil {
		return err
	}
	a, err := send[api.App](ctx, s.api, http.MethodPatch, at("apps", args[0]), api.EditApp{Constraints: &list})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "instances of %s are placed on: %s\n", args[0], orAnyNode(a.Constraints))
	s.warn(a.Warnings)
	return s.alsoJSON(a)
}

// alsoJSON prints what a change has led to when programs ask for it.
func (s *session) alsoJSON(v any) error {
	if s.json {
		return printJSON(s.out, v)
	}
	return nil
}

// warn tells what is not as a change says, though it was taken.
func (s *session) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(s.err, "warning: %s\n", clean(w))
	}
}

func orAnyNode(constraints []string) string {
	if len(constraints) == 0 {
		return "any node of the default pool"
	}
	return strings.Join(constraints, " ")
}

func singleton(ctx context.Context, s *session, args []string) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	if args[1] != "on" && args[1] != "off" {
		return usage(s.cmd, fmt.Errorf("say on or off, not %q", args[1]))
	}
	on := args[1] == "on"
	a, err := send[api.App](ctx, s.api, http.MethodPatch, at("apps", args[0]), api.EditApp{Singleton: &on})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "singleton of %s is %s\n", args[0], args[1])
	return s.alsoJSON(a)
}

func listPools(ctx context.Context, s *session, _ []string) error {
	p, err := get[api.Page[api.Pool]](ctx, s.api, "/pools")
	if err != nil {
		return err
	}
	return show(s, p.Items, []string{"POOL", "POLICY", "NODES"}, func(p api.Pool) []string {
		return []string{p.Name, p.Policy, strconv.Itoa(p.Nodes)}
	})
}

func setPool(ctx context.Context, s *session, args []string) error {
	p, err := send[api.Pool](ctx, s.api, http.MethodPut, at("pools", args[0]), api.Pool{Policy: args[1]})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "pool %s is filled by %s; its nodes: %d\n", p.Name, p.Policy, p.Nodes)
	return s.alsoJSON(p)
}
