package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
)

// completion offers words for the next argument of a command.
type completion func(ctx context.Context, c *client, args []string) ([]string, cobra.ShellCompDirective)

// completeTimeout bounds what a person waits for after the tab key.
const completeTimeout = 2 * time.Second

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completer adapts a completion to cobra. Without a server it offers nothing,
// and says nothing: there is no place for an error on a half-typed line.
func (c *console) completer(f completion) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if f == nil {
			return nil, noFiles
		}
		api, err := c.open()
		if err != nil {
			return nil, noFiles
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
		defer cancel()
		return f(ctx, api, args)
	}
}

func appNames(ctx context.Context, c *client) []string {
	apps, err := pages[api.App](ctx, c, "/apps")
	if err != nil {
		return nil
	}
	names := make([]string, len(apps))
	for i, a := range apps {
		names[i] = a.Name
	}
	return names
}

func appOnly(ctx context.Context, c *client, args []string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return appNames(ctx, c), noFiles
}

func appThenFile(ctx context.Context, c *client, args []string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return appOnly(ctx, c, args)
}

// appThen offers an app's name, and then one of the words.
func appThen(words ...string) completion {
	return func(ctx context.Context, c *client, args []string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return words, noFiles
		}
		if len(args) == 2 && args[1] == "import" {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return appOnly(ctx, c, args)
	}
}

func appThenRelease(ctx context.Context, c *client, args []string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return appOnly(ctx, c, args)
	}
	p, err := get[api.Page[api.Release]](ctx, c, at("apps", args[0], "releases"))
	if err != nil {
		return nil, noFiles
	}
	var out []string
	for _, r := range p.Items {
		out = append(out, r.Version+"\t"+r.Note)
	}
	return out, noFiles | cobra.ShellCompDirectiveKeepOrder
}

// nodeThen offers a node's name, and then one of the words.
func nodeThen(words ...string) completion {
	return func(ctx context.Context, c *client, args []string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return words, noFiles
		}
		n, err := get[api.Nodes](ctx, c, "/nodes")
		if err != nil {
			return nil, noFiles
		}
		var names []string
		for _, v := range n.Items {
			names = append(names, v.Name)
		}
		slices.Sort(names)
		return names, noFiles
	}
}
