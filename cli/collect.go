package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (c *console) collectCommands() []*cobra.Command {
	return []*cobra.Command{
		c.rebaseCommand(), c.rebasesCommand(),
		c.collectCommand(),
		c.command(spec{use: "pin APP vN", short: "Keep a release's image and artifact for ever", example: "  dinp pin shop v3", args: cobra.ExactArgs(2), complete: appThenRelease, run: pin(http.MethodPut)}),
		c.command(spec{use: "unpin APP vN", short: "Let a release go when it is old", example: "  dinp unpin shop v3", args: cobra.ExactArgs(2), complete: appThenRelease, run: pin(http.MethodDelete)}),
	}
}

func (c *console) collectCommand() *cobra.Command {
	var in api.Collect
	cmd := c.command(spec{use: "gc", short: "Remove images and artifacts that no kept release needs",
		long: "Remove images and artifacts that no kept release needs from the registry.\nKept are what runs, what is wanted, what is pinned, the last releases of each app and the last that served,\n" +
			"and what was uploaded or built within a day. The platform does this by itself, too (gc_every of dash).",
		example: "  dinp gc --dry-run\n  dinp gc", args: cobra.NoArgs, list: true,
		run: func(ctx context.Context, s *session, _ []string) error {
			out, err := send[api.Collection](ctx, s.api, http.MethodPost, "/gc", in)
			if err != nil {
				return err
			}
			return s.printCollection(out)
		}})
	cmd.Flags().BoolVar(&in.DryRun, "dry-run", false, "only tell what would be removed")
	return cmd
}

func (s *session) printCollection(out api.Collection) error {
	if s.json {
		return printJSON(s.out, out)
	}
	if len(out.Items) > 0 {
		if err := show(s, out.Items, []string{"WHAT", "APP", "RELEASES", "SIZE", "NAME"}, func(c api.Collected) []string {
			return []string{c.Kind, c.App, strings.Join(c.Releases, " "), size(c.Bytes), c.Name}
		}); err != nil {
			return err
		}
	}
	for _, skipped := range out.Skipped {
		fmt.Fprintf(s.err, "left alone: %s\n", clean(skipped))
	}
	verb, freed := "removed", "freed on the registry's disk"
	if out.DryRun {
		verb, freed = "would remove", "of what was removed before could be freed now"
	}
	fmt.Fprintf(s.err, "%s %d, %s in all; %d stay\n", verb, len(out.Items), size(out.Bytes), out.Kept)
	if out.Swept != nil {
		fmt.Fprintf(s.err, "%s %s; what came or was asked for within the last hour is freed later\n", size(*out.Swept), freed)
	}
	return nil
}

func pin(method string) func(context.Context, *session, []string) error {
	return func(ctx context.Context, s *session, args []string) error {
		if err := appArg(args[0]); err != nil {
			return err
		}
		n, err := model.ParseVersion(args[1])
		if err != nil {
			return err
		}
		r, err := send[api.Release](ctx, s.api, method, at("apps", args[0], "releases", model.Release{Number: n}.Version(), "pin"), nil)
		if err != nil {
			return err
		}
		if r.Pinned {
			fmt.Fprintf(s.err, "%s of %s is kept for ever\n", r.Version, args[0])
		} else {
			fmt.Fprintf(s.err, "%s of %s is kept as long as the rules say\n", r.Version, args[0])
		}
		return nil
	}
}
